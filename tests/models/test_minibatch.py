"""Minibatch discrimination, checked against the paper's formula worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from facegen.errors import ShapeError
from facegen.models.minibatch import MinibatchDiscrimination
from tests.models.checks import assert_every_parameter_learns


def module(features: int = 3, kernels: int = 4, dims: int = 2) -> MinibatchDiscrimination:
    torch.manual_seed(0)
    return MinibatchDiscrimination(features, kernels, dims)


def batch(count: int, features: int = 3) -> Tensor:
    return torch.randn(count, features, generator=torch.Generator().manual_seed(1))


def test_numbers_of_three_pictures() -> None:
    net = module(features=2, kernels=2, dims=2)
    with torch.no_grad():  # M_0 = (a, b), M_1 = (a + b, 0)
        net.kernel.copy_(torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]]))
    x = torch.tensor([[0.0, 0.0], [1.0, -1.0], [0.0, 3.0]])
    out = net(x).detach()
    torch.testing.assert_close(out[:, :2], x)
    # L1 distances of M_0: 0-1 |1|+|-1| = 2, 0-2 3, 1-2 |1|+|-4| = 5; of M_1: 0-1 0, 0-2 3, 1-2 3
    e = math.exp
    first = [1 + e(-2) + e(-3), 1 + e(-2) + e(-5), 1 + e(-3) + e(-5)]
    second = [1 + 1 + e(-3), 1 + 1 + e(-3), 1 + e(-3) + e(-3)]
    torch.testing.assert_close(out[:, 2:], torch.tensor([first, second]).T)


def test_alone_is_near_to_itself_and_all_alike_are_near_to_all() -> None:
    assert torch.equal(module()(batch(1))[:, 3:], torch.ones(1, 4))
    torch.testing.assert_close(module()(batch(1).expand(5, 3))[:, 3:], torch.full((5, 4), 5.0))


def test_order_of_the_batch_does_not_matter() -> None:
    x, order = batch(6), torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(module()(x[order]), module()(x)[order])


@pytest.mark.parametrize(("features", "dims"), [(16, 5), (512, 5), (512, 32)])
def test_at_the_start_features_of_unit_variance_are_about_one_apart(features: int, dims: int) -> None:
    net = module(features, kernels=100, dims=dims)
    nearness = net(batch(2, features))[:, features:].detach() - 1
    assert (-nearness.log()).mean().item() == pytest.approx(2 / math.pi**0.5, rel=0.3)  # C x E|N(0, 2)| / C


def test_every_parameter_learns_and_the_features_get_a_gradient_through_the_nearness() -> None:
    net, x = module(), batch(4).requires_grad_()
    nearness = net(x)[:, 3:]
    assert_every_parameter_learns(net, nearness)
    assert x.grad is not None
    assert (x.grad.abs().sum(dim=1) > 0).all()


def test_bfloat16_stays_bfloat16() -> None:
    x = batch(4)
    out = module()(x.bfloat16())
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), module()(x), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("shape", [(2, 4), (3,), (2, 3, 1, 1)])
def test_other_shapes_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"MinibatchDiscrimination: features have shape .*expected \(N, 3\)"):
        module()(torch.zeros(shape))


def test_state_survives() -> None:
    torch.manual_seed(9)
    other = MinibatchDiscrimination(3, 4, 2)
    assert not torch.equal(other(batch(4)), module()(batch(4)))
    other.load_state_dict(module().state_dict())
    assert torch.equal(other(batch(4)), module()(batch(4)))
