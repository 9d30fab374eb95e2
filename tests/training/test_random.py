"""Random numbers of a step: known from the seed, and the same however many processes share the batch."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from facegen.training.random import POLICIES, Draws, FixedDraws, ItemDraws, colour, cutout, diffaugment, translation

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
    shared = draws.shared(1000).expand(batch, 2)
    return [*parts, shared, draws.randn(batch)]


@pytest.mark.parametrize("world", [2, 3, 4])
def test_the_ranks_rows_together_are_a_single_process_s(world: int) -> None:
    ranks = [sequence(Draws(*SEED, rank=rank, world=world), BATCH // world) for rank in range(world)]
    for alone, *shares in zip(sequence(Draws(*SEED), BATCH), *ranks, strict=True):
        assert all(len(share) == BATCH // world for share in shares)
        assert torch.equal(torch.cat(shares), alone)


def test_shared_numbers_are_equal_in_all_ranks_and_go_on() -> None:
    ranks = [Draws(*SEED, rank=rank, world=3) for rank in range(3)]
    first, second = ([draws.shared(10**6).tolist() for draws in ranks] for _ in range(2))
    assert first[0] == first[1] == first[2]
    assert second[0] == second[1] == second[2]
    assert first[0] != second[0]


def test_the_global_random_state_does_not_change() -> None:
    state = torch.get_rng_state()
    sequence(Draws(*SEED), BATCH)
    assert torch.equal(torch.get_rng_state(), state)


def test_numbers_stay_the_same_in_later_versions() -> None:
    """A checkpoint of today must go on in the same way tomorrow: no random state is saved in it."""
    assert Draws(3, 20, -1).shared(10**6).tolist() == [647761, 171212]


@pytest.mark.parametrize("other", [(4, 20, 1), (3, 21, 1), (3, 20, 2), (3, 1, 20), (3, 20, -1), (3, 20), (0, 0, 0)])
def test_another_seed_draws_others(draw: Callable[[Draws, int], Tensor], other: tuple[int, ...]) -> None:
    assert not torch.equal(draw(Draws(*other), BATCH), draw(Draws(*SEED), BATCH))


def test_neighbouring_steps_and_phases_never_share_a_seed() -> None:
    known = list(itertools.product(range(4), range(500), range(-1, 3)))
    assert len({Draws(*seed).rng.initial_seed() for seed in known}) == len(known)


def test_ranges() -> None:
    draws = Draws(*SEED)
    uniform, whole = draws.rand(5000), draws.randint(-2, 3, 5000)
    assert 0 <= uniform.min() < 0.01
    assert 0.99 < uniform.max() < 1
    assert set(whole.tolist()) == {-2, -1, 0, 1, 2}
    assert {n for _ in range(50) for n in draws.shared(3).tolist()} == {0, 1, 2}
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
    def test_keeps_the_shape_and_changes_the_picture_by_the_seed(
        self, policy: Callable[[Tensor, Draws], Tensor], pictures: Tensor
    ) -> None:
        changed = policy(pictures, rng())
        assert changed.shape == pictures.shape
        assert not torch.equal(changed, pictures)
        assert not torch.equal(changed, policy(pictures, rng(2)))

    def test_does_not_change_its_input(self, policy: Callable[[Tensor, Draws], Tensor], pictures: Tensor) -> None:
        before = pictures.clone()
        policy(pictures, rng())
        assert torch.equal(pictures, before)

    def test_lets_the_gradient_through(self, policy: Callable[[Tensor, Draws], Tensor], pictures: Tensor) -> None:
        small = pictures[:2, :, :4, :4].double().requires_grad_()
        assert torch.autograd.gradcheck(lambda x: policy(x, rng(1)), (small,))

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


class TestItems:
    ITEMS = torch.arange(4000)

    def test_numbers_are_known_from_seed_item_and_call(self) -> None:
        whole, part = ItemDraws(3, self.ITEMS), ItemDraws(3, self.ITEMS[1000:1003])
        for _ in range(2):
            assert torch.equal(whole.uniform(2, 3)[1000:1003], part.uniform(2, 3))
            assert torch.equal(whole.normal()[1000:1003], part.normal())
        assert not torch.equal(ItemDraws(4, self.ITEMS).uniform(), ItemDraws(3, self.ITEMS).uniform())

    def test_numbers_stay_the_same_in_later_versions(self) -> None:
        """A run of today must go on in the same way tomorrow, on any device."""
        found = ItemDraws(3, torch.tensor([20, 2**40])).integers(10**6, 2)
        assert found.tolist() == [[755437, 677380], [782113, 949022]]

    def test_uniform_numbers_fill_the_range_evenly_and_independently(self) -> None:
        draws = ItemDraws(0, self.ITEMS)
        x, again = draws.uniform(25), draws.uniform(25)
        assert 0 <= x.min() < 1e-3
        assert 0.999 < x.max() < 1
        counts = torch.histc(x, 20, 0, 1) / x.numel()
        assert (counts - 0.05).abs().max() < 0.003
        neighbours = (x[1:], x[:-1]), (x[:, 1:], x[:, :-1]), (x, again)
        assert all(abs(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]) < 0.02 for a, b in neighbours)

    def test_normal_numbers_have_their_moments(self) -> None:
        x = ItemDraws(0, self.ITEMS).normal(25)
        assert x.mean().abs() < 0.02
        assert (x.std() - 1).abs() < 0.01
        assert (x.pow(4).mean() - 3).abs() < 0.1

    def test_whole_numbers_stay_below_each_item_s_own_limit(self) -> None:
        limit = self.ITEMS % 5 + 1
        found = ItemDraws(0, self.ITEMS).integers(limit, 2)
        assert (found < limit[:, None]).all()
        assert all(set(found[limit == n].flatten().tolist()) == set(range(n)) for n in range(1, 6))

    def test_chances(self) -> None:
        assert abs(ItemDraws(0, self.ITEMS).chance(0.3).float().mean() - 0.3) < 0.03


def test_fixed_draws_keep_their_places_and_take_the_numbers_of_each_step() -> None:
    def ask(draws: Draws) -> list[Tensor]:
        return [draws.rand(4, 2), draws.randn(3), draws.randint(0, 9, 5), draws.shared(99)]

    fixed = FixedDraws(Draws(1))
    places = ask(fixed)
    assert all(map(torch.equal, places, ask(Draws(1))))
    for step in (2, 3):
        fixed.refill(Draws(step))
        again = ask(fixed)
        assert all(a is b for a, b in zip(again, places, strict=True))
        assert all(map(torch.equal, again, ask(Draws(step))))
