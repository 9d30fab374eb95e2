"""Muon: its updates, what it learns, and that it goes on exactly."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from facegen.training.muon import LENGTH, Muon, orthogonalised


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16)])
def test_singular_values_come_near_one_and_directions_stay(shape: tuple[int, int]) -> None:
    matrix = noise(*shape)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    assert values.max() / values.min() > 1.5
    found = left.T @ orthogonalised(1000 * matrix) @ right.T
    diagonal = found.diagonal()
    torch.testing.assert_close(found, torch.diag(diagonal), atol=1e-3, rtol=0)
    assert diagonal.min() > 0.6
    assert diagonal.max() < 1.3


def test_a_gradient_of_nothing_moves_nothing() -> None:
    assert torch.equal(orthogonalised(torch.zeros(4, 6)), torch.zeros(4, 6))


@pytest.mark.parametrize("shape", [(32, 32), (16, 8, 3, 3), (64, 8, 1, 1)])
def test_an_update_is_about_as_long_as_adams(shape: tuple[int, ...]) -> None:
    parameter = nn.Parameter(torch.zeros(shape))
    parameter.grad = 1e-3 * noise(*shape)
    Muon([parameter], lr=0.5).step()
    length = parameter.detach().square().mean().sqrt().item() / 0.5
    assert length == pytest.approx(LENGTH, rel=0.35)


def test_biases_and_layers_onto_three_colours_go_by_adam() -> None:
    ours = [nn.Parameter(noise(*shape)) for shape in ((7,), (3, 16, 3, 3))]
    adams = [nn.Parameter(p.detach().clone()) for p in ours]
    optimizers = Muon(ours, lr=0.01, betas=(0.5, 0.99)), torch.optim.Adam(adams, lr=0.01, betas=(0.5, 0.99))
    for _ in range(5):
        for parameters, optimizer in zip((ours, adams), optimizers, strict=True):
            for parameter in parameters:
                parameter.grad = parameter.detach() ** 3
            optimizer.step()
    for mine, true in zip(ours, adams, strict=True):
        torch.testing.assert_close(mine, true)


def fit(network: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> float:
    """The loss of the last step towards a fixed target."""
    x, wanted = noise(4, 3, 8, 8), noise(4, 6, 8, 8)
    loss = torch.zeros(())
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (network(x) - wanted).square().mean()
        loss.backward()
        optimizer.step()
    return loss.item()


def make() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(16, 6, 3, padding=1))


def test_it_learns() -> None:
    network = make()
    assert fit(network, Muon(network.parameters(), lr=0.01), 60) < 0.8 * fit(make(), torch.optim.SGD([noise(1)]), 1)


def test_it_goes_on_from_its_state_bit_for_bit() -> None:
    unbroken, first = make(), make()
    fit(unbroken, Muon(unbroken.parameters(), lr=0.01), 6)
    optimizer = Muon(first.parameters(), lr=0.01)
    fit(first, optimizer, 3)
    second = copy.deepcopy(first)
    resumed = Muon(second.parameters(), lr=0.01)
    resumed.load_state_dict(optimizer.state_dict())
    fit(second, resumed, 3)
    for mine, true in zip(second.parameters(), unbroken.parameters(), strict=True):
        assert torch.equal(mine, true)
