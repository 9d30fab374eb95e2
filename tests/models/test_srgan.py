"""SRGAN's generator and discriminator."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from facegen.errors import ShapeError
from facegen.models.jnet import enlarge
from facegen.models.srgan import SRGANConfig, SRGANDiscriminator, SRGANDiscriminatorConfig, SRGANGenerator
from tests.models.checks import assert_every_parameter_learns, assert_rebuilt_from_card, pictures

TINY = SRGANConfig(blocks=2, width=6, end_kernel=5)
TINY_DISCRIMINATOR = SRGANDiscriminatorConfig(width=4, dense=8, grid=2)


def make(**changes: Any) -> SRGANGenerator:
    """A seeded network whose last layer is as strong as the others."""
    torch.manual_seed(0)
    net = SRGANGenerator(SRGANConfig.model_validate(TINY.model_dump() | changes))
    torch.nn.init.normal_(net.to_rgb.weight, 0, 0.2)
    return net


def discriminator(**changes: Any) -> SRGANDiscriminator:
    torch.manual_seed(1)
    return SRGANDiscriminator(SRGANDiscriminatorConfig.model_validate(TINY_DISCRIMINATOR.model_dump() | changes))


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"upsample": "pixelshuffle", "padding": "zeros"},
        {"norm": "none", "base": "bicubic"},
        {"end_kernel": 9},
    ],
)
def test_every_variant_upscales_pictures_and_trains_all_of_its_parameters(
    scale: int, changes: dict[str, Any]
) -> None:
    net = make(scale=scale, **changes)
    upscaled = net(pictures(2, 6, 10))
    assert upscaled.shape == (2, 3, 6 * scale, 10 * scale)
    assert upscaled.dtype == torch.float32
    assert_every_parameter_learns(net, upscaled)


def test_paper_has_sixteen_blocks_and_as_many_parameters() -> None:
    """As counted from figure 4 of the paper; 5 x 64 of them are PReLU's slopes beyond the paper's one per layer."""
    config = SRGANConfig(upsample="pixelshuffle", padding="zeros")
    ends, block = 81 * 3 * 64 + 64, 2 * (9 * 64 * 64 + 64 + 2 * 64) + 64
    expected = ends + 64 + 16 * block + (9 * 64 * 64 + 64 + 128) + 2 * (9 * 64 * 256 + 256 + 64) + (81 * 64 * 3 + 3)
    assert sum(p.numel() for p in SRGANGenerator(config).parameters()) == expected


def test_bicubic_base_is_all_that_a_fresh_network_gives() -> None:
    net = SRGANGenerator(TINY.model_copy(update={"base": "bicubic"}))
    low = pictures(2)
    assert torch.equal(net(low), enlarge(low, 4))
    torch.testing.assert_close(enlarge(low, 4), F.interpolate(low, scale_factor=4, mode="bicubic"))


def test_without_a_base_pictures_start_grey_and_stay_in_range() -> None:
    low = pictures(2)
    torch.manual_seed(0)
    torch.testing.assert_close(SRGANGenerator(TINY)(low), torch.full((2, 3, 32, 32), 0.5), atol=0.1, rtol=0)
    upscaled = make()(low * 100)
    assert 0 <= upscaled.min() < upscaled.max() <= 1


def test_reflection_leaves_no_frame_on_an_even_picture() -> None:
    even = torch.full((1, 3, 12, 12), 0.3)
    framed, plain = (make(padding=padding, norm="none")(even) for padding in ("zeros", "reflect"))
    assert plain.std(dim=(2, 3)).max() < 1e-5
    assert framed.std(dim=(2, 3)).max() > 1e-3


def test_each_picture_by_itself_without_batchnorm() -> None:
    net = make(norm="none")
    torch.testing.assert_close(net(pictures(3))[1:2], net(pictures(3)[1:2]), atol=1e-5, rtol=1e-4)


def test_mixed_precision_takes_the_slopes_along() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        upscaled = make()(pictures(2))
    assert upscaled.dtype == torch.float32
    upscaled.sum().backward()


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 4, 8, 8), (1, 3, 2, 8)])
def test_generator_names_what_does_not_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"SRGANGenerator: low_res has shape .* expected .* of at least 3 px"):
        make()(torch.zeros(shape))


def test_both_are_rebuilt_from_their_cards() -> None:
    assert_rebuilt_from_card(make().eval(), SRGANGenerator, SRGANConfig, pictures(2))
    assert_rebuilt_from_card(discriminator().eval(), SRGANDiscriminator, SRGANDiscriminatorConfig, pictures(2, 32, 32))


@pytest.mark.parametrize("norm", ["batch", "spectral", "none"])
@pytest.mark.parametrize("side", [16, 40])
def test_discriminator_gives_one_logit_for_pictures_of_any_side(norm: str, side: int) -> None:
    net = discriminator(norm=norm, grid=1 if side == 16 else 2)
    logits = net(pictures(3, side, side) * 2 - 1)
    assert logits.shape == (3, 1)
    assert_every_parameter_learns(net, logits)


def test_papers_discriminator_sees_six_by_six_of_96_px() -> None:
    net = SRGANDiscriminator(TINY_DISCRIMINATOR.model_copy(update={"grid": 6}))
    (seen,) = net.activations(pictures(1, 96, 96))
    assert seen.shape == (1, 32, 6, 6)
    assert torch.equal(net.logits[0](seen), seen)
    assert sum(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules()) == 7


def test_discriminator_may_see_the_low_res_picture() -> None:
    net, seen = discriminator(condition=True, norm="none"), pictures(2, 16, 16, planes=6)
    assert net(seen).shape == (2, 1)
    assert not torch.allclose(net(torch.cat([seen[:, :3], 1 - seen[:, 3:]], dim=1)), net(seen), atol=1e-5)
    with pytest.raises(ShapeError, match=r"SRGANDiscriminator: seen .*expected \(B, 6, H, W\) of at least 16 px"):
        net(seen[:, :3])
