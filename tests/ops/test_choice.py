"""Choosing candidates: joint, deterministic, independent of their order, and nearly always optimal."""

from itertools import product

import pytest
import torch
from torch import Tensor

from facegen.errors import ShapeError, UsageError
from facegen.ops import choice
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


# --- the search over a grid, compared with all labellings


Problem = tuple[Tensor, Tensor, Tensor]


def problem(rows: int, columns: int, count: int, seed: int) -> Problem:
    """Random quality and costs, all of the same size: harder than any picture."""
    rng = torch.Generator().manual_seed(seed)
    shapes = ((rows, columns), (rows, columns - 1, count), (rows - 1, columns, count))
    quality, across, down = (torch.randn(*shape, count, generator=rng, dtype=torch.float64) for shape in shapes)
    return quality, across, down


def label_grid(*given: Tensor) -> Tensor:
    """Label one grid: (R, N)."""
    return choice.label_grid(*(part[None] for part in given))[0]


def grid_value(labels: Tensor, *given: Tensor) -> Tensor:
    """The values of labellings of one grid: (S, R, N) -> (S,)."""
    return choice.grid_value(labels[:, None], *(part[None] for part in given))[:, 0]


def every_labelling(rows: int, columns: int, count: int) -> Tensor:
    return torch.tensor(list(product(range(count), repeat=rows * columns))).reshape(-1, rows, columns)


def test_value_by_hand() -> None:
    quality = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])  # one row of two nodes, two labels
    across = torch.tensor([[[[10.0, 20.0], [30.0, 40.0]]]])
    labels = torch.tensor([[[0, 1]], [[1, 0]]])
    assert grid_value(labels, quality, across, torch.zeros(0, 2, 2, 2)).tolist() == [1 + 4 - 20, 2 + 3 - 30]


@pytest.mark.parametrize(("rows", "columns", "count"), [(1, 1, 3), (1, 8, 2), (8, 1, 2), (1, 5, 4)])
@pytest.mark.parametrize("seed", range(5))
def test_a_single_line_is_solved_exactly(rows: int, columns: int, count: int, seed: int) -> None:
    given = problem(rows, columns, count, seed)
    values = grid_value(every_labelling(rows, columns, count), *given)
    found = grid_value(label_grid(*given)[None], *given)
    torch.testing.assert_close(found[0], values.max())


@pytest.mark.parametrize(("rows", "columns", "count"), [(3, 3, 2), (3, 3, 3), (2, 5, 2), (3, 4, 2), (2, 2, 6)])
def test_grids_are_solved_nearly_always_exactly(rows: int, columns: int, count: int) -> None:
    every = every_labelling(rows, columns, count)
    shortfalls = []
    for seed in range(20):
        given = problem(rows, columns, count, seed)
        values = grid_value(every, *given)
        found = grid_value(label_grid(*given)[None], *given)[0]
        shortfalls.append(float((values.max() - found) / (values.max() - values.mean())))
    assert sum(shortfall < 1e-9 for shortfall in shortfalls) >= 17
    assert max(shortfalls) < 0.2


def best_by_columns(quality: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """The optimum's value, exactly: dynamic programming over the columns, each of K^R states."""
    rows, columns, count = quality.shape
    states, row = every_labelling(rows, 1, count)[:, :, 0], torch.arange(rows)  # (S, R)

    def worth(column: int) -> Tensor:
        links = down[row[:-1], column, states[:, :-1], states[:, 1:]].sum(1)
        return quality[row, column, states].sum(1) - links  # (S,)

    best = worth(0)
    for column in range(1, columns):
        links = across[row, column - 1, states[:, None], states[None]].sum(-1)  # (S, S)
        best = (best[:, None] - links).amax(0) + worth(column)
    return best.amax()


def test_the_exact_solver_of_these_tests() -> None:
    given = problem(3, 4, 2, seed=0)
    torch.testing.assert_close(best_by_columns(*given), grid_value(every_labelling(3, 4, 2), *given).max())


@pytest.mark.parametrize(("columns", "count"), [(5, 2), (5, 3), (12, 2)])
def test_larger_grids_are_solved_nearly_exactly(columns: int, count: int) -> None:
    shortfalls = []
    for seed in range(10):
        given = problem(5, columns, count, seed)
        best, found = best_by_columns(*given), grid_value(label_grid(*given)[None], *given)[0]
        assert found <= best + 1e-9
        shortfalls.append(float((best - found) / best))
    assert sum(shortfalls) / len(shortfalls) < 0.02


@pytest.mark.parametrize("seed", range(10))
def test_never_worse_than_a_start(seed: int) -> None:
    given = problem(5, 7, 4, seed)
    constant = torch.arange(4)[:, None, None].expand(-1, 5, 7)
    starts = torch.cat([given[0].argmax(-1)[None], constant])
    assert grid_value(label_grid(*given)[None], *given) >= grid_value(starts, *given).max()


@pytest.mark.parametrize("seed", range(10))
def test_labels_are_only_names(seed: int) -> None:
    quality, across, down = problem(5, 5, 4, seed)
    order = torch.randperm(4, generator=torch.Generator().manual_seed(seed))
    renamed = label_grid(quality[..., order], across[..., order, :][..., order], down[..., order, :][..., order])
    assert torch.equal(order[renamed], label_grid(quality, across, down))


@pytest.mark.parametrize("seed", range(10))
def test_without_costs_each_node_takes_its_best(seed: int) -> None:
    quality, across, down = problem(4, 6, 3, seed)
    assert torch.equal(label_grid(quality, 0 * across, 0 * down), quality.argmax(-1))


def test_each_of_several_grids_is_labelled_by_itself() -> None:
    problems = [problem(5, 4, 3, seed) for seed in range(6)]
    together = choice.label_grid(*map(torch.stack, zip(*problems, strict=True)))
    assert torch.equal(together, torch.stack([label_grid(*given) for given in problems]))
