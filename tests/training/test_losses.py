"""Losses, checked against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.models.efficientnet import load_efficientnet
from facegen.training.losses import FeatureLoss, hinge_discriminator, hinge_generator, pooled_l1


@pytest.fixture(scope="module")
def feature_loss() -> FeatureLoss:
    return FeatureLoss(load_efficientnet("lite0"))


@pytest.fixture
def pictures() -> Tensor:
    """(2, 3, 32, 32), smooth."""
    coarse = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, size=32, mode="bilinear")


def test_hinge_discriminator_numbers() -> None:
    real, fake = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-2.0, 0.0, 1.0])
    assert hinge_discriminator([real], [fake]).item() == pytest.approx((0 + 0.5 + 2 + 0 + 1 + 2) / 3)


def test_hinge_of_a_perfect_discriminator_is_zero() -> None:
    assert hinge_discriminator([torch.full((3,), 1.0)], [torch.full((3,), -1.0)]).item() == 0


def test_hinge_is_averaged_over_heads_whatever_their_size() -> None:
    heads = [torch.zeros(2, 1, 4, 4), torch.full((2, 1, 1, 1), 3.0)]
    assert hinge_generator(heads).item() == pytest.approx(-1.5)
    assert hinge_discriminator(heads, heads).item() == pytest.approx((2 + 4) / 2)


def test_hinge_refuses_different_numbers_of_heads() -> None:
    with pytest.raises(ValueError, match="zip"):
        hinge_discriminator([torch.zeros(1)], [torch.zeros(1)] * 2)


def test_hinge_is_float32_for_bfloat16_logits() -> None:
    logits = [torch.zeros(2, dtype=torch.bfloat16)]
    assert hinge_discriminator(logits, logits).dtype == hinge_generator(logits).dtype == torch.float32


def test_pooled_l1_sees_colour_and_not_detail() -> None:
    y, x = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    checkers = ((x + y) % 2).float().expand(1, 3, 16, 16)
    grey = torch.full((1, 3, 16, 16), 0.5)
    assert pooled_l1(checkers, grey, 8).item() == pytest.approx(0, abs=1e-6)
    assert pooled_l1(grey + 0.1, grey, 8).item() == pytest.approx(0.1, abs=1e-6)
    assert pooled_l1(checkers, grey, 1).item() == pytest.approx(0.5)


def test_feature_loss_of_equal_pictures_is_zero(feature_loss: FeatureLoss, pictures: Tensor) -> None:
    assert feature_loss(pictures, pictures).item() == 0


def test_feature_loss_grows_with_the_difference(feature_loss: FeatureLoss, pictures: Tensor) -> None:
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(1))
    distances = [feature_loss((pictures + s * noise).clamp(0, 1), pictures).item() for s in (0.01, 0.05, 0.2)]
    assert 0 < distances[0] < distances[1] < distances[2]


def test_feature_loss_is_the_sum_over_maps_of_unit_vector_distances(pictures: Tensor) -> None:
    class Planes(torch.nn.Module):
        """Two maps: the picture, and its half."""

        def forward(self, x: Tensor, count: int) -> list[Tensor]:
            return [x, F.avg_pool2d(x, 2)][:count]

    def unit(x: Tensor) -> Tensor:
        return x / x.square().sum(dim=1, keepdim=True).sqrt()

    a, b = pictures * 2 - 1, pictures.flip(-1) * 2 - 1
    half_a, half_b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    expected = sum((unit(x) - unit(y)).pow(2).sum(1).mean() for x, y in ((a, b), (half_a, half_b)))
    assert isinstance(expected, Tensor)
    torch.testing.assert_close(FeatureLoss(Planes())(pictures, pictures.flip(-1)), expected)


def test_feature_loss_compares_as_many_maps_as_asked_for(pictures: Tensor) -> None:
    network = load_efficientnet("lite0")
    losses = [FeatureLoss(network, maps)(pictures, pictures.flip(-1)).item() for maps in (1, 2, 5)]
    assert 0 < losses[0] < losses[1] < losses[2]


def test_feature_loss_gradient_reaches_the_first_alone(feature_loss: FeatureLoss, pictures: Tensor) -> None:
    a, b = (pictures * 0.9).requires_grad_(), pictures.clone().requires_grad_()
    feature_loss(a, b).backward()
    assert a.grad is not None
    assert a.grad.abs().max() > 0
    assert b.grad is None
    assert all(p.grad is None for p in feature_loss.parameters())
