"""Borders of blocks are evened out, on the blocks' lattice and nowhere else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.ops.deblocking import REACH, deblock

Float = NDArray[np.float32]


def blocks(step: float, block: int = 4) -> Float:
    """(32, 32, 3), grey blocks, each brighter than those above and to the left by `step`."""
    level = (np.arange(32) // block)[:, None] + (np.arange(32) // block)[None, :]
    return np.repeat((0.3 + step * level)[..., None], 3, axis=2).astype(np.float32)


def steps(image: Float, block: int) -> tuple[float, float]:
    """Mean |difference| of lines at borders, and elsewhere; along both axes."""
    at, elsewhere = [], []
    for lines in (image, image.swapaxes(0, 1)):
        size = np.abs(np.diff(lines, axis=0)).mean(axis=(1, 2))
        border = np.arange(1, len(lines)) % block == 0
        at.append(size[border].mean())
        elsewhere.append(size[~border].mean())
    return float(np.mean(at)), float(np.mean(elsewhere))


@pytest.mark.parametrize("block", [4, 8])
def test_small_steps_at_borders_become_slopes(block: int) -> None:
    image = blocks(2 / 255, block)
    assert steps(image, block) == pytest.approx((2 / 255, 0))
    at, elsewhere = steps(deblock(image, block), block)
    assert at < 0.5 * 2 / 255
    assert elsewhere > 0
    np.testing.assert_allclose(deblock(image, block)[8:24, 8:24].mean(), image[8:24, 8:24].mean(), atol=1e-4)


def test_the_pictures_own_edges_stay() -> None:
    image = blocks(1.01 * REACH)
    np.testing.assert_array_equal(deblock(image, 4), image)


def test_a_slope_stays() -> None:
    slope = np.repeat(np.linspace(0.1, 0.9, 32)[:, None, None], 32, axis=1).repeat(3, axis=2).astype(np.float32)
    np.testing.assert_allclose(deblock(slope, 4), slope, atol=1e-6)


@pytest.mark.parametrize("origin", [(0, 0), (3, 1), (5, 6), (2, 7)])
def test_a_part_is_evened_out_as_the_whole(origin: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    whole = blocks(2 / 255) + rng.normal(0, 0.002, (32, 32, 3)).astype(np.float32)
    top, left = origin
    part = deblock(whole[top:, left:], 4, origin)
    np.testing.assert_array_equal(part[4:-4, 4:-4], deblock(whole, 4)[top:, left:][4:-4, 4:-4])


def test_webp_portraits_lose_their_grid(astronaut: NDArray[np.uint8]) -> None:
    sharp = cv2.resize(astronaut[:256, 100:356], (512, 512), interpolation=cv2.INTER_CUBIC)
    _, data = cv2.imencode(".webp", sharp, [cv2.IMWRITE_WEBP_QUALITY, 85])
    image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.float32) / np.float32(255)
    (at, elsewhere), (after, beside) = steps(image, 4), steps(deblock(image, 4), 4)
    assert at > 1.1 * elsewhere
    assert abs(after / beside - 1) < 0.5 * (at / elsewhere - 1)
