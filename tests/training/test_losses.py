"""Losses, checked against numbers worked out by hand; their memories; weights over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from facegen.errors import ShapeError
from facegen.training.losses import (
    ADVERSARIAL,
    HistoricalAverage,
    ReplayBuffer,
    WeightSchedule,
    feature_matching,
    gradient_penalty,
    learned_similarity,
    pooled_l1,
    r1_penalty,
)

LABELLED = ["minimax", "non-saturating", "lsgan"]
LOG_3 = math.log(3)
"""A logit where the sigmoid is 3/4; it is 1/2 at 0."""


def slope(loss: Tensor, x: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(loss, x)
    return gradient


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_pooled_l1_sees_colour_and_not_detail() -> None:
    y, x = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    checkers = ((x + y) % 2).float().expand(1, 3, 16, 16)
    grey = torch.full((1, 3, 16, 16), 0.5)
    assert pooled_l1(checkers, grey, 8).item() == pytest.approx(0, abs=1e-6)
    assert pooled_l1(grey + 0.1, grey, 8).item() == pytest.approx(0.1, abs=1e-6)
    assert pooled_l1(checkers, grey, 1).item() == pytest.approx(0.5)


LOGISTIC = -(math.log(3 / 4) + math.log(1 / 2)) / 2 - (math.log(1 / 4) + math.log(1 / 2)) / 2
SMOOTHED = -0.9 * math.log(3 / 4) - 0.1 * math.log(1 / 4) - math.log(1 / 4)
NOISY = math.log(2) - 0.1 * math.log(3 / 4) - 0.9 * math.log(1 / 4)


@pytest.mark.parametrize(
    ("names", "real", "fake", "labels", "expected"),
    [
        (("minimax", "non-saturating"), [LOG_3, 0.0], [LOG_3, 0.0], (1.0, 0.0), LOGISTIC),
        (("minimax", "non-saturating"), [LOG_3], [LOG_3], (0.9, 0.0), SMOOTHED),
        (("minimax", "non-saturating"), [0.0], [LOG_3], (1.0, 0.1), NOISY),
        (("lsgan",), [2.0, 0.0], [1.0, -3.0], (1.0, 0.0), (1 + 1) / 4 + (1 + 9) / 4),
        (("lsgan",), [2.0, 0.0], [1.0, -3.0], (0.5, 0.0), (2.25 + 0.25) / 4 + (1 + 9) / 4),
        (("lsgan",), [0.0], [LOG_3], (1.0, 0.1), (1 + (LOG_3 - 0.1) ** 2) / 2),
        (("hinge",), [2.0, 0.5, -1.0], [-2.0, 1.0], (1.0, 0.0), (0 + 0.5 + 2) / 3 + (0 + 2) / 2),
        (("wasserstein",), [2.0, 0.5], [-2.0, 1.0], (1.0, 0.0), -0.5 - 1.25),
    ],
)
def test_discriminator_numbers(
    names: Sequence[str], real: list[float], fake: list[float], labels: tuple[float, float], expected: float
) -> None:
    for name in names:
        found = ADVERSARIAL[name].discriminator([torch.tensor(real)], [torch.tensor(fake)], *labels)
        assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("minimax", (math.log(1 - 1 / 2) + math.log(1 - 3 / 4)) / 2),
        ("non-saturating", -(math.log(1 / 2) + math.log(3 / 4)) / 2),
        ("lsgan", (1 + (LOG_3 - 1) ** 2) / 4),
        ("hinge", -LOG_3 / 2),
        ("wasserstein", -LOG_3 / 2),
    ],
)
def test_generator_numbers(name: str, expected: float) -> None:
    assert ADVERSARIAL[name].generator([torch.tensor([0.0, LOG_3])]).item() == pytest.approx(expected)


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_heads_weigh_the_same_whatever_their_size(name: str) -> None:
    loss = ADVERSARIAL[name]
    wide, single = torch.full((2, 1, 4, 4), 0.5), torch.full((2, 1, 1, 1), -2.0)
    apart = [loss.generator([x]) for x in (wide, single)]
    torch.testing.assert_close(loss.generator([wide, single]), (apart[0] + apart[1]) / 2)
    apart = [loss.discriminator([x], [-x], 1.0) for x in (wide, single)]
    torch.testing.assert_close(loss.discriminator([wide, single], [-wide, -single], 1.0), (apart[0] + apart[1]) / 2)


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_discriminator_raises_real_and_lowers_drawn_and_generator_raises_drawn(name: str) -> None:
    real, fake = torch.full((4,), 0.3, requires_grad=True), torch.full((4,), 0.2, requires_grad=True)
    gradients = torch.autograd.grad(ADVERSARIAL[name].discriminator([real], [fake], 1.0), [real, fake])
    assert (gradients[0] < 0).all()
    assert (gradients[1] > 0).all()
    assert (slope(ADVERSARIAL[name].generator([fake]), fake) < 0).all()


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_losses_are_finite_for_large_logits_and_float32_for_bfloat16(name: str) -> None:
    loss = ADVERSARIAL[name]
    for size in (-500.0, 500.0):
        x = torch.full((2,), size, dtype=torch.bfloat16, requires_grad=True)
        for value in (loss.discriminator([x], [x], 0.9), loss.generator([x])):
            assert value.dtype == torch.float32
            assert torch.isfinite(value)
            assert torch.isfinite(slope(value, x)).all()


def test_losses_without_labels_ignore_them() -> None:
    assert [name for name, loss in ADVERSARIAL.items() if loss.labels] == LABELLED
    for loss in ADVERSARIAL.values():
        smoothed, plain = (loss.discriminator([torch.tensor(0.7)], [torch.tensor(0.1)], x).item() for x in (0.9, 1.0))
        assert (smoothed != plain) == loss.labels


@pytest.mark.parametrize("kind", LABELLED)
def test_fake_labels_of_each_picture_stand_for_all_of_its_places(kind: str) -> None:
    source = rng()
    real, fake = (torch.randn(2, 1, 3, 3, generator=source) for _ in range(2))
    labels = torch.tensor([0.05, 0.2])
    found = ADVERSARIAL[kind].discriminator([real], [fake], 0.9, labels)
    each = [ADVERSARIAL[kind].discriminator([real], [fake[i : i + 1]], 0.9, labels[i].item()) for i in range(2)]
    assert found.item() == pytest.approx((each[0] + each[1]).item() / 2, rel=1e-5)


def test_r1_of_a_linear_discriminator_is_half_its_squared_length() -> None:
    weight = torch.tensor([1.0, -2.0, 2.0]).view(1, 3, 1, 1).requires_grad_()
    real = torch.randn(4, 3, 1, 1, generator=rng()).requires_grad_()
    penalty = r1_penalty([(real * weight).sum(dim=1)], real)
    assert penalty.item() == pytest.approx((1 + 4 + 4) / 2)
    torch.testing.assert_close(slope(penalty, weight), weight.detach())  # d(w^2 / 2)/dw


def test_r1_is_the_mean_over_the_batch_of_the_summed_logits_gradient() -> None:
    real = torch.tensor([3.0, 0.0, 0.0, 1.0]).view(2, 2, 1, 1).requires_grad_()
    square = real.square().sum(dim=1, keepdim=True) / 2  # gradient x
    assert r1_penalty([square], real).item() == pytest.approx((9 + 1) / 2 / 2)
    # two places and a second head, three times x in all: nine times the penalty
    assert r1_penalty([square.expand(2, 1, 2, 1), square], real).item() == pytest.approx(9 * (9 + 1) / 2 / 2)


def linear_critic(weight: Tensor) -> Any:
    return lambda x: [(x * weight).sum(dim=(1, 2, 3)).unsqueeze(1)]


def test_gradient_penalty_of_a_linear_critic() -> None:
    real, fake = torch.ones(3, 3, 1, 1), torch.zeros(3, 3, 1, 1)
    for scale, expected in ((1.0, (3 - 1) ** 2), (1 / 3, 0.0), (0.0, 1.0)):
        weight = (torch.tensor([1.0, -2.0, 2.0]).view(1, 3, 1, 1) * scale).requires_grad_()
        penalty = gradient_penalty(linear_critic(weight), real, fake, torch.tensor([0.0, 0.3, 1.0]))
        assert penalty.item() == pytest.approx(expected, abs=1e-6)
        # d(|w| - 1)^2/dw = 2 (|w| - 1) w / |w|, 0 at 0
        length = weight.detach().norm().item()
        direction = weight.detach() / length if length else weight.detach()
        torch.testing.assert_close(slope(penalty, weight), 2 * (length - 1) * direction, atol=1e-5, rtol=1e-5)


def test_gradient_penalty_looks_between_real_and_drawn() -> None:
    """The gradient of |x|^2 / 2 is x itself: here 5 on the real pictures, 1 on the drawn ones, 4 at 3/4."""
    real, fake = torch.zeros(3, 2, 1, 1), torch.zeros(3, 2, 1, 1)
    real[:, 0], fake[:, 0] = 5, 1
    seen = []

    def critic(x: Tensor) -> list[Tensor]:
        seen.append(x)
        return [x.square().sum(dim=(1, 2, 3)) / 2]

    penalty = gradient_penalty(critic, real, fake, torch.tensor([0.0, 0.75, 1.0]))
    assert seen[0][:, 0, 0, 0].tolist() == [1, 4, 5]
    assert penalty.item() == pytest.approx((0 + 9 + 16) / 3)


def test_gradient_penalty_takes_the_mean_over_places_and_heads() -> None:
    real, weight = torch.rand(2, 3, 2, 2, generator=rng()), torch.zeros(1, 3, 2, 2)
    weight[0, 0, 0, 0] = 3.0
    once = linear_critic(weight)
    penalties = [
        gradient_penalty(critic, real, -real, torch.tensor([0.2, 0.9])).item()
        for critic in (once, lambda x: [once(x)[0].view(-1, 1, 1, 1).expand(-1, 1, 4, 4), *once(x)])
    ]
    assert penalties == pytest.approx([4, 4])


def test_gradient_penalty_leaves_a_bfloat16_generator_alone() -> None:
    fake = torch.zeros(2, 3, 1, 1, dtype=torch.bfloat16, requires_grad=True)
    weight = torch.tensor([1.0, -2.0, 2.0]).view(1, 3, 1, 1).requires_grad_()
    penalty = gradient_penalty(linear_critic(weight), torch.ones(2, 3, 1, 1), fake, torch.tensor([0.0, 0.3]))
    penalty.backward()  # type: ignore[no-untyped-call]
    assert penalty.dtype == torch.float32
    assert penalty.item() == pytest.approx(4)
    assert weight.grad is not None
    assert fake.grad is None


@pytest.mark.parametrize(("fake", "mix"), [((2, 3, 4, 4), (1,)), ((2, 3, 4, 4), (2, 1)), ((1, 3, 4, 4), (2,))])
def test_gradient_penalty_names_shapes_that_do_not_fit(fake: tuple[int, ...], mix: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"gradient_penalty: real, fake and mix have shapes \(2, 3, 4, 4\)"):
        gradient_penalty(lambda x: [x], torch.zeros(2, 3, 4, 4), torch.zeros(fake), torch.zeros(mix))


def test_feature_matching_is_the_squared_distance_of_the_means() -> None:
    real = torch.tensor([[1.0, 0.0], [3.0, 2.0]])  # mean (2, 1)
    fake = torch.tensor([[0.0, 0.0], [0.0, 3.0], [0.0, 0.0]])  # mean (0, 1)
    assert feature_matching([real], [fake]).item() == pytest.approx(4)
    assert feature_matching([real], [real.flip(0)]).item() == 0  # other pictures, same mean


def test_feature_matching_sums_over_channels_and_averages_over_places_and_maps() -> None:
    zeros, ones = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    assert feature_matching([zeros], [ones]).item() == pytest.approx(3)
    assert feature_matching([zeros, zeros], [ones, zeros]).item() == pytest.approx(1.5)
    half = ones.clone()
    half[..., :2] = 0
    assert feature_matching([zeros], [half]).item() == pytest.approx(1.5)  # places are not mixed before the square


def test_learned_similarity_is_half_the_mean_square_pair_by_pair() -> None:
    real = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    fake = torch.tensor([[0.0, 0.0], [0.0, 5.0]])
    assert learned_similarity([real], [fake]).item() == pytest.approx((1 + 9) / 4 / 2)
    assert learned_similarity([real], [real.flip(0)]).item() == pytest.approx((1 + 4 + 1 + 4) / 4 / 2)
    maps = [torch.zeros(2, 3, 4, 4), torch.zeros(2, 8)]
    assert learned_similarity(maps, [maps[0] + 1, maps[1] + 2]).item() == pytest.approx((1 + 4) / 2 / 2)


@pytest.mark.parametrize(("loss", "expected"), [(feature_matching, -1.0), (learned_similarity, -1 / 6)])
def test_activations_move_the_drawn_towards_the_real_alone(loss: Callable[..., Tensor], expected: float) -> None:
    real, fake = torch.ones(2, 3, requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    loss([real], [fake]).backward()  # type: ignore[no-untyped-call]
    assert real.grad is None
    assert fake.grad is not None
    torch.testing.assert_close(fake.grad, torch.full((2, 3), expected))


def test_weights_stay_fade_on_a_straight_line_or_end_at_a_point() -> None:
    assert [WeightSchedule(start=0.5)(n) for n in (0, 10, 10**9)] == [0.5, 0.5, 0.5]
    fading = WeightSchedule(start=1, end=3, fade_from=100, fade_to=200)
    assert [fading(n) for n in (0, 99, 100, 125, 150, 199, 200, 1000)] == pytest.approx([1, 1, 1, 1.5, 2, 2.98, 3, 3])
    ending = WeightSchedule(start=1, end=0, fade_from=100, fade_to=100)
    assert [ending(n) for n in (0, 99, 100, 101)] == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"end": 0, "fade_from": 5, "fade_to": 4}, "fade_to is 4, expected at least fade_from = 5"),
        ({"fade_to": 4}, "fade_to is given without end"),
        ({"end": 0}, "end is given without fade_to"),
        ({"start": -1}, "greater than or equal to 0"),
        ({"end": -1, "fade_to": 4}, "greater than or equal to 0"),
        ({"start": float("inf")}, "finite"),
        ({"start": float("nan")}, "finite|greater"),
        ({"fadeto": 4}, "Extra inputs"),
    ],
)
def test_wrong_weight_schedules_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        WeightSchedule.model_validate({"start": 1} | wrong)


def set_to(module: nn.Linear, a: float, b: float, bias: float) -> None:
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[a, b]]))
        module.bias.copy_(torch.tensor([bias]))


def test_historical_average_pulls_back_to_the_mean_of_all_values() -> None:
    module = nn.Linear(2, 1)
    set_to(module, 0, 3, -1)
    average = HistoricalAverage(module)
    assert average(module).item() == 0
    set_to(module, 3, 3, 1)
    penalty = average(module)
    assert penalty.item() == pytest.approx((9 + 0 + 4) / 3)
    penalty.backward()
    assert module.weight.grad is not None
    torch.testing.assert_close(module.weight.grad, torch.tensor([[2.0, 0.0]]))  # 2 (theta - mean) / 3
    set_to(module, 6, 6, 0)
    average(module)
    torch.testing.assert_close(average.mean, torch.tensor([3.0, 4.0, 0.0]))
    assert list(average.parameters()) == []


def test_historical_average_is_of_the_values_whatever_their_memory_format() -> None:
    module = nn.Conv2d(3, 4, 3)
    average = HistoricalAverage(module)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert average(module).item() == 0


def levels(first: int, count: int) -> Tensor:
    """(count, 1, 2, 2) in [-1, 1]; picture i has the uint8 value `first` + i everywhere."""
    return (torch.arange(first, first + count).float() / 127.5 - 1).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def values(pictures: Tensor) -> list[int]:
    """Which pictures of `levels` these are."""
    assert torch.equal(pictures, pictures[:, :1, :1, :1].expand_as(pictures))
    return [round((v + 1) * 127.5) for v in pictures[:, 0, 0, 0].tolist()]


def test_buffer_fills_first_and_passes_on() -> None:
    buffer = ReplayBuffer(5, 1, 2)
    assert values(buffer.mix(levels(1, 3), rng())) == [1, 2, 3]
    assert buffer.pictures[:, 0, 0, 0].tolist() == [1, 2, 3, 0, 0]
    mixed = values(buffer.mix(levels(4, 40), rng()))  # full in the middle of the batch
    assert mixed[:2] == [4, 5]
    assert mixed != list(range(4, 44))
    assert buffer.count.item() == 5


def test_buffer_exchanges_half_so_that_no_picture_is_lost_or_doubled() -> None:
    buffer = ReplayBuffer(60, 1, 2)
    buffer.mix(levels(0, 60), rng())
    mixed = values(buffer.mix(levels(100, 60), rng(1)))
    kept = buffer.pictures[:, 0, 0, 0].tolist()
    assert sorted(mixed + kept) == [*range(60), *range(100, 160)]
    assert 15 < sum(m != 100 + i for i, m in enumerate(mixed)) < 45
    assert all(m == 100 + i or m < 60 or m < 100 + i for i, m in enumerate(mixed))  # itself, or an earlier one


def test_buffer_draws_as_often_however_full() -> None:
    empty, full, one, other = ReplayBuffer(30, 1, 2), ReplayBuffer(30, 1, 2), rng(1), rng(1)
    full.mix(levels(0, 30), rng())
    empty.mix(levels(0, 6), one)
    full.mix(levels(0, 6), other)
    assert torch.equal(one.get_state(), other.get_state())


def test_buffer_returns_the_nearest_of_256_levels_clamped() -> None:
    buffer = ReplayBuffer(1, 3, 4)
    first = torch.rand(1, 3, 4, 4, generator=rng()) * 2.4 - 1.2
    buffer.mix(first, rng())
    draws = rng(2)
    outs = [buffer.mix(first, draws) for _ in range(20)]
    returned = [out for out in outs if not torch.equal(out, first)]
    assert 0 < len(returned) < 20
    for out in returned:
        assert (out - first.clamp(-1, 1)).abs().max() <= 1 / 255 + 1e-6


def test_buffer_leaves_the_given_pictures_unchanged_and_passes_no_gradient() -> None:
    buffer = ReplayBuffer(4, 1, 2)
    buffer.mix(levels(0, 4), rng())
    fake = levels(100, 20).bfloat16().requires_grad_()
    before = fake.detach().clone()
    mixed = buffer.mix(fake, rng())
    assert not mixed.requires_grad
    assert mixed.dtype == torch.bfloat16
    assert torch.equal(fake, before)


@pytest.mark.parametrize("shape", [(2, 3, 2, 2), (2, 1, 4, 4), (1, 2, 2)])
def test_buffer_names_pictures_of_another_size(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"ReplayBuffer: pictures have shape .*expected \(B, 1, 2, 2\)"):
        ReplayBuffer(2, 1, 2).mix(torch.zeros(shape), rng())


@pytest.mark.parametrize("seen", [3, 12])
def test_buffer_survives_a_checkpoint(tmp_path: Path, seen: int) -> None:
    buffer = ReplayBuffer(8, 1, 2)
    buffer.mix(levels(0, seen), rng())
    torch.save(buffer.state_dict(), tmp_path / "state.pt")
    resumed = ReplayBuffer(8, 1, 2)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    expected = buffer.mix(levels(100, 20), rng(1))
    assert torch.equal(resumed.mix(levels(100, 20), rng(1)), expected)
    assert torch.equal(resumed.pictures, buffer.pictures)
