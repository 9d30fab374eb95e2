"""Batchnorm statistics measured anew."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from facegen.models.dcgan import DCGANConfig, DCGANGenerator
from facegen.training.calibration import calibrate_batchnorm


@pytest.fixture
def generator() -> DCGANGenerator:
    torch.manual_seed(5)
    return DCGANGenerator(DCGANConfig(z_dim=4, widths=(8, 8, 4)))


def latents(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))


def batchnorms(net: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]


def test_statistics_are_those_of_the_activations(generator: DCGANGenerator) -> None:
    seen: list[torch.Tensor] = []
    calibrate_batchnorm(generator, latents(2048))
    assert not generator.training
    first = batchnorms(generator)[0]
    generator.stem[0].register_forward_hook(lambda _, __, output: seen.append(output))
    with torch.no_grad():
        generator(latents(4096, seed=9))
    assert first.running_var is not None
    assert first.running_mean is not None
    torch.testing.assert_close(first.running_var, seen[0].var((0, 2, 3)), rtol=0.1, atol=0)
    assert (first.running_mean - seen[0].mean((0, 2, 3))).abs().max() < 0.1 * first.running_var.sqrt().max()


def test_what_was_is_forgotten_and_the_weights_stay(generator: DCGANGenerator) -> None:
    calibrate_batchnorm(generator, latents(256))
    expected = {key: value.clone() for key, value in generator.state_dict().items()}
    for norm in batchnorms(generator):
        assert norm.running_mean is not None
        norm.running_mean.fill_(7)
    calibrate_batchnorm(generator, latents(256))
    for key, value in generator.state_dict().items():
        assert torch.equal(value, expected[key]), key
