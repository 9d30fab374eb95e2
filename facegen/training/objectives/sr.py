"""Plain upscaling, SRGAN's and the U-net's: pixel, feature and adversarial losses on pairs of crops."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegen.arrays import RGB
from facegen.models.jnet import enlarge
from facegen.models.srgan import SRGANDiscriminator, SRGANGenerator
from facegen.models.unet import GridDiscriminator, UNet
from facegen.training.config import SRGANRecipe, UNetRecipe
from facegen.training.datasets import PairDataset
from facegen.training.losses import ADVERSARIAL, HistoricalAverage, ReplayBuffer, feature_matching, learned_similarity
from facegen.training.objectives.base import Losses, Phase, average_of, mean_logit, placed, to_device
from facegen.training.objectives.content import ContentLoss, validate
from facegen.training.random import Draws

Step = tuple[Tensor, Tensor, Tensor]
"""Low-res, real and upscaled pictures, all in [0, 1]."""

PIXEL: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": F.l1_loss, "mse": F.mse_loss}


class UpscalerObjective:
    """The losses of the recipe's [loss], over one generator and, unless adversarial is 0, one discriminator."""

    def __init__(
        self, recipe: SRGANRecipe | UNetRecipe, data: PairDataset, unseen: PairDataset, device: torch.device
    ) -> None:
        self.recipe, self.unseen, self.device, self.batch = recipe, unseen, device, data.batch
        loss, optimizer = recipe.loss, recipe.optimizer
        generator, discriminator = _networks_of(recipe)
        self.generator = placed(generator, device)
        self.discriminator = placed(discriminator, device) if loss.adversarial.used else None
        self.content = ContentLoss(loss, device)
        self.adversarial = ADVERSARIAL[loss.kind]
        self.ema = (average_of(self.generator), self.generator)
        self.modules: dict[str, nn.Module] = {"generator": self.generator, "average": self.ema[0]}
        self.companions: dict[str, nn.Module] = {}
        self.phases: tuple[Phase, ...] = (Phase.generator(self.generator, optimizer),)
        if self.discriminator is not None:
            self.modules["discriminator"] = self.companions["-discriminator"] = self.discriminator
            self.phases = (Phase.discriminator(self.discriminator, optimizer), *self.phases)
        planes = 6 if recipe.discriminator.condition else 3
        self.replay = ReplayBuffer(loss.replay, planes, recipe.pairs.crop).to(device) if loss.replay else None
        self.history = HistoricalAverage(self.generator).to(device) if loss.historical else None
        memories = {"replay": self.replay, "history": self.history}
        self.modules |= {name: memory for name, memory in memories.items() if memory is not None}

    @property
    def capturable(self) -> bool:
        loss = self.recipe.loss
        return not loss.replay and loss.pixel.end is None and loss.adversarial.end is None

    def before_step(self, images_seen: int) -> None:
        """Nothing to set: `losses` uses the images seen."""

    def after_step(self) -> None:
        """Nothing to update: gradients train everything."""

    def begin(self, batch: tuple[Tensor, Tensor], draws: Draws) -> Step:
        low, real = (to_device(x, self.device) for x in batch)
        return low, real, self.generator(low)

    def losses(self, phase: str, pictures: Step, draws: Draws, images_seen: int) -> Losses:
        if phase == "discriminator":
            return self._discriminator(pictures, draws)
        low, real, fake = pictures
        loss = self.recipe.loss
        terms: dict[str, tuple[float, Callable[[], Tensor]]] = {
            "pixel": (loss.pixel(images_seen), lambda: PIXEL[loss.pixel_kind](fake, real)),
            "feature": (loss.feature, lambda: self.content(fake, real)),
            "adversarial": (loss.adversarial(images_seen), lambda: self._teacher(low, real, fake)),
            "historical": (loss.historical, lambda: cast(HistoricalAverage, self.history)(self.generator)),
        }
        losses = {name: term() for name, (weight, term) in terms.items() if weight}
        return {"total": sum((terms[name][0] * value for name, value in losses.items()), torch.zeros(())), **losses}

    def _discriminator(self, pictures: Step, draws: Draws) -> Losses:
        low, real, fake = pictures
        loss = self.recipe.loss
        upscaled = self._seen(fake.detach(), low)
        if self.replay is not None:
            upscaled = self.replay.mix(upscaled, draws.rng)
        assert self.discriminator is not None
        logits = [self.discriminator(self._seen(real, low))], [self.discriminator(upscaled)]
        label: Tensor | float = 2 * loss.fake_label * draws.rand(len(real)) if loss.fake_label else 0.0
        total = self.adversarial.discriminator(*logits, loss.real_label, label)
        return {"total": total, "real": mean_logit(logits[0]), "fake": mean_logit(logits[1])}

    def _teacher(self, low: Tensor, real: Tensor, fake: Tensor) -> Tensor:
        assert self.discriminator is not None
        upscaled = self._seen(fake, low)
        if self.recipe.loss.teacher == "logits":
            return self.adversarial.generator([self.discriminator(upscaled)])
        distance = feature_matching if self.recipe.loss.teacher == "means" else learned_similarity
        with torch.no_grad():
            wanted = self.discriminator.activations(self._seen(real, low))
        return distance(wanted, self.discriminator.activations(upscaled))

    def _seen(self, pictures: Tensor, low: Tensor) -> Tensor:
        """The discriminator's input: (B, 3 or 6, H, W) in [-1, 1]."""
        if not self.recipe.discriminator.condition:
            return pictures * 2 - 1
        condition = enlarge(low, self.recipe.generator.scale).clamp(0, 1)
        return torch.cat([pictures, condition], dim=1) * 2 - 1

    def validate(self) -> tuple[RGB, dict[str, float]]:
        return validate(self.unseen, self.ema[0], self.content, self.device)


def _networks_of(recipe: SRGANRecipe | UNetRecipe) -> tuple[nn.Module, SRGANDiscriminator | GridDiscriminator]:
    if isinstance(recipe, SRGANRecipe):
        return SRGANGenerator(recipe.generator), SRGANDiscriminator(recipe.discriminator)
    return UNet(recipe.generator), GridDiscriminator(recipe.discriminator)
