"""The VAE half of stage 1."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch.distributions import Normal, kl_divergence

from facegen.models.dcgan import DCGANConfig, DCGANGenerator
from facegen.models.discriminators import PlainConfig
from facegen.models.efficientnet import load_efficientnet
from facegen.training.config import DCGANLoss, DCGANRecipe
from facegen.training.losses import prior_divergence
from facegen.training.objectives import DCGANObjective
from facegen.training.objectives.dcgan import Reconstruction, learn_map
from facegen.training.random import Draws
from facegen.training.start import make_trainer
from tests.training.conftest import dcgan_recipe

GENERATOR = DCGANConfig(z_dim=4, widths=(8, 8, 8, 8, 4, 4), mapped=True)


@pytest.fixture
def reconstruction() -> Reconstruction:
    torch.manual_seed(0)
    return Reconstruction(DCGANGenerator(GENERATOR), DCGANGenerator(GENERATOR), load_efficientnet("lite0"))


def pictures(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_divergence_is_that_of_the_normal_distributions() -> None:
    rng = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(3, 5, generator=rng), torch.randn(3, 5, generator=rng)
    wanted = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(dim=1).mean()
    assert prior_divergence(mean, log_variance).item() == pytest.approx(wanted.item(), rel=1e-5)
    assert prior_divergence(torch.zeros(2, 3), torch.zeros(2, 3)).item() == 0


def test_every_second_latent_is_found(reconstruction: Reconstruction) -> None:
    z = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    latents, found = reconstruction.find(pictures(5), z)
    assert torch.equal(latents[1::2], reconstruction.generator.mapped(z)[1::2])
    assert torch.allclose(latents[::2], found[0] + z[::2] * (found[1] / 2).exp())
    assert found[0].shape == (3, 4)


def test_map_takes_the_normal_distribution_to_the_latents_found() -> None:
    generator, average = DCGANGenerator(GENERATOR), DCGANGenerator(GENERATOR)
    rng = torch.Generator().manual_seed(0)
    factor = torch.randn(4, 4, generator=rng)
    for _ in range(1000):
        learn_map(torch.randn(32, 4, generator=rng) @ factor.T + 3, (generator, average))
    assert torch.allclose(generator.latent_mean, torch.full((4,), 3.0), atol=0.15)
    drawn = generator.mapped(torch.randn(20_000, 4, generator=rng))
    assert torch.allclose(torch.cov(drawn.T), factor @ factor.T, atol=0.3)
    assert torch.equal(average.latent_factor, generator.latent_factor)


def test_distance_is_of_every_second_picture_alone(reconstruction: Reconstruction) -> None:
    real = pictures(4)
    _, found = reconstruction.find(real, torch.zeros(4, 4))
    same = torch.stack([real[0], -real[1], real[2], -real[3]])
    assert reconstruction.losses(real, same, found, Draws(0))[0].item() == 0
    assert reconstruction.losses(real, -real, found, Draws(0))[0].item() > 1


def test_encoder_is_taught_by_both_losses(reconstruction: Reconstruction) -> None:
    real = pictures(2)
    drawn, found = reconstruction.find(real, torch.zeros(2, 4))
    fake = real * drawn[:, :1, None, None].tanh().expand(2, 3, 128, 128)
    for loss in reconstruction.losses(real, fake, found, Draws(0)):
        (gradient,) = torch.autograd.grad(loss, reconstruction.encoder.mean.weight, retain_graph=True)
        assert gradient.abs().max() > 0


def distance(objective: DCGANObjective) -> float:
    """Of the first pictures to what is drawn of them."""
    with torch.no_grad():
        step = objective.begin(objective.batch(0, 4), Draws(0))
        return objective.losses("generator", step, Draws(1), 0)["reconstruction"].item()


def test_training_brings_the_pictures_back(head_folder: Path, tmp_path: Path) -> None:
    recipe = dcgan_recipe(images=180, batch=4, log_images=180, preview_images=1000)
    fast = recipe.optimizer.model_copy(update={"learning_rate": 2e-3})
    loss = DCGANLoss(reconstruction=5.0, augment=())
    recipe = recipe.model_copy(update={"generator": GENERATOR, "loss": loss, "optimizer": fast})
    trainer = make_trainer(recipe, head_folder, tmp_path / "run")
    objective = trainer.objective
    assert isinstance(objective, DCGANObjective)
    assert "-encoder" in objective.companions
    start = objective.modules["encoder"].state_dict()["mean.weight"].clone()
    far = distance(objective)
    for _ in range(40):
        trainer.train_step()
    assert distance(objective) < 0.94 * far
    assert not torch.equal(objective.modules["encoder"].state_dict()["mean.weight"], start)


def test_plain_discriminator_has_no_features_to_compare() -> None:
    with pytest.raises(ValidationError, match=r"loss\.reconstruction compares features"):
        DCGANRecipe(kind="dcgan", plain=PlainConfig(), loss=DCGANLoss(reconstruction=1.0))


def test_latents_need_the_map() -> None:
    with pytest.raises(ValidationError, match=r"needs generator\.mapped = true"):
        DCGANRecipe(kind="dcgan", loss=DCGANLoss(reconstruction=1.0))


def test_the_discriminator_sees_no_pictures_of_found_latents(head_folder: Path, tmp_path: Path) -> None:
    recipe = dcgan_recipe(batch=4)
    recipe = recipe.model_copy(update={"generator": GENERATOR, "loss": DCGANLoss(reconstruction=1.0, augment=())})
    objective = make_trainer(recipe, head_folder, tmp_path / "run").objective
    assert isinstance(objective, DCGANObjective)
    step = objective.begin(objective.batch(0, 4), Draws(0))
    assert step.found is not None
    objective.discriminator.eval()  # spectral norms take a step whenever they are asked while they train
    (gradient,) = torch.autograd.grad(objective.losses("generator", step, Draws(1), 0)["adversarial"], step.fake)
    assert gradient[1::2].abs().amax(dim=(1, 2, 3)).min() > 0
    assert gradient[::2].abs().max() == 0
