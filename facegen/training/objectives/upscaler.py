"""Plain super-resolution, SRGAN's and the U-net's: pixel, feature and adversarial losses on pairs of crops."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from facegen.models.bicubic import enlarge
from facegen.models.srgan import SRGANDiscriminator, SRGANGenerator
from facegen.models.unet import GridDiscriminator, UNet
from facegen.training.draws import Draws
from facegen.training.losses import ADVERSARIAL, feature_matching, learned_similarity
from facegen.training.objectives.base import (
    Losses,
    Phase,
    adam,
    average_of,
    generator_optimizer,
    mean_logit,
    placed,
    to_device,
)
from facegen.training.objectives.upscaling import ContentLoss, validate
from facegen.training.pairs import PairDataset
from facegen.training.tricks import HistoricalAverage, ReplayBuffer
from facegen.training.upscaler_config import SRGANRecipe, UNetRecipe

Step = tuple[Tensor, Tensor, Tensor]
"""Low-res, real and upscaled pictures, all in [0, 1]."""

PIXEL: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": F.l1_loss, "mse": F.mse_loss}


class UpscalerObjective:
    """What the recipe's [loss] chooses, over one generator and, unless adversarial is 0, one discriminator."""

    def __init__(
        self, recipe: SRGANRecipe | UNetRecipe, data: PairDataset, unseen: PairDataset, device: torch.device
    ) -> None:
        self.recipe, self.data, self.unseen, self.device = recipe, data, unseen, device
        loss, optimizer = recipe.loss, recipe.optimizer
        generator, discriminator = networks_of(recipe)
        self.generator = placed(generator, device)
        self.judge = placed(discriminator, device) if loss.judged else None
        self.content = ContentLoss(loss, device)
        self.adversarial = ADVERSARIAL[loss.kind]
        self.ema = (average_of(self.generator), self.generator)
        self.modules: dict[str, nn.Module] = {"generator": self.generator, "average": self.ema[0]}
        self.companions: dict[str, nn.Module] = {}
        self.phases: tuple[Phase, ...] = (
            Phase("generator", self.generator, generator_optimizer(self.generator, optimizer),
                  clip_norm=optimizer.clip_norm, first_image=optimizer.generator_from),
        )  # fmt: skip
        if self.judge is not None:
            self.modules["discriminator"] = self.companions["-discriminator"] = self.judge
            self.phases = (Phase("discriminator", self.judge, adam(self.judge, optimizer)), *self.phases)
        planes = 6 if recipe.discriminator.condition else 3
        self.replay = ReplayBuffer(loss.replay, planes, recipe.pairs.crop).to(device) if loss.replay else None
        self.history = HistoricalAverage(self.generator).to(device) if loss.historical else None
        memories = {"replay": self.replay, "history": self.history}
        self.modules |= {name: memory for name, memory in memories.items() if memory is not None}

    def batch(self, start: int, size: int) -> tuple[Tensor, Tensor]:
        return self.data.batch(start, size)

    def begin(self, batch: tuple[Tensor, Tensor], draws: Draws) -> Step:
        low, real = (to_device(x, self.device) for x in batch)
        return low, real, self.generator(low)

    def losses(self, phase: str, pictures: Step, draws: Draws, images_seen: int) -> Losses:
        if phase == "discriminator":
            return self._judge(pictures, draws)
        low, real, fake = pictures
        loss = self.recipe.loss
        terms: dict[str, tuple[float, Callable[[], Tensor]]] = {
            "pixel": (loss.pixel(images_seen), lambda: PIXEL[loss.pixel_kind](fake, real)),
            "feature": (loss.feature, lambda: self.content(fake, real)),
            "adversarial": (loss.adversarial(images_seen), lambda: self._taught(low, real, fake)),
            "historical": (loss.historical, self._remembered),
        }
        losses = {name: term() for name, (weight, term) in terms.items() if weight}
        return {"total": sum((terms[name][0] * value for name, value in losses.items()), torch.zeros(())), **losses}

    def _judge(self, pictures: Step, draws: Draws) -> Losses:
        """The discriminator's losses."""
        low, real, fake = pictures
        loss = self.recipe.loss
        drawn = self._seen(fake.detach(), low)
        if self.replay is not None:
            drawn = self.replay.mix(drawn, draws.rng)
        assert self.judge is not None
        logits = [self.judge(self._seen(real, low))], [self.judge(drawn)]
        label: Tensor | float = 2 * loss.fake_label * draws.rand(len(real)) if loss.fake_label else 0.0
        total = self.adversarial.discriminator(*logits, loss.real_label, label)
        return {"total": total, "real": mean_logit(logits[0]), "fake": mean_logit(logits[1])}

    def _taught(self, low: Tensor, real: Tensor, fake: Tensor) -> Tensor:
        """What the discriminator tells the generator."""
        assert self.judge is not None
        upscaled = self._seen(fake, low)
        if self.recipe.loss.teacher == "logits":
            return self.adversarial.generator([self.judge(upscaled)])
        distance = feature_matching if self.recipe.loss.teacher == "means" else learned_similarity
        with torch.no_grad():
            wanted = self.judge.activations(self._seen(real, low))
        return distance(wanted, self.judge.activations(upscaled))

    def _seen(self, pictures: Tensor, low: Tensor) -> Tensor:
        """What the discriminator looks at: (B, 3 or 6, H, W) in [-1, 1]."""
        if not self.recipe.discriminator.condition:
            return pictures * 2 - 1
        told = enlarge(low, self.recipe.generator.scale).clamp(0, 1)
        return torch.cat([pictures, told], dim=1) * 2 - 1

    def _remembered(self) -> Tensor:
        """How far the generator is from the mean of its past."""
        assert self.history is not None
        penalty = self.history.penalty(self.generator)
        self.history.update(self.generator)
        return penalty

    def validate(self) -> tuple[NDArray[np.uint8], dict[str, float]]:
        """Crops that are not trained on, upscaled by the average; see `upscaling.validate`."""
        return validate(self.unseen, self.ema[0], self.content, self.device)


def networks_of(
    recipe: SRGANRecipe | UNetRecipe,
) -> tuple[SRGANGenerator | UNet, SRGANDiscriminator | GridDiscriminator]:
    """The recipe's generator and discriminator, untrained."""
    if isinstance(recipe, SRGANRecipe):
        return SRGANGenerator(recipe.generator), SRGANDiscriminator(recipe.discriminator)
    return UNet(recipe.generator), GridDiscriminator(recipe.discriminator)
