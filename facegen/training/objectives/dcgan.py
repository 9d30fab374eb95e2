"""Stage 1: a DCGAN generator under a projected or its own plain discriminator."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from facegen.media.sheets import contact_sheet
from facegen.metrics.distribution import diversity, frechet_distance
from facegen.metrics.features import Features, pooled_features
from facegen.models.dcgan import DCGANGenerator
from facegen.models.discriminators import DCGANDiscriminator
from facegen.models.efficientnet import EfficientNetLite, load_efficientnet
from facegen.models.projected import ProjectedDiscriminator
from facegen.training.calibration import calibrate_batchnorm
from facegen.training.config import DCGANRecipe
from facegen.training.datasets import FaceDataset
from facegen.training.diffaugment import diffaugment
from facegen.training.draws import Draws
from facegen.training.losses import ADVERSARIAL, feature_matching, gradient_penalty, r1_penalty
from facegen.training.objectives.base import (
    Losses,
    Phase,
    adam,
    average_of,
    generator_optimizer,
    mean_logit,
    placed,
    to_device,
    to_uint8,
)
from facegen.training.reconstruction import Found, Reconstruction
from facegen.training.tricks import HistoricalAverage, ReplayBuffer

SHOWN, VALIDATED = 64, 256
"""Samples on the sheet; samples, and unseen pictures, that `validate` compares."""


@dataclass(frozen=True)
class Step:
    """What all phases of a step look at."""

    real: Tensor
    fake: Tensor
    found: Found | None = None
    """The latents that an encoder found in every second of the real pictures, and that those of the fake ones show."""


class DCGANObjective:
    """What the recipe's [loss] chooses, over one generator and one discriminator."""

    def __init__(self, recipe: DCGANRecipe, data: FaceDataset, unseen: NDArray[np.uint8], device: torch.device) -> None:
        self.recipe, self.data, self.unseen, self.device = recipe, data, unseen, device
        loss, optimizer = recipe.loss, recipe.optimizer
        self.generator = placed(DCGANGenerator(recipe.generator), device)
        self.judge: DCGANDiscriminator | ProjectedDiscriminator
        if recipe.plain is not None:
            self.judge = placed(DCGANDiscriminator(recipe.plain, recipe.generator.side), device)
        else:
            self.judge = placed(ProjectedDiscriminator(recipe.discriminator), device)
        trained = self.judge.heads
        self.adversarial = ADVERSARIAL[loss.kind]
        self.ema = (average_of(self.generator), self.generator)
        self.modules: dict[str, nn.Module] = {
            "generator": self.generator, "heads": trained, "average": self.ema[0]
        }  # fmt: skip
        self.history = HistoricalAverage(self.generator).to(device) if loss.historical else None
        self.replay = ReplayBuffer(loss.replay, 3, recipe.generator.side).to(device) if loss.replay else None
        memories = {"history": self.history, "replay": self.replay}
        self.modules |= {name: memory for name, memory in memories.items() if memory is not None}
        self.companions: dict[str, nn.Module] = {} if recipe.plain else {"-heads": trained}
        drawing: nn.Module = self.generator
        self.reconstruction: Reconstruction | None = None
        if loss.reconstruction and isinstance(self.judge, ProjectedDiscriminator):
            self.reconstruction = Reconstruction(self.generator, self.ema[0], self.judge.features)
            encoder = placed(self.reconstruction.encoder, device)
            drawing = nn.ModuleList([self.generator, encoder])
            self.modules["encoder"] = self.companions["-encoder"] = encoder
        judging = adam(trained, optimizer)
        self.phases: tuple[Phase, ...] = (
            Phase("discriminator", trained, judging),
            Phase("generator", drawing, generator_optimizer(drawing, optimizer), interval=loss.generator_interval,
                  first_image=optimizer.generator_from, clip_norm=optimizer.clip_norm),
        )  # fmt: skip
        if loss.r1:
            self.phases += (Phase("r1", trained, judging, interval=loss.r1_interval),)
        rng = torch.Generator().manual_seed(0)
        self.fixed_z = torch.randn(VALIDATED, recipe.generator.z_dim, generator=rng)

    def batch(self, start: int, size: int) -> Tensor:
        return self.data.batch(start, size)

    def begin(self, batch: Tensor, draws: Draws) -> Step:
        z = draws.randn(len(batch), self.recipe.generator.z_dim).to(self.device)
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
            return self._fool(real, fake, draws, pictures.found)
        fake = fake.detach()
        if self.replay is not None:
            fake = self.replay.mix(fake, draws.rng)
        logits = self._judged(real, draws), self._judged(fake, draws)
        total = self.adversarial.discriminator(*logits, self.recipe.loss.real_label)
        losses = {"real": mean_logit(logits[0]), "fake": mean_logit(logits[1])}
        if self.recipe.loss.gradient_penalty:
            mix = draws.rand(len(real)).to(self.device)
            losses["gradient_penalty"] = gradient_penalty(self.judge, real, fake, mix)
            total = total + self.recipe.loss.gradient_penalty * losses["gradient_penalty"]
        return {"total": total, **losses}

    def _fool(self, real: Tensor, fake: Tensor, draws: Draws, found: Found | None) -> Losses:
        loss = self.recipe.loss
        losses = {"adversarial": self.adversarial.generator(self._judged(fake, draws))}
        total = losses["adversarial"]
        if loss.feature_matching:
            losses["feature_matching"] = feature_matching(self.judge.activations(real), self.judge.activations(fake))
            total = total + loss.feature_matching * losses["feature_matching"]
        if self.reconstruction is not None and found is not None:
            losses["reconstruction"], losses["prior"] = self.reconstruction.losses(real, fake, found, draws)
            total = total + loss.reconstruction * (losses["reconstruction"] + loss.prior * losses["prior"])
        if self.history is not None:
            losses["historical"] = self.history.penalty(self.generator)
            self.history.update(self.generator)
            total = total + loss.historical * losses["historical"]
        return {"total": total, **losses}

    def _r1(self, real: Tensor, draws: Draws) -> Losses:
        """Lazily: as strong as if it were taken at every step (Karras et al. 2020)."""
        with torch.autocast(self.device.type, enabled=False):
            real = real.detach().float().requires_grad_(True)
            penalty = r1_penalty(self._judged(real, draws), real)
        return {"total": penalty * self.recipe.loss.r1 * self.recipe.loss.r1_interval, "penalty": penalty}

    def _judged(self, pictures: Tensor, draws: Draws) -> Sequence[Tensor]:
        augmented = diffaugment(pictures, self.recipe.loss.augment, draws)
        logits: Sequence[Tensor] = self.judge(augmented.contiguous(memory_format=torch.channels_last))
        return logits

    def _grown(self, pictures: Tensor, images_seen: int) -> Tensor:
        """Pictures at the resolution that training has grown to, enlarged again; the next one is faded in.

        Progressive growing (Karras et al. 2018) without new layers: what the coarse layers draw is judged first.
        """
        every = self.recipe.loss.growing_images
        if not every or images_seen >= every * len(GROWING):
            return pictures
        level, progress = divmod(images_seen / every, 1)
        side = GROWING[int(level)]
        coarse, finer = (_at(pictures, s, pictures.shape[-1]) for s in (side, 2 * side))
        return torch.lerp(coarse, finer, max(2 * progress - 1, 0))

    def validate(self) -> tuple[NDArray[np.uint8], dict[str, float]]:
        """Samples of the average; their Frechet distance ("score") and diversity beside unseen pictures.

        By EfficientNet-Lite0, which training knows as well: for comparing checkpoints of one run, and nothing else.
        """
        pictures = self._samples()
        samples, real = self._look(pictures), self._unseen_features
        figures = {"score": frechet_distance(samples, real), "diversity": diversity(samples) / diversity(real)}
        return contact_sheet(list(pictures[:SHOWN])), figures

    def _look(self, pictures: NDArray[np.uint8]) -> Features:
        return pooled_features(self._network, pictures, self.recipe.generator.side, device=str(self.device))

    @cached_property
    def _network(self) -> EfficientNetLite:
        return load_efficientnet("lite0").to(self.device)

    @cached_property
    def _unseen_features(self) -> Features:
        return self._look(self.unseen[:VALIDATED])

    def _samples(self) -> NDArray[np.uint8]:
        """(VALIDATED, side, side, 3), the same latents at every call."""
        average, latents = copy.deepcopy(self.ema[0]), self.fixed_z.to(self.device)
        calibrate_batchnorm(average, latents)
        with torch.no_grad():
            drawn = [average.draw(z) for z in torch.split(latents, 8)]
        return np.stack([picture for batch in drawn for picture in to_uint8(batch)])


GROWING = (8, 16, 32, 64)
"""Sides, in pixels, that training grows from; each doubles into the next."""


def _at(pictures: Tensor, side: int, shown: int) -> Tensor:
    """Reduced to `side` px by area mean, then enlarged to `shown`."""
    reduced = F.interpolate(pictures.float(), size=(side, side), mode="area")
    return F.interpolate(reduced, size=(shown, shown), mode="bilinear", align_corners=False)
