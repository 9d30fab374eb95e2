"""The U-net, and the PatchGAN that stops at any grid."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from facegen.errors import ShapeError
from facegen.models.jnet import enlarge
from facegen.models.unet import GridConfig, GridDiscriminator, UNet, UNetConfig
from tests.models.checks import assert_every_parameter_learns, assert_rebuilt_from_card, pictures

TINY = UNetConfig(widths=(4, 6, 8), outer_width=5)
TINY_GRID = GridConfig(widths=(4, 6, 8))


def make(**changes: Any) -> UNet:
    """A seeded network whose last layer is as strong as the others."""
    torch.manual_seed(0)
    net = UNet(UNetConfig.model_validate(TINY.model_dump() | changes))
    torch.nn.init.normal_(net.to_rgb.weight, 0, 0.2)
    return net


def grid(**changes: Any) -> GridDiscriminator:
    torch.manual_seed(1)
    return GridDiscriminator(GridConfig.model_validate(TINY_GRID.model_dump() | changes))


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
@pytest.mark.parametrize(
    "changes",
    [{}, {"upsample": "nearest", "depth": 2}, {"norm": "none", "base": "bicubic"}, {"skips": False}, {"widths": [5]}],
)
def test_every_variant_upscales_pictures_and_trains_all_of_its_parameters(
    scale: int, changes: dict[str, Any]
) -> None:
    net = make(scale=scale, **changes)
    upscaled = net(pictures(3, 8, 16))
    assert upscaled.shape == (3, 3, 8 * scale, 16 * scale)
    assert upscaled.dtype == torch.float32
    assert_every_parameter_learns(net, upscaled)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 9), (8, 13)])
def test_any_side_is_upscaled(height: int, width: int) -> None:
    assert make().eval()(pictures(1, height, width)).shape == (1, 3, 2 * height, 2 * width)


def test_padding_is_outside_the_picture() -> None:
    net, low = make(norm="none"), pictures(1, 8, 8)
    low = torch.cat([low, low[..., -1:].expand(-1, -1, -1, 8)], dim=-1)  # as the network itself would pad 9 columns
    torch.testing.assert_close(net(low[..., :9]), net(low)[..., :18], atol=1e-5, rtol=1e-4)


def test_full_size_brings_64_px_down_to_one() -> None:
    net = UNet(UNetConfig(widths=(2, 2, 2, 2, 2, 2), outer_width=2)).eval()
    maps = [pictures(1, 64, 64)]
    for conv in net.encoder:
        maps.append(conv(maps[-1]))
    assert [m.shape[-1] for m in maps] == [64, 32, 16, 8, 4, 2, 1]
    assert net(maps[0]).shape == (1, 3, 128, 128)


def test_without_skips_all_passes_the_innermost_map() -> None:
    for skips in (True, False):
        net = make(scale=1, skips=skips, norm="none").eval()
        torch.nn.init.zeros_(net.decoder[0][0].weight)  # type: ignore[index]
        upscaled = net(pictures(2))
        assert torch.equal(upscaled[0], upscaled[1]) != skips


def test_bicubic_base_is_all_that_a_fresh_network_gives() -> None:
    net = UNet(TINY.model_copy(update={"base": "bicubic"}))
    assert torch.equal(net(pictures(2)), enlarge(pictures(2), 2))


def test_without_a_base_pictures_stay_in_range() -> None:
    upscaled = make()(pictures(2) * 100)
    assert 0 <= upscaled.min() < upscaled.max() <= 1


def test_both_are_rebuilt_from_their_cards() -> None:
    assert_rebuilt_from_card(make().eval(), UNet, UNetConfig, pictures(2))
    assert_rebuilt_from_card(grid().eval(), GridDiscriminator, GridConfig, pictures(2, 16, 16, planes=6))


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 6, 8, 8), (1, 3, 0, 8)])
def test_unet_names_what_does_not_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"UNet: low_res has shape .* expected \(B, 3, h, w\)"):
        make()(torch.zeros(shape))


@pytest.mark.parametrize("norm", ["batch", "spectral", "none"])
@pytest.mark.parametrize("discrimination", [0, 3])
def test_grid_learns_with_every_parameter(norm: str, discrimination: int) -> None:
    net = grid(norm=norm, discrimination=discrimination)
    logits = net(pictures(3, 32, 32, planes=6))
    assert logits.shape == (3, 1, 4, 4)
    assert_every_parameter_learns(net, logits)


@pytest.mark.parametrize(("widths", "cells"), [((4, 4, 4), 16), ((4, 4, 4, 4, 4), 4), ((4,) * 7, 1)])
def test_grid_stops_where_the_widths_end(widths: tuple[int, ...], cells: int) -> None:
    assert grid(widths=widths, condition=False, norm="none")(pictures(1, 128, 128)).shape == (1, 1, cells, cells)


def test_grid_sees_the_low_res_picture() -> None:
    net, seen = grid(norm="none"), pictures(2, 16, 16, planes=6)
    assert not torch.allclose(net(torch.cat([seen[:, :3], 1 - seen[:, 3:]], dim=1)), net(seen), atol=1e-5)


def test_minibatch_discrimination_sees_whether_pictures_are_alike() -> None:
    net = grid(norm="none", discrimination=3)
    alike, other = pictures(1, 16, 16, planes=6).expand(2, -1, -1, -1), pictures(2, 16, 16, planes=6)
    assert torch.equal(alike[0], other[0])
    assert not torch.allclose(net(alike)[0], net(other)[0], atol=1e-4)
    plain = grid(norm="none")
    torch.testing.assert_close(plain(alike)[0], plain(other)[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (6, 16, 16), (1, 6, 4, 16)])
def test_grid_names_what_does_not_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"GridDiscriminator: seen .*expected \(B, 6, H, W\) of at least 8 px"):
        grid()(torch.zeros(shape))
