"""The benchmark of seams tells what blending does from what tiles show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.seams import MARGIN, blending_steps, measure, row, with_other_tiles
from facegen.arrays import to_tensor
from facegen.ops.blending import blend
from facegen.ops.tiling import plan_tiles, split
from facegen.pipeline import FacePipeline
from tests.tiny import save_all

PLAN = plan_tiles(32, 64)


def test_tiles_that_agree_leave_blending_next_to_nothing_to_do() -> None:
    """Only a tile's first and last pixel, whose neighbours it does not show, and which weigh next to nothing."""
    image = torch.rand(3, 128, 256, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    part, step = blending_steps(split(image, PLAN), PLAN)
    assert part < 1e-3
    assert step < 0.05


def test_tiles_of_other_brightness_are_joined_by_blending_alone() -> None:
    """Flat tiles show no step, so all that there is comes of blending."""
    tiles = torch.tensor([0.2, 0.6, 0.3], dtype=torch.float64).reshape(3, 1, 1, 1).expand(3, 3, 128, 128)
    part, step = blending_steps(tiles, PLAN)
    assert part == pytest.approx(1)
    assert step == pytest.approx(255 * blend(tiles, PLAN).diff(dim=2).abs().mean((0, 1)).max().item())


def test_a_picture_is_measured_beside_itself(tmp_path: Path, head: NDArray[np.uint8]) -> None:
    pipeline = FacePipeline.load(save_all(tmp_path))
    upscaled = pipeline(to_tensor(head), 512)
    other = with_other_tiles(pipeline, upscaled)
    assert other.shape == upscaled.image.shape
    assert 0 < (other - upscaled.image).abs().mean() < 0.1  # the same picture, and yet another one
    assert MARGIN not in upscaled.plan.columns
    figures = measure(pipeline, upscaled)
    name, *cells = row("heads", [figures, figures])
    assert name == "heads"
    assert cells[0] == f"{figures.seams.mean:.3f} / {figures.seams.max:.3f}"
    assert len(cells) == 6
    assert figures.borders == 6
