"""Stage 2: tiles raised under a PatchGAN, a projected discriminator, and losses of content."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facegen.models.discriminators import PatchDiscriminator, ProjectedDiscriminator
from facegen.models.jnet import JNet
from facegen.training.config import JNetRecipe
from facegen.training.datasets import TileDataset
from facegen.training.draws import Draws
from facegen.training.losses import ADVERSARIAL, pooled_l1
from facegen.training.objectives.base import Losses, Phase, adam, average_of, mean_logit, placed, to_device
from facegen.training.objectives.raising import content_loss, validate

Step = tuple[Tensor, Tensor, Tensor]
"""Stacks, real tiles, raised tiles."""
Square = tuple[int, int, int]
"""Top, left and side."""


class JNetObjective:
    """Adversarial losses and feature loss on random crops, L1 on the average-pooled pair."""

    def __init__(self, recipe: JNetRecipe, data: TileDataset, unseen: TileDataset, device: torch.device) -> None:
        self.recipe, self.data, self.unseen, self.device = recipe, data, unseen, device
        self.generator = placed(JNet(recipe.generator), device)
        self.discriminator = placed(PatchDiscriminator(recipe.discriminator), device)
        self.projected = placed(ProjectedDiscriminator(recipe.projected), device) if recipe.loss.projected else None
        self.feature_loss = content_loss(recipe.loss, device)
        self.adversarial = ADVERSARIAL[recipe.loss.kind]
        self.ema = (average_of(self.generator), self.generator)
        self.judges = nn.ModuleDict({"patch": self.discriminator})
        self.modules: dict[str, nn.Module] = {
            "generator": self.generator, "discriminator": self.discriminator, "average": self.ema[0]
        }  # fmt: skip
        self.companions: dict[str, nn.Module] = {"-patchgan": self.discriminator}
        if self.projected is not None:
            self.judges["heads"] = self.modules["heads"] = self.companions["-heads"] = self.projected.heads
        first = recipe.optimizer.generator_from
        self.phases = (
            Phase("discriminator", self.judges, adam(self.judges, recipe.optimizer)),
            Phase("generator", self.generator, adam(self.generator, recipe.optimizer), first_image=first,
                  clip_norm=recipe.optimizer.clip_norm),
        )  # fmt: skip

    def batch(self, start: int, size: int) -> tuple[Tensor, Tensor]:
        return self.data.batch(start, size)

    def begin(self, batch: tuple[Tensor, Tensor], draws: Draws) -> Step:
        stacks, real = (to_device(x, self.device) for x in batch)
        return stacks, real, self.generator(stacks)

    def losses(self, phase: str, pictures: Step, draws: Draws, images_seen: int) -> Losses:
        stacks, real, fake = pictures
        scale, side = self.recipe.generator.scale, real.shape[-1]
        cut, window = self.cut(draws, side), self.window(draws, side)
        conditioned = crop(stacks, cut, 1), crop(real, cut, scale), crop(fake, cut, scale)
        seen = crop(real, window, 1), crop(fake, window, 1)
        if phase == "discriminator":
            return self._judge(conditioned, seen)
        weights = self.recipe.loss
        losses = {
            "adversarial": self.adversarial.generator([self.discriminator(conditioned[2], conditioned[0])]),
            "pooled_l1": pooled_l1(fake, real, fake.shape[-1] // weights.pooled_side),
            "feature": self.feature_loss(seen[1], seen[0]),
        }
        total = (
            weights.adversarial * losses["adversarial"]
            + weights.pooled_l1(images_seen) * losses["pooled_l1"]
            + weights.feature * losses["feature"]
        )
        if self.projected is not None:
            losses["projected"] = self.adversarial.generator(self.projected(seen[1] * 2 - 1))
            total = total + weights.projected * losses["projected"]
        return {"total": total, **losses}

    def _judge(self, conditioned: tuple[Tensor, Tensor, Tensor], seen: tuple[Tensor, Tensor]) -> Losses:
        (stack, real, fake), label = conditioned, self.recipe.loss.real_label
        logits = [self.discriminator(real, stack)], [self.discriminator(fake.detach(), stack)]
        total = self.adversarial.discriminator(*logits, label)
        losses = {"real": mean_logit(logits[0]), "fake": mean_logit(logits[1])}
        if self.projected is not None:
            heads = self.projected(seen[0] * 2 - 1), self.projected(seen[1].detach() * 2 - 1)
            total = total + self.adversarial.discriminator(*heads, label)
            losses |= {"projected_real": mean_logit(heads[0]), "projected_fake": mean_logit(heads[1])}
        return {"total": total, **losses}

    def cut(self, draws: Draws, side: int) -> Square:
        """What the PatchGAN looks at, in low-res pixels, as it is told them; one for the batch."""
        scale = self.recipe.generator.scale
        cut = min(self.recipe.loss.crop, side) // scale
        y, x = draws.shared(0, side // scale - cut + 1, 2)
        return y, x, cut

    def window(self, draws: Draws, side: int) -> Square:
        """What the frozen features look at, at any pixel; one for the batch.

        Convolutions of stride 2 that always met the same lines of the low-res pixels would teach the network a lattice.
        """
        window = min(self.recipe.loss.crop, side)
        y, x = draws.shared(0, side - window + 1, 2)
        return y, x, window

    def validate(self) -> tuple[NDArray[np.uint8], dict[str, float]]:
        """Tiles that are not trained on, raised by the average; see `raising.validate`."""
        return validate(self.unseen, self.ema[0], self.feature_loss, self.device)


def crop(pictures: Tensor, cut: Square, scale: int) -> Tensor:
    """A square of pictures that are `scale` times as large as those it is given in."""
    y, x, side = (n * scale for n in cut)
    return pictures[..., y : y + side, x : x + side].contiguous(memory_format=torch.channels_last)
