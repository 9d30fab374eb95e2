"""Choosing candidates: joint, deterministic, independent of their order."""

import pytest
import torch
from torch import Tensor

from facegen.errors import ShapeError, UsageError
from facegen.ops.blending import blend
from facegen.ops.choice import choice_map, choose, gather, hues
from facegen.ops.tiling import plan_tiles, split

PLAN = plan_tiles(48, 64, tile=16, overlap=8)  # 5 x 7 tiles


def picture_candidates(scale: int, rng: torch.Generator, count: int = 3) -> Tensor:
    """(T, K, 3, h, w): candidate k of every tile is cut from the same k-th picture, plus some noise."""
    pictures = torch.rand(count, 3, 1, 1, generator=rng).expand(-1, -1, 48 * scale, 64 * scale)
    tiles = torch.stack([split(picture, PLAN) for picture in pictures], dim=1)
    return tiles + 0.01 * torch.randn(tiles.shape, generator=rng)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_neighbours_overrule_one_odd_score(scale: int, rng: torch.Generator) -> None:
    candidates = picture_candidates(scale, rng)
    scores = torch.zeros(35, 3)
    scores[:, 1] = 0.5
    scores[17, 2] = 1.0
    assert choose(candidates, scores, PLAN).tolist() == [1] * 35
    assert choose(candidates, scores, PLAN, agreement=0.0).tolist() == [1] * 17 + [2] + [1] * 17


def test_the_picture_of_a_joint_choice_is_whole(rng: torch.Generator) -> None:
    candidates = picture_candidates(2, rng, count=2)
    shuffle = torch.rand(35, generator=rng) < 0.5  # which tiles list the two pictures the other way round
    candidates[shuffle] = candidates[shuffle].flip(1)
    scores = 0.1 * torch.randn(35, 2, generator=rng)
    index = choose(candidates, scores, PLAN)
    assert torch.equal(index ^ shuffle, (index ^ shuffle)[:1].expand(35))  # one and the same picture everywhere
    assert blend(gather(candidates, index), PLAN).std(dim=(1, 2)).max() < 0.02


