"""Stage 1: a DCGAN generator, trained with a projected discriminator or DCGAN's, optionally as a VAE-GAN."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegen.arrays import RGB, to_rgb
from facegen.evaluation.features import Features, pooled_features
from facegen.evaluation.metrics import diversity, frechet_distance
from facegen.media.sheets import contact_sheet
from facegen.models.dcgan import DCGANGenerator, calibrate_batchnorm
from facegen.models.discriminators import DCGANDiscriminator
from facegen.models.efficientnet import STAGE_ENDS, EfficientNetLite, feature_loss, load_efficientnet
from facegen.models.latents import EncoderConfig, LatentEncoder
from facegen.models.projected import ProjectedDiscriminator
from facegen.training.config import DCGANRecipe
from facegen.training.datasets import FaceDataset
from facegen.training.distributed import mean_over_processes, processes
from facegen.training.losses import (
    ADVERSARIAL,
    HistoricalAverage,
    ReplayBuffer,
    feature_matching,
    gradient_penalty,
    prior_divergence,
    r1_penalty,
)
from facegen.training.objectives.base import Losses, Phase, average_of, mean_logit, placed, to_device
from facegen.training.random import Draws, diffaugment

SHOWN, VALIDATED = 64, 256
"""Samples on the sheet; samples, and unseen pictures, that `validate` compares."""
GROWING = (8, 16, 32, 64)
"""Sides, in pixels, that training grows through; each fades into its double."""
COLOURS = 50.0
"""Weight of the pixels' L1 beside the feature loss: features show little of colours, and nothing of red and green
stripes one pixel wide. The feature loss's gradient is still 15 times as long."""
SHIFT = 32
"""Pictures are shifted at random by less than this many pixels before they are compared: a strided network that always
sees the same grid misses patterns between its lines."""
HALF_LIFE = 2000
"""Pictures after which an older one has half the weight in the moments of the latents."""
JITTER = 1e-6
"""Added to the variances, so that rounding leaves the covariance positive."""


Found = tuple[Tensor, Tensor]
"""Latents found for every second picture of a batch, as normal distributions: mean and log variance, (B/2, Z) each."""


@dataclass(frozen=True)
class Step:
    """The pictures that all phases of a step use."""

    real: Tensor
    fake: Tensor
    found: Found | None = None
    """Every second fake picture is a reconstruction: it is generated from these latents of the real one."""


@torch.no_grad()
def learn_map(latents: Tensor, generators: Sequence[DCGANGenerator]) -> None:
    """Move the generators' map towards the mean and covariance of all processes' (B, Z) latents.

    The latents include their noise: without it the map's pictures would differ from the reconstructions, and get worse.
    The first generator's map is the memory; all get the same.
    """
    first = generators[0]
    with torch.autocast(latents.device.type, enabled=False):
        keep = 0.5 ** (len(latents) * processes() / HALF_LIFE)
        offset = latents.detach().float() - first.latent_mean
        covariance = first.latent_factor @ first.latent_factor.T
        covariance.lerp_(mean_over_processes(offset.T @ offset / len(offset)), 1 - keep)
        mean = first.latent_mean + (1 - keep) * mean_over_processes(offset.mean(dim=0))
        # cholesky_ex does not wait for a GPU's check that the matrix is positive, which the jitter ensures
        factor = torch.linalg.cholesky_ex(covariance + JITTER * torch.eye(len(mean), device=mean.device)).L
        for generator in generators:
            generator.latent_factor.copy_(factor)
            generator.latent_mean.copy_(mean)


class Reconstruction:
    """The VAE half of a VAE-GAN (Larsen et al. 2016): the encoder, and the distance in the discriminator's features."""

    def __init__(self, generator: DCGANGenerator, average: DCGANGenerator, features: EfficientNetLite) -> None:
        self.generator, self.average, self.features = generator, average, features
        self.drawn: Tensor | None = None
        """The latest latents, which the map learns from after the step."""
        self.encoder = LatentEncoder(EncoderConfig(z_dim=generator.config.z_dim))

    def find(self, real: Tensor, z: Tensor) -> tuple[Tensor, Found]:
        """Map z, (B, Z) standard normal, to latents; every second one is instead found in `real` by the encoder.

        There z is the noise around the mean found. Also returns the distributions found.
        """
        rows = torch.arange(0, len(real), 2, device=real.device)
        with torch.no_grad():
            maps = self.features(real[rows])[-2:]
        mean, log_variance = self.encoder(real[rows], maps)
        drawn = (mean + z[rows] * (log_variance / 2).exp()).to(z.dtype)
        self.drawn = drawn.detach()
        return self.generator.mapped(z).index_copy(0, rows, drawn), (mean, log_variance)

    def learn_map(self) -> None:
        """Let the generators' map follow the latents of this step."""
        if self.drawn is not None:
            learn_map(self.drawn, (self.generator, self.average))

    def losses(self, real: Tensor, fake: Tensor, found: Found, draws: Draws) -> tuple[Tensor, Tensor]:
        """The distance of every second fake picture from its original, and of the latents from N(0, 1) in nats."""
        shift = draws.shared(SHIFT)
        originals, rebuilt = (_rolled(x[::2], shift).add(1).div(2) for x in (real, fake))
        distance = feature_loss(self.features, rebuilt, originals, weights=(1.0,) * len(STAGE_ENDS))
        return distance + COLOURS * F.l1_loss(rebuilt, originals), prior_divergence(*found)


