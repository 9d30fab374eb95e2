"""Feathered blending: exact on a split picture, positive, order-free."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from facegen.errors import ShapeError
from facegen.ops.blending import blend, feather, ramp
from facegen.ops.tiling import TilePlan, plan_tiles, split


def plans() -> Iterator[TilePlan]:
    """Some 200 plans: no overlap, little, half, nearly all; one tile; uneven steps."""
    for tile, overlaps in ((1, (0,)), (4, (0, 1, 2, 3)), (9, (0, 4, 5, 8))):
        for overlap in overlaps:
            for height in range(tile, 3 * tile + 2, 2):
                yield plan_tiles(height, tile + height % 7, tile, overlap)


@dataclass(frozen=True)
class ShuffledPlan(TilePlan):
    """The same tiles in another order."""

    seed: int = 0

    @cached_property
    def boxes(self) -> tuple[tuple[int, int], ...]:
        boxes = super().boxes
        order = torch.randperm(len(boxes), generator=torch.Generator().manual_seed(self.seed))
        return tuple(boxes[i] for i in order)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_blend_undoes_split(scale: int, rng: torch.Generator) -> None:
    for plan in plans():
        image = torch.rand(3, scale * plan.height, scale * plan.width, generator=rng)
        assert (blend(split(image, plan), plan) - image).abs().max() <= 1e-6


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_blend_undoes_split_at_full_size(channels: int, rng: torch.Generator) -> None:
    plan = plan_tiles(96, 96)
    image = torch.rand(channels, 768, 768, generator=rng)
    torch.testing.assert_close(blend(split(image, plan), plan), image, atol=1e-6, rtol=0)


@pytest.mark.parametrize("scale", [1, 4])
def test_weights_are_positive_and_sum_to_one(scale: int) -> None:
    for plan in plans():
        weights = feather(plan, scale)
        total = torch.zeros(scale * plan.height, scale * plan.width)
        side = scale * plan.tile
        for (top, left), weight in zip(plan.boxes, weights, strict=True):
            total[scale * top : scale * top + side, scale * left : scale * left + side] += weight
        assert weights.min() > 0
        torch.testing.assert_close(total, torch.ones_like(total), atol=2e-6, rtol=0)


def test_ramps_by_hand() -> None:
    weights = feather(plan_tiles(4, 6, tile=4, overlap=2), scale=1)  # two tiles side by side, sharing two columns
    ramp = torch.tensor([0.1464466, 0.8535534])  # (1 - cos(pi/4)) / 2 and (1 - cos(3pi/4)) / 2
    torch.testing.assert_close(weights[0, 2], torch.cat([torch.ones(2), ramp.flip(0)]))
    torch.testing.assert_close(weights[1, 2], torch.cat([ramp, torch.ones(2)]))


def test_no_ramp_at_the_border_of_the_picture() -> None:
    weights = feather(plan_tiles(96, 96), scale=8)
    assert weights[0, 0, 0] == weights[4, 0, -1] == weights[20, -1, 0] == weights[24, -1, -1] == 1.0
    assert feather(plan_tiles(32, 32), scale=8).eq(1).all()


def test_a_ramp_is_as_long_as_the_actual_overlap() -> None:
    plan = plan_tiles(32, 63)  # steps of 16 and 15, so overlaps of 16 and 17
    weights = feather(plan, scale=8)[:, 0]  # (T, 256)
    for (first, second), shared in zip(pairwise(weights), (128, 136), strict=True):
        torch.testing.assert_close(first[-shared:] + second[:shared], torch.ones(shared), atol=0.02, rtol=0)
        assert first[-shared] > 0.98  # the tile in the middle has another ramp on its other side
        assert second[shared - 1] > 0.98


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_tiles_leaves_no_trace(seed: int, rng: torch.Generator) -> None:
    plan, shuffled = plan_tiles(40, 56, 16, 11), ShuffledPlan(40, 56, 16, 11, seed=seed)
    assert plan.boxes != shuffled.boxes
    tiles = torch.rand(len(plan), 3, 32, 32, generator=rng)  # neighbours disagree everywhere
    order = [plan.boxes.index(box) for box in shuffled.boxes]
    torch.testing.assert_close(blend(tiles[order], shuffled), blend(tiles, plan), atol=1e-6, rtol=0)


def test_every_pixel_lies_between_the_tiles_that_cover_it(rng: torch.Generator) -> None:
    plan = plan_tiles(48, 48)
    low, high = 0.2, 0.7
    picture = blend(low + (high - low) * torch.rand(len(plan), 3, 64, 64, generator=rng), plan)
    assert low - 1e-6 <= picture.min() <= picture.max() <= high + 1e-6


def test_a_list_gives_what_a_tensor_gives(rng: torch.Generator) -> None:
    plan = plan_tiles(48, 48)
    tiles = torch.rand(len(plan), 3, 32, 32, generator=rng)
    assert torch.equal(blend(list(tiles), plan), blend(tiles, plan))


def test_several_pictures_are_blended_at_once(rng: torch.Generator) -> None:
    plan = plan_tiles(48, 64)
    tiles = torch.rand(len(plan), 2, 3, 64, 64, generator=rng)
    assert torch.equal(blend(tiles, plan), torch.stack([blend(picture, plan) for picture in tiles.unbind(1)]))


def test_gradients_reach_every_tile() -> None:
    plan = plan_tiles(6, 6, tile=4, overlap=2)
    tiles = torch.rand(len(plan), 1, 4, 4, dtype=torch.float64, requires_grad=True)

    def picture(tiles: Tensor) -> Tensor:
        return blend(tiles, plan)

    assert torch.autograd.gradcheck(picture, (tiles,), atol=1e-6)


def test_errors_name_the_tile() -> None:
    plan = plan_tiles(48, 48)
    tiles = [torch.zeros(3, 256, 256) for _ in range(4)]
    with pytest.raises(ShapeError, match=r"blend: got 3 tiles, expected 4"):
        blend(tiles[:3], plan)
    with pytest.raises(ShapeError, match=r"tile 2 has shape \(3, 248, 256\), expected \(3, 256, 256\) = .* 8"):
        blend([*tiles[:2], torch.zeros(3, 248, 256), tiles[3]], plan)
    with pytest.raises(ShapeError, match=r"tile 0 has shape \(3, 250, 250\), expected \(C, s\*32, s\*32\)"):
        blend(torch.zeros(4, 3, 250, 250), plan)


@pytest.mark.parametrize("length", [1, 2, 7, 16])
def test_two_ramps_that_meet_sum_to_one(length: int) -> None:
    rise = ramp(length)
    torch.testing.assert_close(rise + rise.flip(0), torch.ones(length, dtype=torch.float64))
    assert (rise.diff() > 0).all()
    assert 0 < rise[0] <= 0.5


def test_half_precision_is_blended_as_float32() -> None:
    plan = plan_tiles(40, 48)
    tiles = split(torch.rand(3, 80, 96, generator=torch.Generator().manual_seed(0)), plan).half()
    blended = blend(tiles, plan)
    assert blended.dtype == torch.float32
    assert torch.equal(blended, blend(tiles.float(), plan))