def test_no_agreement_takes_the_best_scores(rng: torch.Generator) -> None:
    candidates, scores = picture_candidates(1, rng), torch.randn(35, 3, generator=rng)
    assert torch.equal(choose(candidates, scores, PLAN, agreement=0.0), scores.argmax(1))


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_candidates_does_not_matter(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    candidates, scores = torch.rand(35, 4, 3, 32, 32, generator=rng), torch.randn(35, 4, generator=rng)
    order = torch.randperm(4, generator=rng)
    permuted = choose(candidates[:, order], scores[:, order], PLAN)
    assert torch.equal(order[permuted], choose(candidates, scores, PLAN))


def test_brightness_range_does_not_matter(rng: torch.Generator) -> None:
    candidates, scores = torch.rand(35, 3, 3, 32, 32, generator=rng), torch.randn(35, 3, generator=rng)
    assert torch.equal(choose(0.1 * candidates + 0.4, scores, PLAN), choose(candidates, scores, PLAN))


def test_repeats_exactly(rng: torch.Generator) -> None:
    candidates, scores = torch.rand(35, 3, 3, 32, 32, generator=rng), torch.randn(35, 3, generator=rng)
    assert torch.equal(choose(candidates, scores, PLAN), choose(candidates.clone(), scores.clone(), PLAN))


@pytest.mark.parametrize("agreement", [0.0, 1.0, 100.0])
def test_equal_candidates_leave_the_choice_to_the_scores(agreement: float, rng: torch.Generator) -> None:
    candidates = torch.rand(35, 1, 3, 32, 32, generator=rng).expand(-1, 3, -1, -1, -1)
    scores = torch.randn(35, 3, generator=rng)
    assert torch.equal(choose(candidates, scores, PLAN, agreement), scores.argmax(1))


@pytest.mark.parametrize(("size", "overlap"), [((16, 16), 8), ((16, 40), 8), ((48, 48), 0)])
def test_grids_without_neighbours_in_some_direction(size: tuple[int, int], overlap: int, rng: torch.Generator) -> None:
    plan = plan_tiles(*size, tile=16, overlap=overlap)
    candidates, scores = torch.rand(len(plan), 2, 3, 16, 16, generator=rng), torch.randn(len(plan), 2, generator=rng)
    index = choose(candidates, scores, plan, agreement=0.01)
    assert torch.equal(index, scores.argmax(1))


def test_a_single_candidate_is_chosen(rng: torch.Generator) -> None:
    assert choose(torch.rand(35, 1, 3, 16, 16, generator=rng), torch.zeros(35, 1), PLAN).tolist() == [0] * 35


def test_each_of_several_pictures_is_chosen_by_itself(rng: torch.Generator) -> None:
    candidates, scores = torch.rand(3, 35, 3, 3, 32, 32, generator=rng), torch.randn(3, 35, 3, generator=rng)
    candidates[1] *= 0.1  # what one picture's disagreement is divided by is its own
    together = choose(candidates.flatten(0, 1), scores.flatten(0, 1), PLAN)
    assert torch.equal(together, torch.cat([choose(*pair, PLAN) for pair in zip(candidates, scores, strict=True)]))


def test_gather_takes_one_of_each(rng: torch.Generator) -> None:
    candidates, index = torch.rand(4, 3, 3, 8, 8, generator=rng), torch.tensor([2, 0, 1, 2])
    chosen = gather(candidates, index)
    assert chosen.shape == (4, 3, 8, 8)
    assert all(torch.equal(chosen[t], candidates[t, k]) for t, k in enumerate(index.tolist()))


@pytest.mark.parametrize("k", [1, 2, 8, 9, 20])
def test_candidates_have_colours_that_differ(k: int) -> None:
    colours = hues(k)
    assert colours.shape == (k, 3)
    assert len({tuple(colour) for colour in colours.tolist()}) == k
    assert colours.min() >= 0
    assert colours.max() <= 1


def test_choice_map_shows_each_tile_in_its_hue() -> None:
    plan = plan_tiles(48, 32)  # two tiles, one above the other
    painted = choice_map(torch.tensor([0, 2]), plan, scale=2, k=3)
    assert painted.shape == (3, 96, 64)
    assert painted[:, 0, 0].mul(255).tolist() == pytest.approx([230, 159, 0])  # the first colour: orange
    assert painted[:, -1, -1].mul(255).tolist() == pytest.approx([0, 158, 115])  # the third: green
    assert painted[0, :, 0].gt(0.5).sum() == 48  # the border runs between the two centres
    assert torch.equal(painted[:, -1, -1], hues(3)[2])


@pytest.mark.parametrize(
    ("candidates", "scores", "message"),
    [
        ((34, 2, 3, 16, 16), (34, 2), r"candidates have shape \(34, .*\), expected \(35, K, 3, h, w\)"),
        ((35, 0, 3, 16, 16), (35, 0), r"K at least 1"),
        ((35, 2, 3, 16, 20), (35, 2), r"candidates are 16 × 20 px, expected a multiple of 16"),
        ((35, 2, 3, 16, 16), (35, 3), r"scores have shape \(35, 3\), expected \(35, 2\)"),
    ],
)
def test_shapes_are_checked(candidates: tuple[int, ...], scores: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        choose(torch.zeros(candidates), torch.zeros(scores), PLAN)


def test_other_errors() -> None:
    for agreement in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match=r"agreement .* is not a weight; choose 0 \(off\) or more"):
            choose(torch.zeros(35, 2, 3, 16, 16), torch.zeros(35, 2), PLAN, agreement)
    with pytest.raises(
        ShapeError, match=r"gather: candidates .* and index \(3,\), expected \(T, K, 3, h, w\) and \(T,"
    ):
        gather(torch.zeros(4, 2, 3, 8, 8), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ShapeError, match=r"choice_map: index has shape \(3,\), expected \(35,\), one per tile"):
        choice_map(torch.zeros(3, dtype=torch.int64), PLAN, scale=8, k=2)