class DCGANObjective:
    """The losses of the recipe's [loss], over one generator and one discriminator."""

    def __init__(self, recipe: DCGANRecipe, data: FaceDataset, unseen: RGB, device: torch.device) -> None:
        self.recipe, self.unseen, self.device, self.batch = recipe, unseen, device, data.batch
        loss, optimizer = recipe.loss, recipe.optimizer
        self.generator = placed(DCGANGenerator(recipe.generator), device)
        self.discriminator: DCGANDiscriminator | ProjectedDiscriminator
        if recipe.plain is not None:
            self.discriminator = placed(DCGANDiscriminator(recipe.plain, recipe.generator.side), device)
        else:
            self.discriminator = placed(ProjectedDiscriminator(recipe.discriminator), device)
        heads = self.discriminator.heads
        self.adversarial = ADVERSARIAL[loss.kind]
        self.ema = (average_of(self.generator), self.generator)
        self.modules: dict[str, nn.Module] = {"generator": self.generator, "heads": heads, "average": self.ema[0]}
        self.history = HistoricalAverage(self.generator).to(device) if loss.historical else None
        self.replay = ReplayBuffer(loss.replay, 3, recipe.generator.side).to(device) if loss.replay else None
        memories = {"history": self.history, "replay": self.replay}
        self.modules |= {name: memory for name, memory in memories.items() if memory is not None}
        self.companions: dict[str, nn.Module] = {} if recipe.plain else {"-heads": heads}
        generating: nn.Module = self.generator
        self.reconstruction: Reconstruction | None = None
        if loss.reconstruction and isinstance(self.discriminator, ProjectedDiscriminator):
            self.reconstruction = Reconstruction(self.generator, self.ema[0], self.discriminator.features)
            encoder = placed(self.reconstruction.encoder, device)
            generating = nn.ModuleList([self.generator, encoder])
            self.modules["encoder"] = self.companions["-encoder"] = encoder
        discriminator = Phase.discriminator(heads, optimizer)
        generator = Phase.generator(generating, optimizer, loss.generator_interval)
        self.phases: tuple[Phase, ...] = (discriminator, generator)
        if loss.r1:
            self.phases += (Phase("r1", heads, discriminator.optimizer, interval=loss.r1_interval),)
        rng = torch.Generator().manual_seed(0)
        self.fixed_z = torch.randn(VALIDATED, recipe.generator.z_dim, generator=rng)

    @property
    def capturable(self) -> bool:
        return not (self.recipe.loss.replay or self.recipe.loss.growing_images)

    def before_step(self, images_seen: int) -> None:
        """Nothing to set: `losses` uses the images seen."""

    def after_step(self) -> None:
        if self.reconstruction is not None:
            self.reconstruction.learn_map()

    def begin(self, batch: Tensor, draws: Draws) -> Step:
        z = draws.randn(len(batch), self.recipe.generator.z_dim)
        real = to_device(batch, self.device)
        if self.reconstruction is None:
            return Step(real, self.generator(z))
        latents, found = self.reconstruction.find(real, z)
        return Step(real, self.generator.synthesise(latents), found)

    def losses(self, phase: str, pictures: Step, draws: Draws, images_seen: int) -> Losses:
        real, fake = (self._grown(x, images_seen) for x in (pictures.real, pictures.fake))
        if phase == "r1":
            return self._r1(real, draws)
        if phase == "generator":
            return self._generator(real, fake, draws, pictures.found)
        fake = self._judged(fake.detach())
        if self.replay is not None:
            fake = self.replay.mix(fake, draws.rng)
        logits = self._logits(real, draws), self._logits(fake, draws)
        total = self.adversarial.discriminator(*logits, self.recipe.loss.real_label)
        losses = {"real": mean_logit(logits[0]), "fake": mean_logit(logits[1])}
        if self.recipe.loss.gradient_penalty:
            mix = draws.rand(len(fake))
            losses["gradient_penalty"] = gradient_penalty(self.discriminator, real[: len(fake)], fake, mix)
            total = total + self.recipe.loss.gradient_penalty * losses["gradient_penalty"]
        return {"total": total, **losses}

    def _generator(self, real: Tensor, fake: Tensor, draws: Draws, found: Found | None) -> Losses:
        loss, activations = self.recipe.loss, self.discriminator.activations
        losses = {"adversarial": self.adversarial.generator(self._logits(self._judged(fake), draws))}
        total = losses["adversarial"]
        if loss.feature_matching:
            losses["feature_matching"] = feature_matching(activations(real), activations(self._judged(fake)))
            total = total + loss.feature_matching * losses["feature_matching"]
        if self.reconstruction is not None and found is not None:
            losses["reconstruction"], losses["prior"] = self.reconstruction.losses(real, fake, found, draws)
            total = total + loss.reconstruction * (losses["reconstruction"] + loss.prior * losses["prior"])
        if self.history is not None:
            losses["historical"] = self.history(self.generator)
            total = total + loss.historical * losses["historical"]
        return {"total": total, **losses}

    def _judged(self, fake: Tensor) -> Tensor:
        """The generated pictures that the discriminator sees: all but the reconstructions.

        Reconstructions are smoother than real pictures. A discriminator that learned from them that smooth is fake
        would demand ever more contrast of the others, until every fourth face breaks.
        """
        return fake if self.reconstruction is None else fake[1::2]

    def _r1(self, real: Tensor, draws: Draws) -> Losses:
        """R1, weighted for all steps since the last time (lazy regularisation, Karras et al. 2020)."""
        with torch.autocast(self.device.type, enabled=False):
            real = real.detach().float().requires_grad_(True)
            penalty = r1_penalty(self._logits(real, draws), real)
        return {"total": penalty * self.recipe.loss.r1 * self.recipe.loss.r1_interval, "penalty": penalty}

    def _logits(self, pictures: Tensor, draws: Draws) -> Sequence[Tensor]:
        augmented = diffaugment(pictures, self.recipe.loss.augment, draws)
        return cast(Sequence[Tensor], self.discriminator(augmented.contiguous(memory_format=torch.channels_last)))

    def _grown(self, pictures: Tensor, images_seen: int) -> Tensor:
        """Reduce pictures to the resolution that training has grown to, and enlarge them; the next one is faded in.

        This is progressive growing (Karras et al. 2018) without new layers: the coarse layers train first.
        """
        every = self.recipe.loss.growing_images
        if not every or images_seen >= every * len(GROWING):
            return pictures
        level, progress = divmod(images_seen / every, 1)
        side = GROWING[int(level)]
        coarse, finer = (_at(pictures, s, pictures.shape[-1]) for s in (side, 2 * side))
        return torch.lerp(coarse, finer, max(2 * progress - 1, 0))

    def validate(self) -> tuple[RGB, dict[str, float]]:
        """Samples of the average; their Frechet distance from unseen pictures ("score"), and their diversity.

        EfficientNet-Lite0, which may also train the generator, measures: only for comparing checkpoints of one run.
        """
        pictures = self._samples()
        samples, real = self._features(pictures), self._unseen_features
        figures = {"score": frechet_distance(samples, real), "diversity": diversity(samples) / diversity(real)}
        return contact_sheet(list(pictures[:SHOWN])), figures

    def _features(self, pictures: RGB) -> Features:
        return pooled_features(self._network, pictures, self.recipe.generator.side, device=str(self.device))

    @cached_property
    def _network(self) -> EfficientNetLite:
        return load_efficientnet("lite0").to(self.device)

    @cached_property
    def _unseen_features(self) -> Features:
        return self._features(self.unseen[:VALIDATED])

    def _samples(self) -> RGB:
        average, latents = copy.deepcopy(self.ema[0]), self.fixed_z.to(self.device)
        calibrate_batchnorm(average, latents)
        with torch.no_grad():
            return np.concatenate([to_rgb(average.draw(z).float()) for z in torch.split(latents, 8)])


def _rolled(pictures: Tensor, shift: Tensor) -> Tensor:
    """Roll (B, C, H, W) pictures down and right by (2,) pixels."""
    down, across = (
        (torch.arange(side, device=shift.device) - by) % side
        for side, by in zip(pictures.shape[2:], shift.unbind(), strict=True)
    )
    return pictures.index_select(2, down).index_select(3, across)


def _at(pictures: Tensor, side: int, shown: int) -> Tensor:
    reduced = F.interpolate(pictures.float(), size=(side, side), mode="area")
    return F.interpolate(reduced, size=(shown, shown), mode="bilinear", align_corners=False)
