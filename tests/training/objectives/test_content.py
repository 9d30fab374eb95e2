"""The content loss; VGG19's structure and loading, with weights made so that the outcome is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from facegen.errors import ShapeError, TrainingError
from facegen.models.efficientnet import feature_loss, load_efficientnet
from facegen.training.config import FeatureLoss
from facegen.training.objectives.content import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ContentLoss,
    VGG19Features,
    load_vgg19,
    vgg_loss,
)

CONVOLUTIONS = {
    0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128), 12: (256, 256), 14: (256, 256),
    16: (256, 256), 19: (512, 256), 21: (512, 512), 23: (512, 512), 25: (512, 512), 28: (512, 512), 30: (512, 512),
    32: (512, 512), 34: (512, 512),
}  # fmt: skip
"""Channels (out, in) by their number in torchvision's vgg19.features."""
MEAN, STD = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)


def test_content_loss_is_the_mean_over_the_networks_named() -> None:
    a, b = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    choices: list[tuple[Literal["lite0", "lite1"], ...]] = [("lite0",), ("lite1",), ("lite0", "lite1")]
    one, other, both = (ContentLoss(FeatureLoss(features=x), torch.device("cpu"))(a, b).item() for x in choices)
    weights = FeatureLoss().feature_weights
    assert one == pytest.approx(feature_loss(load_efficientnet("lite0"), a, b, weights=weights).item())
    assert other != pytest.approx(one, rel=0.001)
    assert both == pytest.approx((one + other) / 2)


def small_state() -> dict[str, Tensor]:
    """A state of the right shapes that takes next to no room in a file: each weight is its number everywhere."""
    state = {}
    for number, (cout, cin) in CONVOLUTIONS.items():
        state[f"features.{number}.weight"] = torch.tensor(float(number)).expand(cout, cin, 3, 3)
        state[f"features.{number}.bias"] = torch.tensor(number + 0.5).expand(cout)
    return state


def saved(path: Path, state: Any) -> Path:
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def passing() -> VGG19Features:
    """Every convolution passes its channels on as they are; the last one turns the sign."""
    with torch.device("meta"):
        network = VGG19Features()
    network.to_empty(device="cpu")
    with torch.no_grad():
        network.mean.copy_(MEAN.view(3, 1, 1))
        network.std.copy_(STD.view(3, 1, 1))
        for parameter in network.parameters():
            parameter.zero_()
        convolutions = [layer for layer in network.features if isinstance(layer, nn.Conv2d)]
        for convolution in convolutions:
            for channel in range(3):
                convolution.weight[channel, channel, 1, 1] = 1
        convolutions[-1].weight.neg_()
    return network.requires_grad_(False)


def average_colour() -> Tensor:
    """(1, 3, 32, 32), of which normalisation leaves zeros."""
    return MEAN.view(1, 3, 1, 1).expand(1, 3, 32, 32).clone()


def test_layers_are_torchvisions_up_to_block_5_convolution_4() -> None:
    with torch.device("meta"):
        state = VGG19Features().state_dict()
    expected = {key: tuple(value.shape) for key, value in small_state().items()}
    assert {key: tuple(value.shape) for key, value in state.items()} == expected
    assert sum(value.numel() for value in state.values()) == 20_024_384  # published for VGG19 without its head


def test_input_is_normalised_by_imagenet_and_pooled_four_times(passing: VGG19Features) -> None:
    x = average_colour()
    x[0, :, 3, 20] = 1  # in the upper right of the four places
    x[0, :, 20, 3] = 0  # negative once normalised: the ReLUs stop it
    out = passing(x)
    assert out.shape == (1, 512, 2, 2)
    expected = torch.zeros(1, 512, 2, 2)
    expected[0, :3, 0, 1] = -(1 - MEAN) / STD  # largest of its 16 x 16; negative: no ReLU at the end
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)
    assert out.min() < -2


def test_loss_is_the_mean_square_of_the_maps_over_12_75_squared(passing: VGG19Features) -> None:
    a, b = average_colour(), average_colour()
    a[0, :, 3, 20] = 1
    square = sum(((1 - m) / s) ** 2 for m, s in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True))
    expected = square / (512 * 2 * 2) / 12.75**2
    assert vgg_loss(passing, a, b).item() == pytest.approx(expected, rel=1e-4)
    assert vgg_loss(passing, b, a).item() == pytest.approx(expected, rel=1e-4)
    assert vgg_loss(passing, a, a).item() == 0


