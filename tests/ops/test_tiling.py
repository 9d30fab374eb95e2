"""The tile plan and the cut, over thousands of geometries."""

import doctest
import math
from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch

from facegen.errors import ShapeError, UsageError
from facegen.ops import tiling
from facegen.ops.tiling import TilePlan, plan_tiles, split


def geometries() -> Iterator[tuple[int, int, int]]:
    """(length, tile, overlap), about 9000 of them, the awkward ones included."""
    for tile in (1, 2, 3, 8, 31, 32):
        for overlap in {0, 1, tile // 3, tile // 2, tile - 2, tile - 1}:
            if 0 <= overlap < tile:
                yield from ((length, tile, overlap) for length in range(tile, tile + 300))


@pytest.mark.parametrize(
    ("size", "tiles", "rows"),
    [
        ((96, 96), 25, (0, 16, 32, 48, 64)),
        ((128, 128), 49, (0, 16, 32, 48, 64, 80, 96)),
        ((32, 32), 1, (0,)),
        ((33, 32), 2, (0, 1)),
        ((63, 64), 9, (0, 16, 31)),  # the middle of 0 and 31 is 15.5: halves go up
    ],
)
def test_known_plans(size: tuple[int, int], tiles: int, rows: tuple[int, ...]) -> None:
    plan = plan_tiles(*size)
    assert len(plan) == len(plan.boxes) == tiles
    assert plan.rows == rows


def test_every_geometry_is_covered_evenly_with_whole_tiles() -> None:
    for length, tile, overlap in geometries():
        starts = plan_tiles(length, tile, tile, overlap).rows
        steps = [second - first for first, second in pairwise(starts)]
        assert len(starts) == max(math.ceil((length - overlap) / (tile - overlap)), 1)
        assert starts[0] == 0
        assert starts[-1] == length - tile  # flush, and so a whole tile
        assert all(1 <= step <= tile - overlap for step in steps)  # covered, with at least the overlap asked for
        assert not steps or max(steps) - min(steps) <= 1


def test_boxes_go_row_by_row() -> None:
    assert plan_tiles(48, 64).boxes == ((0, 0), (0, 16), (0, 32), (16, 0), (16, 16), (16, 32))


def test_plans_compare_by_value() -> None:
    assert plan_tiles(96, 96) == TilePlan(96, 96, tile=32, overlap=16)
    assert len({plan_tiles(96, 96), plan_tiles(96, 96), plan_tiles(96, 97)}) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((20, 96), r"20 × 96 px picture is smaller than one 32 px tile; enlarge the picture to at least 32 px"),
        ((96, 31), r"96 × 31 px picture is smaller"),
        ((96, 96, 32, 32), r"overlap 32 is outside 0\.\.31, the range for a 32 px tile; choose about half .*\(16\)"),
        ((96, 96, 32, -1), r"overlap -1 is outside 0\.\.31"),
        ((96, 96, 0, 0), r"tile 0 is not a size"),
    ],
)
def test_impossible_plans_say_what_to_do(arguments: tuple[int, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_tiles(*arguments)


@pytest.mark.parametrize("scale", [1, 3, 8])
def test_split_takes_each_box(scale: int) -> None:
    plan = plan_tiles(40, 33, tile=16, overlap=5)
    image = torch.arange(2 * 40 * 33 * scale**2).reshape(2, 40 * scale, 33 * scale)
    tiles = split(image, plan)
    assert tiles.shape == (len(plan), 2, 16 * scale, 16 * scale)
    for tile, (top, left) in zip(tiles, plan.boxes, strict=True):
        assert tile[0, 0, 0] == image[0, top * scale, left * scale]
        assert tile[-1, -1, -1] == image[-1, (top + 16) * scale - 1, (left + 16) * scale - 1]


@pytest.mark.parametrize("shape", [(3, 100, 96), (3, 96, 192), (3, 95, 95), (96, 96), (1, 3, 96, 96), (3, 0, 0)])
def test_split_refuses_other_sizes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"split: image has shape .*, expected \(C, s\*96, s\*96\)"):
        split(torch.zeros(shape), plan_tiles(96, 96))


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(tiling).failed == 0
