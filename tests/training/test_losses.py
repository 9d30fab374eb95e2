"""Losses, checked against numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor

from facegen.errors import ShapeError
from facegen.models.efficientnet import EfficientNetLite, feature_loss, load_efficientnet, maps_loss
from facegen.training.loss_config import FeatureLoss
from facegen.training.losses import (
    ADVERSARIAL,
    WeightSchedule,
    feature_matching,
    gradient_penalty,
    learned_similarity,
    pooled_l1,
    r1_penalty,
)
from facegen.training.objectives.content import ContentLoss

LABELLED = ["minimax", "non-saturating", "lsgan"]


@pytest.fixture(scope="module")
def network() -> EfficientNetLite:
    return load_efficientnet("lite0")


@pytest.fixture
def pictures() -> Tensor:
    """(2, 3, 32, 32), smooth."""
    coarse = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, size=32, mode="bilinear")


def test_pooled_l1_sees_colour_and_not_detail() -> None:
    y, x = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    checkers = ((x + y) % 2).float().expand(1, 3, 16, 16)
    grey = torch.full((1, 3, 16, 16), 0.5)
    assert pooled_l1(checkers, grey, 8).item() == pytest.approx(0, abs=1e-6)
    assert pooled_l1(grey + 0.1, grey, 8).item() == pytest.approx(0.1, abs=1e-6)
    assert pooled_l1(checkers, grey, 1).item() == pytest.approx(0.5)


def test_feature_loss_of_equal_pictures_is_zero(network: EfficientNetLite, pictures: Tensor) -> None:
    assert feature_loss(network, pictures, pictures, weights=(1, 1)).item() == 0


def test_feature_loss_grows_with_the_difference(network: EfficientNetLite, pictures: Tensor) -> None:
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(1))
    noisy = [(pictures + s * noise).clamp(0, 1) for s in (0.01, 0.05, 0.2)]
    distances = [feature_loss(network, x, pictures, weights=(1, 1)).item() for x in noisy]
    assert 0 < distances[0] < distances[1] < distances[2]


def test_feature_loss_is_the_weighted_sum_over_maps_of_unit_vector_distances(pictures: Tensor) -> None:
    def planes(x: Tensor, count: int) -> list[Tensor]:
        return [x, F.avg_pool2d(x, 2), F.avg_pool2d(x, 4)][:count]

    def unit(x: Tensor) -> Tensor:
        return x / x.square().sum(dim=1, keepdim=True).sqrt()

    a, b = pictures * 2 - 1, pictures.flip(-1) * 2 - 1
    half_a, half_b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    fine, coarse = ((unit(x) - unit(y)).pow(2).sum(1).mean() for x, y in ((a, b), (half_a, half_b)))
    loss = feature_loss(planes, pictures, pictures.flip(-1), weights=(2, 0.5))
    torch.testing.assert_close(loss, 2 * fine + 0.5 * coarse)


def test_feature_loss_compares_as_many_maps_as_there_are_weights(network: EfficientNetLite, pictures: Tensor) -> None:
    losses = [feature_loss(network, pictures, pictures.flip(-1), weights=(1,) * n).item() for n in (1, 2, 5)]
    assert 0 < losses[0] < losses[1] < losses[2]


def test_maps_loss_leaves_further_maps_and_misses_none(pictures: Tensor) -> None:
    maps, other = [pictures, pictures * 2], [pictures.flip(-1), pictures]
    assert maps_loss(maps, other, weights=(1,)).item() == maps_loss(maps[:1], other[:1], weights=(1,)).item() > 0
    with pytest.raises(ValueError, match="shorter"):
        maps_loss(maps, other, weights=(1, 1, 1))


def test_content_loss_is_the_mean_over_the_networks_named(network: EfficientNetLite, pictures: Tensor) -> None:
    one, other = (
        ContentLoss(FeatureLoss(features=(name,)), torch.device("cpu"))(pictures, pictures.flip(-1)).item()
        for name in ("lite0", "lite1")
    )
    both = ContentLoss(FeatureLoss(features=("lite0", "lite1")), torch.device("cpu"))(pictures, pictures.flip(-1))
    weights = FeatureLoss().feature_weights
    expected = feature_loss(network, pictures, pictures.flip(-1), weights=weights).item()
    assert one == pytest.approx(expected)
    assert other != pytest.approx(one, rel=0.01)
    assert both.item() == pytest.approx((one + other) / 2)


def test_feature_loss_gradient_reaches_the_first_alone(network: EfficientNetLite, pictures: Tensor) -> None:
    a, b = (pictures * 0.9).requires_grad_(), pictures.clone().requires_grad_()
    feature_loss(network, a, b, weights=(1, 1)).backward()  # type: ignore[no-untyped-call]
    assert a.grad is not None
    assert a.grad.abs().max() > 0
    assert b.grad is None
    assert all(p.grad is None for p in network.parameters())


def discriminator_loss(name: str, real: Sequence[float], fake: Sequence[float], label: float = 1.0) -> float:
    """Of one head."""
    return ADVERSARIAL[name].discriminator([torch.tensor(real)], [torch.tensor(fake)], label).item()


def slope(loss: Tensor, x: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(loss, x)
    return gradient


def log_sigmoid(x: float) -> float:
    return math.log(1 / (1 + math.exp(-x)))


def test_logistic_discriminator_numbers() -> None:
    # D is 1/2 at 0 and 3/4 at log 3
    expected = -(math.log(3 / 4) + math.log(1 / 2)) / 2 - (math.log(1 - 3 / 4) + math.log(1 - 1 / 2)) / 2
    for name in ("minimax", "non-saturating"):
        assert discriminator_loss(name, [math.log(3), 0.0], [math.log(3), 0.0]) == pytest.approx(expected)


def test_logistic_discriminator_with_a_smoothed_label_numbers() -> None:
    expected = -0.9 * math.log(3 / 4) - 0.1 * math.log(1 / 4) - math.log(1 - 3 / 4)
    for name in ("minimax", "non-saturating"):
        assert discriminator_loss(name, [math.log(3)], [math.log(3)], 0.9) == pytest.approx(expected)


def test_lsgan_discriminator_numbers() -> None:
    assert discriminator_loss("lsgan", [2.0, 0.0], [1.0, -3.0]) == pytest.approx((1 + 1) / 4 + (1 + 9) / 4)
    assert discriminator_loss("lsgan", [2.0, 0.0], [1.0, -3.0], 0.5) == pytest.approx((2.25 + 0.25) / 4 + (1 + 9) / 4)


def test_hinge_and_wasserstein_discriminator_numbers() -> None:
    assert discriminator_loss("hinge", [2.0, 0.5, -1.0], [-2.0, 1.0]) == pytest.approx((0 + 0.5 + 2) / 3 + (0 + 2) / 2)
    assert discriminator_loss("hinge", [1.0], [-1.0]) == 0
    assert discriminator_loss("wasserstein", [2.0, 0.5], [-2.0, 1.0]) == pytest.approx(-0.5 - 1.25)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("minimax", (math.log(1 - 1 / 2) + math.log(1 - 3 / 4)) / 2),
        ("non-saturating", -(math.log(1 / 2) + math.log(3 / 4)) / 2),
        ("lsgan", (1 + (math.log(3) - 1) ** 2) / 4),
        ("hinge", -math.log(3) / 2),
        ("wasserstein", -math.log(3) / 2),
    ],
)
def test_generator_numbers(name: str, expected: float) -> None:
    assert ADVERSARIAL[name].generator([torch.tensor([0.0, math.log(3)])]).item() == pytest.approx(expected)


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
    loss = ADVERSARIAL[name].discriminator([real], [fake], 1.0)
    gradients = torch.autograd.grad(loss, [real, fake])
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


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_different_numbers_of_heads_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="zip"):
        ADVERSARIAL[name].discriminator([torch.zeros(1)], [torch.zeros(1)] * 2, 1.0)


def test_which_losses_have_labels() -> None:
    assert [name for name, loss in ADVERSARIAL.items() if loss.labels] == LABELLED
    for name, loss in ADVERSARIAL.items():
        smoothed, plain = (discriminator_loss(name, [0.7], [0.1], label) for label in (0.9, 1.0))
        assert (smoothed != plain) == loss.labels


@pytest.mark.parametrize(("name", "best"), [("minimax", math.log(9)), ("non-saturating", math.log(9)), ("lsgan", 0.9)])
def test_smoothed_discriminator_is_content_with_real_at_the_label(name: str, best: float) -> None:
    """Where the sigmoid (lsgan: the logit) is 0.9; the drawn pictures' label stays 0."""
    fake = torch.zeros(1)
    for logit, sign in ((best - 0.5, -1), (best, 0), (best + 0.5, 1)):
        real = torch.tensor([logit], requires_grad=True)
        gradient = slope(ADVERSARIAL[name].discriminator([real], [fake], 0.9), real).item()
        assert gradient == pytest.approx(0, abs=1e-6) if sign == 0 else gradient * sign > 1e-2


