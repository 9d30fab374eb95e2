"""Remove the blocks and ringing of a JPEG without contradicting its file.

A JPEG stores the cosine components of blocks of 8 x 8 samples, each rounded to a multiple of a step in the file. So
every picture whose components are within half a step agrees with the file. A smooth one is found by gradient descent on
the total variation (Huber's, so that slopes do not become stairs), with the components clamped after each round. After
F. Alter, S. Durand and J. Froment, "Adapted Total Variation for Artifact Free Decompression of JPEG Images", Journal of
Mathematical Imaging and Vision 23, 2005.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.arrays import RGB

SIDE = 8
SHARE = 0.3
"""Share of a step by which a component may change; half a step would remove texture too."""
SLOPE = 8.0
"""Largest difference between neighbours, in 8-bit steps, that is a slope and not an edge."""
ROUNDS, PACE = 16, 5.0
"""Rounds of the descent, and the change of a sample in the first, in 8-bit steps. Another 24 rounds would change
0.1 % at quality 55."""
TILE, MARGIN = 512, 32
"""Side of the tiles smoothed at a time, which fit into a CPU's cache, and the margin read around them; multiples of 8.
"""
TO_PLANES = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""JPEG's luma and chroma of RGB, without the offset."""


@dataclass(frozen=True)
class Quantisation:
    """The quantisation steps and chroma subsampling of a JPEG."""

    luma: tuple[int, ...]
    """64 steps, row by row, the lowest vertical frequency first; in 8-bit steps."""
    chroma: tuple[int, ...]
    part: tuple[int, int] = (1, 1)
    """Pixels down and across per chroma sample: 1, 2 or 4."""


@torch.inference_mode()
def smooth_blocks(rgb: RGB, file: Quantisation) -> RGB:
    """Smooth a decoded JPEG, (H, W, 3), whose blocks start in its top left corner.

    No component of luma and chroma changes by more than `SHARE` of its step, up to rounding.
    """
    smooth = np.empty_like(rgb)
    for top in range(0, rgb.shape[0], TILE):
        for left in range(0, rgb.shape[1], TILE):
            first, outer = max(top - MARGIN, 0), max(left - MARGIN, 0)
            near = rgb[first : top + TILE + MARGIN, outer : left + TILE + MARGIN]
            inner = _smoothed(near, file)[top - first : top - first + TILE, left - outer : left - outer + TILE]
            smooth[top : top + TILE, left : left + TILE] = inner
    return smooth


def _smoothed(rgb: RGB, file: Quantisation) -> RGB:
    to_planes = torch.tensor(TO_PLANES)
    image = torch.from_numpy(rgb.astype(np.float32))  # (H, W, 3)
    luma, *chroma = (image @ to_planes.T).unbind(-1)
    shifts = [_shift(luma, file.luma, (1, 1)), *(_shift(plane, file.chroma, file.part) for plane in chroma)]
    moved = image + torch.stack(shifts, -1) @ torch.linalg.inv(to_planes).T
    return np.asarray(moved.round_().clamp_(0, 255).byte().numpy())


def _shift(plane: Tensor, steps: tuple[int, ...], part: tuple[int, int]) -> Tensor:
    """Compute the change of an (H, W) plane by smoothing; `part` pixels share a sample."""
    height, width = plane.shape
    below, right = -height % (SIDE * part[0]), -width % (SIDE * part[1])
    samples = F.avg_pool2d(F.pad(plane[None, None], (0, right, 0, below), mode="replicate"), part)[0, 0]
    shift = _descend(samples, SHARE * samples.new_tensor(steps))
    if part != (1, 1):
        shift = F.interpolate(shift[None, None], scale_factor=part, mode="bilinear")[0, 0]
    return shift[:height, :width]


def _descend(plane: Tensor, most: Tensor) -> Tensor:
    """Find the change of a plane of complete blocks, (H, W), that minimises its variation; `most`, (64,), limits the
    change of each component.
    """
    blocks, cosines = (plane.shape[0] // SIDE, plane.shape[1] // SIDE), _cosines()
    shift = torch.zeros_like(plane)
    for number in range(ROUNDS):
        now = plane + shift
        across = F.pad(now[:, 1:] - now[:, :-1], (0, 1))
        down = F.pad(now[1:] - now[:-1], (0, 0, 0, 1))
        pace = (across * across).addcmul_(down, down).add_(SLOPE**2).rsqrt_().mul_(PACE * (1 - number / ROUNDS))
        across, down = across.mul_(pace), down.mul_(pace)
        shift.add_(across).add_(down)
        shift[:, 1:] -= across[:, :-1]
        shift[1:] -= down[:-1]
        components = shift.view(blocks[0], SIDE, blocks[1], SIDE).transpose(1, 2).reshape(-1, SIDE**2) @ cosines.T
        clamped = components.clamp_(-most, most) @ cosines
        shift = clamped.view(*blocks, SIDE, SIDE).transpose(1, 2).reshape(plane.shape)
    return shift


@cache
@torch.inference_mode(False)
def _cosines() -> Tensor:
    """Return the orthonormal (64, 64) matrix from the samples of a block to its components."""
    n = torch.arange(SIDE, dtype=torch.float64)
    rows = torch.cos((2 * n + 1) * n[:, None] * math.pi / (2 * SIDE)) * math.sqrt(2 / SIDE)
    rows[0] /= math.sqrt(2)
    return torch.kron(rows, rows).float()
