"""A picture's histogram matched to another's, and its colours to the tone of a toned photo."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from facegen.arrays import RGB, to_tensor
from facegen.errors import ShapeError
from facegen.ops.color import in_tone, luma, match_histogram
from facegen.ops.consistency import downsample_area


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_quantiles_become_those_of_the_reference() -> None:
    picture, reference = noise(3, 40, 30) ** 3, noise(3, 20, 10, seed=1) * 0.5 + 0.2
    matched = match_histogram(picture, reference)
    assert matched.shape == picture.shape
    assert matched.dtype == torch.float32
    at = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95])
    for channel, theirs in zip(matched, reference, strict=True):
        torch.testing.assert_close(channel.quantile(at), theirs.quantile(at), atol=0.01, rtol=0)


def test_order_within_a_channel_is_kept() -> None:
    picture = noise(1, 12, 12)
    matched = match_histogram(picture, noise(1, 30, 30, seed=1) ** 2)
    order = picture.flatten().argsort()
    assert (matched.flatten()[order].diff() >= 0).all()


def test_picture_of_its_own_histogram_stays() -> None:
    picture = noise(3, 9, 11)
    torch.testing.assert_close(match_histogram(picture, picture), picture, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("ours", "theirs"), [((3, 8, 8), (1, 8, 8)), ((1, 3, 8, 8), (3, 8, 8)), ((3, 8, 8), (8, 8))])
def test_shapes_that_do_not_fit(ours: tuple[int, ...], theirs: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="match_histogram: picture has shape"):
        match_histogram(torch.zeros(ours), torch.zeros(theirs))


# --- toned photos


def sepia(photo: torch.Tensor) -> torch.Tensor:
    """A (3, H, W) photo in browns, darker ones warmer."""
    light = luma(photo)
    return torch.stack([0.15 + 0.85 * light**0.95, 0.09 + 0.85 * light, 0.04 + 0.76 * light**1.2])


@pytest.mark.parametrize("tone", [sepia, lambda photo: luma(photo).expand(3, -1, -1)])
def test_colours_that_a_toned_photo_lacks_are_taken_out(
    head: RGB, tone: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    toned = tone(to_tensor(head))
    fringed = (toned + 0.05 * noise(3, 192, 192)).clamp(0, 1)
    made = in_tone(fringed, downsample_area(toned, (48, 48)))
    torch.testing.assert_close(luma(made), luma(fringed), atol=6e-3, rtol=0)
    assert (made - luma(made) - (toned - luma(toned))).abs().mean() < 0.004
    assert (fringed - luma(fringed) - (toned - luma(toned))).abs().mean() > 0.01


def test_a_photo_in_colour_keeps_its_colours(head: RGB) -> None:
    photo = to_tensor(head)
    assert in_tone(photo, downsample_area(photo, (96, 96))) is photo


def test_a_tone_of_one_brightness(head: RGB) -> None:
    made = in_tone(to_tensor(head), torch.tensor([0.5, 0.4, 0.3])[:, None, None].expand(3, 32, 32))
    red, _, blue = made - luma(made)
    assert 0.05 < red[60:120, 60:120].mean() < 0.12
    assert -0.15 < blue[60:120, 60:120].mean() < -0.08