def test_minimax_generator_is_flat_where_the_discriminator_is_sure_and_non_saturating_is_steep() -> None:
    fake = torch.tensor([-8.0], requires_grad=True)
    sure = 1 / (1 + math.exp(8))
    assert slope(ADVERSARIAL["minimax"].generator([fake]), fake).item() == pytest.approx(-sure, rel=1e-4)
    assert slope(ADVERSARIAL["non-saturating"].generator([fake]), fake).item() == pytest.approx(sure - 1, rel=1e-4)


def test_minimax_is_a_zero_sum_game_on_the_drawn_pictures() -> None:
    real, fake = torch.tensor([0.4, -1.0]), torch.tensor([0.3, 2.0])
    loss = ADVERSARIAL["minimax"]
    on_real = -(log_sigmoid(0.4) + log_sigmoid(-1.0)) / 2
    both = loss.discriminator([real], [fake], 1.0) + loss.generator([fake])
    assert both.item() == pytest.approx(on_real, rel=1e-5)


def test_r1_of_a_linear_discriminator_is_half_its_squared_length() -> None:
    weight = torch.tensor([1.0, -2.0, 2.0]).view(1, 3, 1, 1).requires_grad_()
    real = torch.randn(4, 3, 1, 1, generator=torch.Generator().manual_seed(0)).requires_grad_()
    penalty = r1_penalty([(real * weight).sum(dim=1)], real)
    assert penalty.item() == pytest.approx((1 + 4 + 4) / 2)
    torch.testing.assert_close(slope(penalty, weight), weight.detach())  # d(w^2 / 2)/dw


