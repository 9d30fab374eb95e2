"""The J-net."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import nn

from facegen.errors import ShapeError
from facegen.models.jnet import JNet, JNetConfig, coarsen_chroma
from facegen.ops.color import luma
from tests.models.checks import assert_every_parameter_learns, assert_rebuilt_from_card

TINY = JNetConfig(tile=8, scale=8, decoder_widths=(12, 12, 8, 8, 6, 4), decoder_depths=(1, 2, 1, 2, 1, 1))
FIGURE = JNetConfig(
    decoder_widths=(256, 256, 128, 64, 64, 64, 64, 64),
    decoder_depths=(2,) * 8,
    encoder_width=1.0,
    upsample="deconv",
    base="none",
)
"""The network as drawn in the original's method figure."""
Upsample = Literal["nearest", "deconv"]
Base = Literal["bicubic", "none"]


def make(*, fresh: bool = False, **changes: Any) -> JNet:
    """A seeded network; but for a fresh one, its last layer is as strong as the others, so that all of them show."""
    torch.manual_seed(0)
    net = JNet(TINY.model_copy(update=changes))
    if not fresh:
        nn.init.normal_(net.to_rgb.weight, 0, 0.2)
    return net


def stacks(count: int, channels: int = 6, tile: int = 8) -> torch.Tensor:
    return torch.rand(count, channels, tile, tile, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("upsample", ["nearest", "deconv"])
@pytest.mark.parametrize("base", ["bicubic", "none"])
def test_every_variant_upscales_tiles_and_trains_all_of_its_parameters(upsample: Upsample, base: Base) -> None:
    net = make(upsample=upsample, base=base)
    upscaled = net(stacks(2))
    assert upscaled.shape == (2, 3, 64, 64)
    assert upscaled.dtype == torch.float32
    assert_every_parameter_learns(net, upscaled)


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
        ({"norm": "spectral"}, "'none' or 'batch'"),
        ({"trunk": -1}, "greater than or equal to 0"),
        ({"chroma": 0}, "greater than or equal to 1"),
        ({"chroma": 3}, "chroma 3 must be a power of two, at most the 256 px drawn"),
        ({"chroma": 512}, "chroma 512 must be a power of two, at most the 256 px drawn"),
        ({"chroma": 2, "base": "none"}, 'chroma above 1 is for what is added to base "bicubic"'),
        ({"depth": 2}, "Extra inputs are not permitted"),
    ],
)
def test_config_refuses(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        JNetConfig.model_validate(wrong)


def test_colours_may_be_coarser_than_the_luma() -> None:
    fine, coarse = make()(stacks(2)), make(chroma=2)(stacks(2))
    torch.testing.assert_close(luma(coarse), luma(fine))
    drawn = coarse - make(fresh=True)(stacks(2))  # without the bicubic base, which a fresh network draws
    colours = drawn - luma(drawn)[:, None]
    assert colours.abs().max() > 0.01
    wanted = F.avg_pool2d(fine - luma(fine)[:, None] - (coarse - drawn - luma(coarse - drawn)[:, None]), 2)
    torch.testing.assert_close(colours, F.interpolate(wanted, scale_factor=2, mode="bilinear", align_corners=False))


def test_coarse_chroma_keeps_grey_and_slow_colours() -> None:
    grey = stacks(1, 1, 16).expand(1, 3, 16, 16)
    torch.testing.assert_close(coarsen_chroma(grey, 4), grey)
    flat = torch.tensor([0.1, 0.6, 0.9])[None, :, None, None].expand(1, 3, 16, 16)
    torch.testing.assert_close(coarsen_chroma(flat, 4), flat)
    assert coarsen_chroma(grey, 1) is grey


@pytest.mark.parametrize("shape", [(8,), (1, 5, 8, 8), (1, 6, 12, 12), (6, 8, 8), (1, 6, 8, 4), (1, 6, 0, 8)])
def test_wrong_stack_is_named(shape: tuple[int, ...]) -> None:
    message = r"JNet: stack has shape \(.*\), expected \(B, 6, h, w\) with h and w multiples of 8\."
    with pytest.raises(ShapeError, match=message):
        make()(torch.zeros(shape))


def test_starts_as_its_bicubic_base() -> None:
    stack = stacks(4)
    base = F.interpolate(stack[:, :3], scale_factor=8, mode="bicubic", align_corners=False)
    torch.testing.assert_close(make(fresh=True)(stack), base)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(make(fresh=True)(stack), base)
    assert (make()(stack) - base).abs().mean() > 0.01


@pytest.mark.parametrize(("height", "width"), [(16, 16), (24, 24), (8, 24)])
def test_larger_pictures_are_upscaled_whole(height: int, width: int) -> None:
    stack = F.interpolate(stacks(2), size=(height, width), mode="bilinear")
    base = F.interpolate(stack[:, :3], scale_factor=8, mode="bicubic", align_corners=False)
    torch.testing.assert_close(make(fresh=True)(stack), base)
    assert make()(stack).shape == (2, 3, 8 * height, 8 * width)


def test_a_picture_upscaled_without_gradients_is_no_bar_to_training_on_its_size() -> None:
    stack = stacks(1, tile=40).requires_grad_()
    with torch.inference_mode():
        make()(stack.detach())
    make()(stack).sum().backward()
    assert stack.grad is not None


def test_trunk_begins_as_the_identity_and_learns_from_there() -> None:
    plain, deep = make(), make(trunk=2)
    deep.load_state_dict(deep.state_dict() | plain.state_dict())
    assert torch.equal(deep(stacks(2)), plain(stacks(2)))
    for name, weight in deep.trunk.named_parameters():
        if name.endswith("branch.2.weight"):
            nn.init.normal_(weight, 0, 0.1)
    upscaled = deep(stacks(2))
    assert not torch.allclose(upscaled, plain(stacks(2)), atol=1e-4)
    assert_every_parameter_learns(deep, upscaled)


def test_batchnorm_makes_a_tile_depend_on_its_batch_while_training() -> None:
    net, stack = make(norm="batch"), stacks(3)
    assert not torch.allclose(net(stack)[:1], net(stack[:1]), atol=1e-3)
    net.eval()
    torch.testing.assert_close(net(stack)[:1], net(stack[:1]))
    assert not any("norm" in name for net in (make(), JNet(FIGURE)) for name in net.state_dict())


def test_activations_neither_starve_nor_explode_at_the_start() -> None:
    spreads: list[float] = []
    net = JNet(JNetConfig()).eval()
    for block in net.decoder:
        block.register_forward_hook(lambda module, given, out: spreads.append(out.std(dim=(2, 3)).mean().item()))
    with torch.no_grad():
        net(F.interpolate(stacks(2, tile=8), size=32, mode="bicubic").clamp(0, 1))
    assert len(spreads) == 8
    assert all(0.05 < spread < 2 for spread in spreads), spreads


def test_without_a_base_it_starts_grey_and_stays_in_range() -> None:
    upscaled = make(base="none", fresh=True)(stacks(4))
    assert upscaled.min() >= 0
    assert upscaled.max() <= 1
    assert (upscaled - 0.5).abs().mean() < 0.05


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


@pytest.mark.parametrize(
    ("changes", "corner"),
    [
        ({}, [[0.82405, 0.83989, 0.82374], [0.81611, 0.84078, 0.81995], [0.81022, 0.84078, 0.81878]]),
        (
            {"upsample": "deconv", "base": "none"},
            [[0.50094, 0.51035, 0.5216], [0.49145, 0.49419, 0.49735], [0.51239, 0.53293, 0.4997]],
        ),
    ],
    ids=["default", "original"],
)
def test_golden_corner(changes: dict[str, Any], corner: list[list[float]]) -> None:
    found = make(**changes)(stacks(1))[0, 0, :3, :3]
    torch.testing.assert_close(found, torch.tensor(corner), rtol=1e-3, atol=1e-4)


def test_a_tile_does_not_depend_on_its_batch() -> None:
    net = make()
    many = net(stacks(5))
    for row, stack in zip(many, stacks(5), strict=True):
        torch.testing.assert_close(net(stack[None])[0], row, rtol=1e-4, atol=1e-5)


def test_output_is_float32_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        upscaled = make()(stacks(1))
    assert upscaled.dtype == torch.float32
    torch.testing.assert_close(upscaled, make()(stacks(1)), atol=0.02, rtol=0)


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
