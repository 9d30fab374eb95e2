"""Differentiable augmentation: every policy, by looping over the dict."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from facegen.errors import UsageError
from facegen.training.diffaugment import POLICIES, colour, cutout, diffaugment, translation
from facegen.training.draws import Draws


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


def test_unknown_policy_is_named(pictures: Tensor) -> None:
    with pytest.raises(UsageError, match="unknown policy 'colour', expected some of color, translation, cutout"):
        diffaugment(pictures, ("colour",), rng())