def test_r1_is_the_mean_over_the_batch_of_the_summed_logits_gradient() -> None:
    real = torch.tensor([3.0, 0.0, 0.0, 1.0]).view(2, 2, 1, 1).requires_grad_()
    square = real.square().sum(dim=1, keepdim=True) / 2  # gradient x
    assert r1_penalty([square], real).item() == pytest.approx((9 + 1) / 2 / 2)
    # two places and a second head, three times x in all: nine times the penalty
    assert r1_penalty([square.expand(2, 1, 2, 1), square], real).item() == pytest.approx(9 * (9 + 1) / 2 / 2)


def test_r1_is_zero_where_the_discriminator_is_level() -> None:
    real = torch.zeros(2, 3, 4, 4, requires_grad=True)
    assert r1_penalty([real.square()], real).item() == 0


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
    real, weight = torch.rand(2, 3, 2, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(1, 3, 2, 2)
    weight[0, 0, 0, 0] = 3.0
    once = linear_critic(weight)
    penalties = [
        gradient_penalty(critic, real, -real, torch.tensor([0.2, 0.9])).item()
        for critic in (once, lambda x: [once(x)[0].view(-1, 1, 1, 1).expand(-1, 1, 4, 4), *once(x)])
    ]
    assert penalties == pytest.approx([4, 4])


def test_gradient_penalty_takes_drawn_pictures_of_a_bfloat16_generator() -> None:
    real, fake = torch.ones(2, 3, 1, 1), torch.zeros(2, 3, 1, 1, dtype=torch.bfloat16)
    weight = torch.tensor([1.0, -2.0, 2.0]).view(1, 3, 1, 1)
    penalty = gradient_penalty(linear_critic(weight), real, fake, torch.tensor([0.0, 0.3]))
    assert penalty.dtype == torch.float32
    assert penalty.item() == pytest.approx(4)


def test_gradient_penalty_leaves_the_generator_alone() -> None:
    fake = torch.rand(2, 3, 2, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weight = torch.ones(1, 3, 2, 2, requires_grad=True)
    critic = linear_critic(weight)
    gradient_penalty(lambda x: [critic(x)[0] ** 2], torch.ones(2, 3, 2, 2), fake, torch.full((2,), 0.5)).backward()  # type: ignore[no-untyped-call]
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
    assert feature_matching([fake], [real]).item() == pytest.approx(4)
    assert feature_matching([real], [real.flip(0)]).item() == 0  # other pictures, same mean


def test_feature_matching_sums_over_channels_and_averages_over_places_and_maps() -> None:
    zeros, ones = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    assert feature_matching([zeros], [ones]).item() == pytest.approx(3)
    assert feature_matching([zeros, zeros], [ones, zeros]).item() == pytest.approx(1.5)
    half = ones.clone()
    half[..., :2] = 0
    assert feature_matching([zeros], [half]).item() == pytest.approx(1.5)  # places are not mixed before the square


def test_feature_matching_moves_the_drawn_towards_the_real_alone() -> None:
    real, fake = torch.ones(2, 3, requires_grad=True), torch.zeros(4, 3, requires_grad=True)
    feature_matching([real], [fake]).backward()  # type: ignore[no-untyped-call]
    assert real.grad is None
    assert fake.grad is not None
    torch.testing.assert_close(fake.grad, torch.full((4, 3), -0.5))  # 2 (0 - 1) / 4


def test_learned_similarity_is_half_the_mean_square_pair_by_pair() -> None:
    real = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    fake = torch.tensor([[0.0, 0.0], [0.0, 5.0]])
    assert learned_similarity([real], [fake]).item() == pytest.approx((1 + 9) / 4 / 2)
    assert learned_similarity([real], [real.flip(0)]).item() == pytest.approx((1 + 4 + 1 + 4) / 4 / 2)
    assert feature_matching([real], [real.flip(0)]).item() == 0  # which knows the means alone
    maps = [torch.zeros(2, 3, 4, 4), torch.zeros(2, 8)]
    assert learned_similarity(maps, [maps[0] + 1, maps[1] + 2]).item() == pytest.approx((1 + 4) / 2 / 2)


def test_learned_similarity_moves_the_drawn_towards_the_real_alone() -> None:
    real, fake = torch.ones(2, 3, requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    learned_similarity([real], [fake]).backward()  # type: ignore[no-untyped-call]
    assert real.grad is None
    assert fake.grad is not None
    torch.testing.assert_close(fake.grad, torch.full((2, 3), -1 / 6))


@pytest.mark.parametrize("kind", LABELLED)
def test_fake_labels_of_each_picture_stand_for_all_of_its_places(kind: str) -> None:
    rng = torch.Generator().manual_seed(0)
    real, fake = (torch.randn(2, 1, 3, 3, generator=rng) for _ in range(2))
    labels = torch.tensor([0.05, 0.2])
    found = ADVERSARIAL[kind].discriminator([real], [fake], 0.9, labels)
    each = [ADVERSARIAL[kind].discriminator([real], [fake[i : i + 1]], 0.9, labels[i].item()) for i in range(2)]
    assert found.item() == pytest.approx((each[0] + each[1]).item() / 2, rel=1e-5)


def test_fake_label_by_hand() -> None:
    real, fake = [torch.zeros(1)], [torch.tensor([math.log(3)])]  # D says 1/2 and 3/4
    cross_entropy = -0.1 * math.log(3 / 4) - 0.9 * math.log(1 / 4)
    found = ADVERSARIAL["non-saturating"].discriminator(real, fake, 1.0, 0.1)
    assert found.item() == pytest.approx(math.log(2) + cross_entropy, rel=1e-5)
    squares = ADVERSARIAL["lsgan"].discriminator(real, fake, 1.0, 0.1)
    assert squares.item() == pytest.approx((1 + (math.log(3) - 0.1) ** 2) / 2, rel=1e-5)


def test_constant_weight() -> None:
    assert [WeightSchedule(start=0.5)(n) for n in (0, 10, 10**9)] == [0.5, 0.5, 0.5]


def test_weight_fades_on_a_straight_line() -> None:
    weight = WeightSchedule(start=1, end=3, fade_from=100, fade_to=200)
    assert [weight(n) for n in (0, 99, 100, 125, 150, 199, 200, 1000)] == pytest.approx([1, 1, 1, 1.5, 2, 2.98, 3, 3])


def test_weight_is_off_after_a_point() -> None:
    weight = WeightSchedule(start=1, end=0, fade_from=100, fade_to=100)
    assert [weight(n) for n in (0, 99, 100, 101)] == [1, 1, 0, 0]


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
        ({"fade_from": -1}, "greater than or equal to 0"),
        ({"fadeto": 4}, "Extra inputs"),
    ],
)
def test_wrong_weight_schedules_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        WeightSchedule.model_validate({"start": 1} | wrong)
