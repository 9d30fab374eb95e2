"""The J-net."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import nn

from facegen.errors import ShapeError
from facegen.models.jnet import FIGURE, JNet, JNetConfig
from tests.models.checks import assert_every_parameter_learns, assert_rebuilt_from_card

TINY = JNetConfig(tile=8, scale=8, decoder_widths=(12, 12, 8, 8, 6, 4), decoder_depths=(1, 2, 1, 2, 1, 1))
Upsample = Literal["nearest", "deconv"]
Base = Literal["bicubic", "none"]


def make(**changes: Any) -> JNet:
    torch.manual_seed(0)
    return JNet(TINY.model_copy(update=changes))


def stacks(count: int, channels: int = 6, tile: int = 8) -> torch.Tensor:
    return torch.rand(count, channels, tile, tile, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("upsample", ["nearest", "deconv"])
@pytest.mark.parametrize("base", ["bicubic", "none"])
def test_every_variant_raises_tiles_and_learns_with_all_of_its_parameters(upsample: Upsample, base: Base) -> None:
    net = make(upsample=upsample, base=base)
    raised = net(stacks(2))
    assert raised.shape == (2, 3, 64, 64)
    assert raised.dtype == torch.float32
    assert_every_parameter_learns(net, raised)


@pytest.mark.parametrize(("tile", "scale"), [(4, 2), (8, 4), (16, 2)])
def test_other_tiles_and_scales(tile: int, scale: int) -> None:
    levels = (tile * scale).bit_length() - 1
    net = JNet(JNetConfig(tile=tile, scale=scale, decoder_widths=(4,) * levels, decoder_depths=(1,) * levels))
    assert net(stacks(1, tile=tile)).shape == (1, 3, tile * scale, tile * scale)


@pytest.mark.parametrize("channels", [3, 10])
def test_other_guides(channels: int) -> None:
    assert make(in_channels=channels)(stacks(1, channels)).shape == (1, 3, 64, 64)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tile": 24}, "tile 24 and scale 8 must be powers of two"),
        ({"tile": 24, "scale": 12}, "must be powers of two"),
        ({"scale": 3}, "tile 32 and scale 3 must be powers of two"),
        ({"decoder_widths": (8, 8)}, "decoder_widths has 2 entries, expected 8"),
        ({"decoder_depths": (1,) * 9}, "decoder_depths has 9 entries, expected 8"),
        ({"decoder_widths": (8, 8, 8, 8, 8, 8, 8, 0)}, "greater than 0"),
        ({"decoder_depths": (1, 1, 1, 1, 1, 1, 1, 0)}, "greater than 0"),
        ({"in_channels": 2}, "greater than or equal to 3"),
        ({"encoder_width": 0}, "greater than 0"),
        ({"upsample": "bilinear"}, "'nearest' or 'deconv'"),
        ({"base": "nearest"}, "'bicubic' or 'none'"),
        ({"depth": 2}, "Extra inputs are not permitted"),
    ],
)
def test_config_refuses(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        JNetConfig.model_validate(wrong)


@pytest.mark.parametrize("shape", [(1, 5, 8, 8), (1, 6, 16, 16), (6, 8, 8), (1, 6, 8, 4)])
def test_wrong_stack_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"JNet: stack has shape \(.*\), expected \(B, 6, 8, 8\)"):
        make()(torch.zeros(shape))


def test_starts_near_its_bicubic_base() -> None:
    stack = stacks(4)
    base = F.interpolate(stack[:, :3], scale_factor=8, mode="bicubic", align_corners=False)
    difference = make()(stack) - base
    assert 0 < difference.abs().mean() < 0.05


def test_without_a_base_it_starts_grey_and_stays_in_range() -> None:
    raised = make(base="none")(stacks(4))
    assert raised.min() >= 0
    assert raised.max() <= 1
    assert (raised - 0.5).abs().mean() < 0.05


def test_guide_reaches_the_output() -> None:
    net, stack = make(), stacks(1)
    other = stack.clone()
    other[:, 3:] = 1 - other[:, 3:]
    assert not torch.allclose(net(stack), net(other), atol=1e-6)


def test_one_pixel_reaches_the_whole_tile() -> None:
    stack = stacks(1).requires_grad_()
    make()(stack)[0, :, -1, -1].sum().backward()
    assert stack.grad is not None
    assert (stack.grad[0].abs().sum(dim=0) > 0).all()


def test_golden_corner() -> None:
    net = make()
    net.to_rgb.weight.data.mul_(50)  # as the other layers, so that all of them show
    corner = net(stacks(1))[0, 0, :3, :3]
    torch.testing.assert_close(
        corner,
        torch.tensor([[0.83312, 0.87723, 0.7713], [0.87597, 0.88306, 0.83126], [0.96174, 1.0162, 1.0275]]),
        rtol=1e-3,
        atol=1e-4,
    )


def test_golden_corner_as_in_the_figure() -> None:
    net = make(upsample="deconv", base="none")
    net.to_rgb.weight.data.mul_(5_000)
    corner = net(stacks(1))[0, 0, :3, :3]
    torch.testing.assert_close(
        corner,
        torch.tensor([[0.3906, 0.49254, 0.38641], [0.26671, 0.41231, 0.53907], [0.19962, 0.20855, 0.11672]]),
        rtol=1e-3,
        atol=1e-4,
    )


def test_a_tile_does_not_depend_on_its_batch() -> None:
    net = make()
    many = net(stacks(5))
    for row, stack in zip(many, stacks(5), strict=True):
        torch.testing.assert_close(net(stack[None])[0], row, rtol=1e-4, atol=1e-5)


def test_output_is_float32_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        raised = make()(stacks(1))
    assert raised.dtype == torch.float32
    torch.testing.assert_close(raised, make()(stacks(1)), atol=0.02, rtol=0)


def test_there_is_no_batchnorm() -> None:
    assert not any(isinstance(m, nn.BatchNorm2d) for net in (make(), JNet(FIGURE)) for m in net.modules())


def test_figure_has_the_shapes_of_the_originals_figure() -> None:
    shapes: dict[str, list[tuple[int, int, int]]] = {"encoder": [], "decoder": []}
    net = JNet(FIGURE).eval()
    for part, modules in (("encoder", net.encoder), ("decoder", net.decoder)):
        for module in modules:
            module.register_forward_hook(
                lambda m, i, out, part=part: shapes[part].append((*out.shape[2:], out.shape[1]))
            )
    with torch.no_grad():
        assert net(stacks(1, tile=32)).shape == (1, 3, 256, 256)
    assert shapes["encoder"] == [(16, 16, 64), (8, 8, 128), (4, 4, 256), (2, 2, 256), (1, 1, 256)]
    assert shapes["decoder"] == [
        (2, 2, 256), (4, 4, 256), (8, 8, 128), (16, 16, 64), (32, 32, 64), (64, 64, 64), (128, 128, 64), (256, 256, 64)
    ]  # fmt: skip
    joined = [block.first.in_channels - block.first.out_channels for block in net.decoder]  # type: ignore[union-attr, operator]
    assert joined == [256, 256, 128, 64, 6, 0, 0, 0]  # skips at 2, 4, 8, 16 and 32 px
    assert [len(block.rest) for block in net.decoder] == [1] * 8  # type: ignore[arg-type]


def test_default_encoder_is_a_quarter_as_wide() -> None:
    assert JNetConfig().encoder_widths == (48, 64, 64, 64, 64)
    assert JNetConfig(encoder_width=1.0).encoder_widths == (192, 256, 256, 256, 256)


@pytest.mark.parametrize("upsample", ["nearest", "deconv"])
def test_state_and_config_rebuild_the_network(upsample: Upsample) -> None:
    assert_rebuilt_from_card(make(upsample=upsample), JNet, JNetConfig, stacks(2))
