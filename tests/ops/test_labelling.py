"""The search over a grid, against trying every labelling."""

from itertools import product

import pytest
import torch
from torch import Tensor

from facegen.ops import choice

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
