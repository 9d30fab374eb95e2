"""The DCGAN generator."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from facegen.errors import ShapeError
from facegen.models.dcgan import DCGANConfig, DCGANGenerator, calibrate_batchnorm
from tests.models.checks import assert_every_parameter_learns, assert_rebuilt_from_card

TINY = DCGANConfig(z_dim=5, widths=(12, 10, 8, 6, 4, 4))
PLAIN = DCGANConfig(z_dim=5, widths=(8, 6, 4), excitation=False)
MAPPED = DCGANConfig(z_dim=5, widths=(8, 6, 4), excitation=False, mapped=True)


def make(config: DCGANConfig) -> DCGANGenerator:
    torch.manual_seed(0)
    return DCGANGenerator(config)


def latents(count: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("widths", "side"), [((8, 4), 8), ((8, 6, 4), 16), ((12, 10, 8, 6, 4, 4), 128)])
def test_shape_range_and_side(widths: tuple[int, ...], side: int) -> None:
    config = DCGANConfig(z_dim=5, widths=widths)
    pictures = make(config)(latents(3))
    assert config.side == side
    assert pictures.shape == (3, 3, side, side)
    assert pictures.abs().max() <= 1


def test_default_draws_128_px_from_128_numbers() -> None:
    assert (DCGANConfig().side, DCGANConfig().z_dim) == (128, 128)


@pytest.mark.parametrize("shape", [(5,), (2, 6), (2, 5, 1)])
def test_wrong_latents_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"DCGANGenerator: z has shape \(.*\), expected \(B, 5\)"):
        make(PLAIN)(torch.zeros(shape))


@pytest.mark.parametrize("config", [TINY, PLAIN])
def test_every_parameter_gets_a_gradient(config: DCGANConfig) -> None:
    net = make(config)
    assert_every_parameter_learns(net, net(latents(4)))


def test_excitation_spans_four_doublings() -> None:
    assert set(make(TINY).excite) == {"4", "5"}
    assert not make(TINY.model_copy(update={"excitation": False})).excite


def test_excitation_lets_the_small_map_gate_the_large() -> None:
    net = make(TINY).eval()
    before = net(latents(1))
    with torch.no_grad():
        net.get_parameter("excite.4.gate.3.bias").fill_(-100)  # closes the gate
    assert (net(latents(1)) - before).abs().max() > 0


def test_golden_corner() -> None:
    corner = make(TINY)(latents(4))[0, 0, 60:63, 60:63]
    torch.testing.assert_close(
        corner,
        torch.tensor(
            [[0.0021598, -0.0031085, -0.040842], [-0.14951, 0.056642, 0.026848], [-0.035768, 0.024731, -0.018175]]
        ),
        rtol=1e-3,
        atol=1e-5,
    )


def test_a_picture_does_not_depend_on_its_batch() -> None:
    net = make(TINY)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # the running statistics become the next batch's
    net(latents(8))
    many = net.eval()(latents(6))
    assert many.std() > 0.02
    for row, z in zip(many, latents(6), strict=True):
        torch.testing.assert_close(net(z[None])[0], row, rtol=1e-4, atol=1e-5)


def test_draw_is_forward_in_zero_to_one() -> None:
    net = make(TINY).eval()
    torch.testing.assert_close(net.draw(latents(2)), (net(latents(2)) + 1) / 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert net.draw(latents(2)).dtype == torch.float32


def test_map_is_affine_and_starts_as_nothing() -> None:
    net, plain = make(MAPPED).eval(), make(PLAIN).eval()
    z = latents(3)
    torch.testing.assert_close(net(z), plain(z))
    factor = torch.randn(5, 5, generator=torch.Generator().manual_seed(3))
    net.latent_factor.copy_(factor)
    net.latent_mean.copy_(torch.arange(5.0))
    torch.testing.assert_close(net.mapped(z), torch.arange(5.0) + z @ factor.T)
    torch.testing.assert_close(net(z), plain(torch.arange(5.0) + z @ factor.T))
    torch.testing.assert_close(net.synthesise(z), plain(z))


@pytest.mark.parametrize("config", [TINY, PLAIN, MAPPED])
def test_state_and_config_rebuild_the_network(config: DCGANConfig) -> None:
    net = make(config)
    net(latents(8))
    assert_rebuilt_from_card(net.eval(), DCGANGenerator, DCGANConfig, latents(2))


@pytest.fixture
def generator() -> DCGANGenerator:
    torch.manual_seed(5)
    return DCGANGenerator(DCGANConfig(z_dim=4, widths=(8, 8, 4)))


def four_latents(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))


def batchnorms(net: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]


def test_statistics_are_those_of_the_activations(generator: DCGANGenerator) -> None:
    seen: list[torch.Tensor] = []
    calibrate_batchnorm(generator, four_latents(2048))
    assert not generator.training
    first = batchnorms(generator)[0]
    generator.stem[0].register_forward_hook(lambda _, __, output: seen.append(output))
    with torch.no_grad():
        generator(four_latents(4096, seed=9))
    assert first.running_var is not None
    assert first.running_mean is not None
    torch.testing.assert_close(first.running_var, seen[0].var((0, 2, 3)), rtol=0.1, atol=0)
    assert (first.running_mean - seen[0].mean((0, 2, 3))).abs().max() < 0.1 * first.running_var.sqrt().max()


def test_what_was_is_forgotten_and_the_weights_stay(generator: DCGANGenerator) -> None:
    calibrate_batchnorm(generator, four_latents(256))
    expected = {key: value.clone() for key, value in generator.state_dict().items()}
    for norm in batchnorms(generator):
        assert norm.running_mean is not None
        norm.running_mean.fill_(7)
    calibrate_batchnorm(generator, four_latents(256))
    for key, value in generator.state_dict().items():
        assert torch.equal(value, expected[key]), key
