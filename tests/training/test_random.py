"""Random numbers of a step: known from the seed, and the same however many processes share the batch."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from facegen.training.random import POLICIES, Draws, colour, cutout, diffaugment, translation

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


def rng(seed: int = 0) -> Draws:
    return Draws(seed)


@pytest.fixture
def pictures() -> Tensor:
    return rng(7).rand(6, 3, 16, 16) * 2 - 1


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
class TestEveryPolicy:
    def test_keeps_the_shape_and_changes_the_picture(
        self, policy: Callable[[Tensor, Draws], Tensor], pictures: Tensor
    ) -> None:
        changed = policy(pictures, rng())
        assert changed.shape == pictures.shape
        assert not torch.equal(changed, pictures)

    def test_is_known_from_the_generator(self, policy: Callable[[Tensor, Draws], Tensor], pictures: Tensor) -> None:
        assert torch.equal(policy(pictures, rng(1)), policy(pictures, rng(1)))
        assert not torch.equal(policy(pictures, rng(1)), policy(pictures, rng(2)))

    def test_does_not_change_its_input(self, policy: Callable[[Tensor, Draws], Tensor], pictures: Tensor) -> None:
        before = pictures.clone()
        policy(pictures, rng())
        assert torch.equal(pictures, before)

    def test_lets_the_gradient_through(self, policy: Callable[[Tensor, Draws], Tensor], pictures: Tensor) -> None:
        small = pictures[:2, :, :4, :4].double().requires_grad_()
        assert torch.autograd.gradcheck(lambda x: policy(x, rng(1)), (small,))

    def test_leaves_the_global_random_state_alone(
        self, policy: Callable[[Tensor, Draws], Tensor], pictures: Tensor
    ) -> None:
        before = torch.get_rng_state()
        policy(pictures, rng())
        assert torch.equal(torch.get_rng_state(), before)

    def test_parts_of_a_batch_are_treated_as_the_whole_is(
        self, policy: Callable[[Tensor, Draws], Tensor], pictures: Tensor
    ) -> None:
        parts = [policy(part, Draws(1, rank=rank, world=2)) for rank, part in enumerate(pictures.chunk(2))]
        assert torch.equal(torch.cat(parts), policy(pictures, rng(1)))

    def test_treats_pictures_of_a_batch_differently(
        self, policy: Callable[[Tensor, Draws], Tensor], pictures: Tensor
    ) -> None:
        changed = policy(pictures[:1].expand(6, -1, -1, -1), rng())
        assert len({tuple(picture.flatten().tolist()) for picture in changed}) > 1


def test_colour_of_grey_is_brightness_alone() -> None:
    changed = colour(torch.zeros(50, 3, 4, 4), rng())
    assert (changed.flatten(1).std(dim=1) < 1e-6).all()
    assert changed.abs().max() <= 0.5
    assert changed.std() > 0.2


def test_translation_moves_by_up_to_an_eighth_and_zeros_come_in() -> None:
    point = torch.zeros(60, 1, 16, 16)
    point[:, :, 8, 8] = 1
    moves = translation(point, rng())[:, 0].nonzero()[:, 1:] - 8
    assert moves.abs().max() == 2
    assert len({tuple(move) for move in moves.tolist()}) > 15
    ones = translation(torch.ones(60, 1, 16, 16), rng())
    assert ones.flatten(1).mean(dim=1).min() == (14 / 16) ** 2


def test_cutout_blanks_at_most_a_quarter() -> None:
    blanked = 1 - cutout(torch.ones(200, 3, 16, 16), rng()).mean(dim=(1, 2, 3))
    assert blanked.max() == 0.25
    assert blanked.min() >= 0.05


def test_policies_are_applied_in_order(pictures: Tensor) -> None:
    source = rng()
    expected = cutout(colour(pictures, source), source)
    assert torch.equal(diffaugment(pictures, ("color", "cutout"), rng()), expected)
    assert diffaugment(pictures, (), rng()) is pictures


