"""A JPEG's ringing and blocks go, and nothing moves further than its file leaves open."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from facegen.arrays import RGB
from facegen.media.decoding import quantisation
from facegen.ops.blocks import SHARE, TO_PLANES, Quantisation, smooth_blocks


def compressed(rgb: RGB, **options: int) -> tuple[RGB, Quantisation]:
    """A picture saved as JPEG and decoded again, and what the file says of its blocks."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", **options)
    with Image.open(file) as opened:
        found = quantisation(opened)
        assert found is not None
        return np.array(opened.convert("RGB")), found


def components(rgb: RGB) -> torch.Tensor:
    """(3, N, 8, 8): cosine components of a picture's luma and chroma."""
    n = torch.arange(8, dtype=torch.float64)
    rows = torch.cos((2 * n + 1) * n[:, None] * torch.pi / 16) / 2
    rows[0] /= 2**0.5
    planes = torch.tensor(TO_PLANES).double() @ torch.from_numpy(rgb).double().flatten(0, 1).T
    height, width = rgb.shape[0] // 8, rgb.shape[1] // 8
    blocks = planes.reshape(3, height, 8, width, 8).transpose(2, 3).flatten(1, 2)
    return rows @ blocks @ rows.T


def test_ringing_beside_an_edge_goes_and_the_edge_stays() -> None:
    y, x = np.mgrid[:96, :96]
    inside = np.hypot(x - 48, y - 50) < 27
    disc = np.where(inside[..., None], (40, 30, 25), (120, 170, 230)).astype(np.uint8)
    beaded, file = compressed(disc, quality=60)
    smooth = smooth_blocks(beaded, file)
    beside = (np.hypot(x - 48, y - 50) > 30) & (np.hypot(x - 48, y - 50) < 42)
    assert smooth[beside].std(axis=0).max() < 0.65 * beaded[beside].std(axis=0).max()
    assert np.square(smooth.astype(float) - disc).mean() < 0.8 * np.square(beaded.astype(float) - disc).mean()
    assert abs(smooth[48].astype(int) - beaded[48]).max() < 40 < abs(np.diff(smooth[48].astype(int), axis=0)).max()


@pytest.mark.parametrize("quality", [30, 85])
def test_no_component_moves_by_more_than_its_share_of_a_step(astronaut: RGB, quality: int) -> None:
    before, file = compressed(astronaut[:272, :280], quality=quality, subsampling=0)
    moved = (components(smooth_blocks(before, file)) - components(before)).abs()
    unclipped = torch.from_numpy(((before > 12) & (before < 243)).all(axis=2)).reshape(34, 8, 35, 8)
    moved = moved[:, unclipped.transpose(1, 2).all(dim=(2, 3)).flatten()]
    rounding = 3.0  # of 64 pixels, to 8 bits
    for plane, steps in zip(moved, (file.luma, file.chroma, file.chroma), strict=True):
        assert (plane <= SHARE * torch.tensor(steps).view(8, 8) + rounding).all()
    assert moved.mean() > 0.05


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_colours_that_pixels_share_are_smoothed_on_their_own_grid(astronaut: RGB, subsampling: int) -> None:
    original = astronaut[40:301, 100:401]
    before, file = compressed(original, quality=40, subsampling=subsampling)
    assert file.part == [(1, 1), (1, 2), (2, 2)][subsampling]
    smooth = smooth_blocks(before, file)
    assert smooth.shape == before.shape
    assert np.square(smooth.astype(float) - original).mean() < np.square(before.astype(float) - original).mean()


def test_tiles_do_not_show(astronaut: RGB) -> None:
    """The same picture with its upper left part away is smoothed in other tiles."""
    before, file = compressed(astronaut, quality=50)
    whole, part = smooth_blocks(before, file), smooth_blocks(np.ascontiguousarray(before[96:, 160:]), file)
    differences = abs(whole[96:, 160:].astype(int) - part)[40:, 40:]
    assert differences.max() <= 2
    assert differences.mean() < 0.02
