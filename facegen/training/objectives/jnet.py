"""Stage 2: tiles upscaled under a PatchGAN, a projected discriminator, and losses of content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facegen.models.discriminators import PatchDiscriminator
from facegen.models.efficientnet import STAGE_ENDS, Name
from facegen.models.jnet import JNet
from facegen.models.projected import ProjectedDiscriminator
from facegen.training.config import JNetRecipe
from facegen.training.datasets import TileDataset
from facegen.training.draws import Draws
from facegen.training.losses import ADVERSARIAL, pooled_l1
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

Square = tuple[int, int, int]
"""Top, left and side."""


@dataclass(frozen=True)
class Look:
    """A square of some tiles, and what frozen networks make of it."""

    pictures: Tensor
    """(B, 3, side, side) in [0, 1]."""
    maps: Mapping[Name, Sequence[Tensor]]
    """Of each EfficientNet that a loss asks for."""


@dataclass(frozen=True)
class Step:
    """What all phases of a step look at."""

    real: Tensor
    upscaled: Tensor
    conditioned: tuple[Tensor, Tensor, Tensor]
    """A square of the stacks, of the real tiles and of those upscaled: what the PatchGAN sees."""
    looks: tuple[Look, Look]
    """At the real tiles, without gradients, and at those upscaled."""


class JNetObjective:
    """Adversarial losses and feature loss on random crops, L1 on the average-pooled pair."""

    def __init__(self, recipe: JNetRecipe, data: TileDataset, unseen: TileDataset, device: torch.device) -> None:
        self.recipe, self.data, self.unseen, self.device = recipe, data, unseen, device
        self.generator = placed(JNet(recipe.generator), device)
        self.discriminator = placed(PatchDiscriminator(recipe.discriminator), device)
        self.content = ContentLoss(recipe.loss, device)
        count = len(recipe.loss.feature_weights)
        self.frozen = {name: (network, count) for name, network in self.content.networks.items()}
        """By name, the networks that look, and how many maps are wanted of each."""
        self.projected: ProjectedDiscriminator | None = None
        if recipe.loss.projected:
            lite0 = self.content.networks.get("lite0")
            self.projected = placed(ProjectedDiscriminator(recipe.projected, lite0), device)
            self.frozen["lite0"] = self.projected.features, len(STAGE_ENDS)
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
            Phase("generator", self.generator, generator_optimizer(self.generator, recipe.optimizer), first_image=first,
                  clip_norm=recipe.optimizer.clip_norm),
        )  # fmt: skip

    def batch(self, start: int, size: int) -> tuple[Tensor, Tensor]:
        return self.data.batch(start, size)

    def begin(self, batch: tuple[Tensor, Tensor], draws: Draws) -> Step:
        stacks, real = (to_device(x, self.device) for x in batch)
        upscaled = self.generator(stacks)
        scale, side = self.recipe.generator.scale, real.shape[-1]
        cut, window = self.cut(draws, side), self.window(draws, side)
        conditioned = crop(stacks, cut, 1), crop(real, cut, scale), crop(upscaled, cut, scale)
        with torch.no_grad():
            wanted = self._look(real, window)
        return Step(real, upscaled, conditioned, (wanted, self._look(upscaled, window)))

    def _look(self, tiles: Tensor, window: Square) -> Look:
        pictures = crop(tiles, window, 1)
        maps = {name: network(pictures * 2 - 1, count) for name, (network, count) in self.frozen.items()}
        return Look(pictures, maps)

    def losses(self, phase: str, pictures: Step, draws: Draws, images_seen: int) -> Losses:
        if phase == "discriminator":
            return self._judge(pictures)
        stack, _, upscaled = pictures.conditioned
        weights, factor = self.recipe.loss, pictures.upscaled.shape[-1] // self.recipe.loss.pooled_side
        losses = {
            "adversarial": self.adversarial.generator([self.discriminator(upscaled, stack)]),
            "pooled_l1": pooled_l1(pictures.upscaled, pictures.real, factor),
            "feature": self._content(*pictures.looks),
        }
        total = (
            weights.adversarial * losses["adversarial"]
            + weights.pooled_l1(images_seen) * losses["pooled_l1"]
            + weights.feature * losses["feature"]
        )
        if self.projected is not None:
            losses["projected"] = self.adversarial.generator(self.projected.judge(pictures.looks[1].maps["lite0"]))
            total = total + weights.projected * losses["projected"]
        return {"total": total, **losses}

    def _content(self, real: Look, upscaled: Look) -> Tensor:
        if self.content.vgg is not None:
            return self.content(upscaled.pictures, real.pictures)
        return self.content.of_maps(upscaled.maps, real.maps)

    def _judge(self, pictures: Step) -> Losses:
        (stack, real, upscaled), label = pictures.conditioned, self.recipe.loss.real_label
        logits = [self.discriminator(real, stack)], [self.discriminator(upscaled.detach(), stack)]
        total = self.adversarial.discriminator(*logits, label)
        losses = {"real": mean_logit(logits[0]), "fake": mean_logit(logits[1])}
        if self.projected is not None:
            maps = [[m.detach() for m in look.maps["lite0"]] for look in pictures.looks]
            heads = self.projected.judge(maps[0]), self.projected.judge(maps[1])
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
        """Tiles that are not trained on, upscaled by the average; see `upscaling.validate`."""
        return validate(self.unseen, self.ema[0], self.content, self.device)


def crop(pictures: Tensor, cut: Square, scale: int) -> Tensor:
    """A square of pictures that are `scale` times as large as those it is given in."""
    y, x, side = (n * scale for n in cut)
    return pictures[..., y : y + side, x : x + side].contiguous(memory_format=torch.channels_last)