def test_loss_gradient_reaches_the_first_alone_and_points_to_the_second(passing: VGG19Features) -> None:
    a, b = average_colour(), average_colour()
    a[0, :, 3, 20], b[0, :, 3, 20] = 0.8, 1
    a.requires_grad_()
    b.requires_grad_()
    vgg_loss(passing, a, b).backward()  # type: ignore[no-untyped-call]
    assert a.grad is not None
    assert (a.grad[0, :, 3, 20] < 0).all()
    assert b.grad is None


def test_loss_is_float32_for_bfloat16_maps() -> None:
    assert vgg_loss(nn.Identity(), torch.ones(1, dtype=torch.bfloat16), torch.zeros(1)).dtype == torch.float32


def test_maps_of_different_pictures_differ() -> None:
    torch.manual_seed(0)
    network = VGG19Features()
    pictures = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        maps = network(pictures)
    assert maps.shape == (2, 512, 2, 2)
    assert not torch.equal(maps[0], maps[1])
    assert (maps < 0).any()
    assert (maps > 0).any()


@pytest.mark.parametrize("shape", [(1, 3, 15, 32), (1, 1, 32, 32), (3, 32, 32)])
def test_too_small_or_not_rgb_is_named(passing: VGG19Features, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"VGG19Features: pictures have shape .* at least 16 px"):
        passing(torch.zeros(shape))


def test_every_weight_is_read_into_its_place_and_frozen(tmp_path: Path) -> None:
    state = small_state() | {"classifier.0.weight": torch.zeros(4)}
    network = load_vgg19(saved(tmp_path / "vgg19-dcbb9e9d.pth", state))
    assert not network.training
    for number in CONVOLUTIONS:
        layer = network.features[number]
        assert isinstance(layer, nn.Conv2d)
        assert layer.bias is not None
        assert not layer.weight.requires_grad
        assert (layer.weight == number).all()
        assert (layer.bias == number + 0.5).all()


def test_half_precision_safetensors_are_read_as_float32(tmp_path: Path) -> None:
    path = tmp_path / "vgg19.safetensors"
    save_file({key: value.half().contiguous() for key, value in small_state().items()}, path)
    state = load_vgg19(path).state_dict()
    for key, value in small_state().items():
        assert state[key].dtype == torch.float32
        assert state[key].flatten()[0] == value.flatten()[0]


def test_missing_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "vgg19.pth"
    with pytest.raises(TrainingError, match=r"vgg19\.pth: no such file\. Nothing is downloaded: get vgg19-dcbb9e9d"):
        load_vgg19(path)
    with pytest.raises(TrainingError, match="no such file"):
        load_vgg19(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello", b"<html>", b"\x89PNG\r\n\x1a\n"])
@pytest.mark.parametrize("name", ["vgg19.pth", "vgg19.safetensors"])
def test_file_of_another_kind_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=rf"{name}: cannot be read as weights .*get vgg19-dcbb9e9d"):
        load_vgg19(path)


def test_damaged_file_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "vgg19.pth", small_state())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(TrainingError, match=r"vgg19\.pth: cannot be read"):
        load_vgg19(path)


def test_missing_key_is_named(tmp_path: Path) -> None:
    state = small_state()
    del state["features.34.bias"]
    with pytest.raises(TrainingError, match=r"vgg19\.pth: not .* VGG19: features\.34\.bias is missing"):
        load_vgg19(saved(tmp_path / "vgg19.pth", state))


def test_wrapped_state_or_another_object_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"features\.0\.weight is missing"):
        load_vgg19(saved(tmp_path / "vgg19.pth", {"state_dict": small_state()}))
    with pytest.raises(TrainingError, match="holds a list, expected a state dict"):
        load_vgg19(saved(tmp_path / "vgg19.pth", [torch.zeros(1)]))


def test_other_shape_is_named(tmp_path: Path) -> None:
    state = small_state() | {"features.2.weight": torch.ones(64)}
    with pytest.raises(TrainingError, match=r"features\.2\.weight has shape \(64,\), expected \(64, 64, 3, 3\)"):
        load_vgg19(saved(tmp_path / "vgg19.pth", state))
