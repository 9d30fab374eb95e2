"""Random numbers of a step: known from the seed, and the same however many processes share the batch."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from facegen.training.draws import Draws

SEED, BATCH = (3, 20, 1), 24
KINDS: dict[str, Callable[[Draws, int], Tensor]] = {
    "rand": lambda draws, count: draws.rand(count, 2, 3),
    "randn": lambda draws, count: draws.randn(count, 5),
    "randint": lambda draws, count: draws.randint(-4, 9, count, 7),
    "flat": lambda draws, count: draws.rand(count),
}


@pytest.fixture(params=KINDS)
def draw(request: pytest.FixtureRequest) -> Callable[[Draws, int], Tensor]:
    return KINDS[request.param]


def sequence(draws: Draws, batch: int) -> list[Tensor]:
    """Several kinds of draws after each other, as a phase makes them; the shared ones once for each row."""
    parts = [draw(draws, batch) for draw in KINDS.values()]
    shared = torch.tensor(draws.shared(0, 1000, 3)).expand(batch, 3)
    return [*parts, shared, draws.randn(batch)]


@pytest.mark.parametrize("world", [2, 3, 4])
def test_the_ranks_rows_together_are_a_single_process_s(world: int) -> None:
    ranks = [sequence(Draws(*SEED, rank=rank, world=world), BATCH // world) for rank in range(world)]
    for alone, *shares in zip(sequence(Draws(*SEED), BATCH), *ranks, strict=True):
        assert all(len(share) == BATCH // world for share in shares)
        assert torch.equal(torch.cat(shares), alone)


def test_ranks_rows_differ(draw: Callable[[Draws, int], Tensor]) -> None:
    first, second = (draw(Draws(*SEED, rank=rank, world=2), 8) for rank in (0, 1))
    assert not torch.equal(first, second)


def test_shared_numbers_are_equal_in_all_ranks_and_go_on() -> None:
    ranks = [Draws(*SEED, rank=rank, world=3) for rank in range(3)]
    first, second = ([draws.shared(0, 10**6, 4) for draws in ranks] for _ in range(2))
    assert first[0] == first[1] == first[2]
    assert second[0] == second[1] == second[2]
    assert first[0] != second[0]


def test_reproducible_whatever_the_global_state(draw: Callable[[Draws, int], Tensor]) -> None:
    torch.manual_seed(1)
    before = draw(Draws(*SEED), BATCH)
    torch.manual_seed(2)
    assert torch.equal(draw(Draws(*SEED), BATCH), before)


def test_the_global_state_is_let_be() -> None:
    state = torch.get_rng_state()
    sequence(Draws(*SEED), BATCH)
    assert torch.equal(torch.get_rng_state(), state)


def test_known_for_good() -> None:
    """A checkpoint of today must go on in the same way tomorrow: no random state is saved in it."""
    assert Draws(3, 20, -1).shared(0, 10**6, 3) == [647761, 171212, 717161]


@pytest.mark.parametrize("other", [(4, 20, 1), (3, 21, 1), (3, 20, 2), (3, 1, 20), (3, 20, -1), (3, 20), (0, 0, 0)])
def test_another_seed_draws_others(draw: Callable[[Draws, int], Tensor], other: tuple[int, ...]) -> None:
    assert not torch.equal(draw(Draws(*other), BATCH), draw(Draws(*SEED), BATCH))


def test_neighbouring_steps_and_phases_never_share_a_seed() -> None:
    known = list(itertools.product(range(4), range(500), range(-1, 3)))
    assert len({Draws(*seed).rng.initial_seed() for seed in known}) == len(known)


def test_ranges() -> None:
    draws = Draws(*SEED)
    uniform, whole, shared = draws.rand(5000), draws.randint(-2, 3, 5000), draws.shared(5, 8, 200)
    assert 0 <= uniform.min() < 0.01
    assert 0.99 < uniform.max() < 1
    assert set(whole.tolist()) == {-2, -1, 0, 1, 2}
    assert set(shared) == {5, 6, 7}
    normal = draws.randn(5000)
    assert abs(normal.mean()) < 0.06
    assert abs(normal.std() - 1) < 0.04
