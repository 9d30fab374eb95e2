"""Stage 2: the J-net, trained with a PatchGAN, a projected discriminator, and content losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.profiler import record_function

from facegen.arrays import RGB
from facegen.models.discriminators import PatchDiscriminator
from facegen.models.efficientnet import STAGE_ENDS, Name
from facegen.models.jnet import JNet
from facegen.models.projected import ProjectedDiscriminator
from facegen.training.config import JNetRecipe
from facegen.training.losses import ADVERSARIAL, pooled_l1
from facegen.training.objectives.base import Losses, Phase, average_of, mean_logit, placed, to_device
from facegen.training.objectives.content import ContentLoss, validate
from facegen.training.random import Draws
from facegen.training.tiles import TileDataset


@dataclass(frozen=True)
class Crop:
    """A square cut from tiles, in [0, 1], and its maps by each EfficientNet that a loss needs."""

    pictures: Tensor
    maps: Mapping[Name, Sequence[Tensor]]


@dataclass(frozen=True)
class Step:
    """The pictures that all phases of a step use."""

    real: Tensor
    upscaled: Tensor
    conditioned: tuple[Tensor, Tensor, Tensor]
    """For the PatchGAN: the same square of the stacks, the real and the upscaled tiles."""
    crops: tuple[Crop, Crop]
    """For the frozen networks: crops of the real tiles, without gradients, and of the upscaled ones."""


class JNetObjective:
    """Adversarial losses and feature loss on random crops, L1 on the average-pooled pair."""

    def __init__(self, recipe: JNetRecipe, data: TileDataset, unseen: TileDataset, device: torch.device) -> None:
        self.recipe, self.unseen, self.device, self.batch = recipe, unseen, device, data.batch
        self.generator = placed(JNet(recipe.generator), device)
        self.discriminator = placed(PatchDiscriminator(recipe.discriminator), device)
        self.content = ContentLoss(recipe.loss, device)
        count = len(recipe.loss.feature_weights)
        self.frozen = {name: (network, count) for name, network in self.content.networks.items()}
        """The frozen networks by name, each with the number of maps needed."""
        self.projected: ProjectedDiscriminator | None = None
        if recipe.loss.projected.used:
            lite0 = self.content.networks.get("lite0")
            self.projected = placed(ProjectedDiscriminator(recipe.projected, lite0), device)
            self.frozen["lite0"] = self.projected.features, len(STAGE_ENDS)
        self.adversarial = ADVERSARIAL[recipe.loss.kind]
        self.ema = (average_of(self.generator), self.generator)
        self.discriminators = nn.ModuleDict({"patch": self.discriminator})
        self.modules: dict[str, nn.Module] = {
            "generator": self.generator, "discriminator": self.discriminator, "average": self.ema[0]
        }  # fmt: skip
        self.companions: dict[str, nn.Module] = {"-patchgan": self.discriminator}
        if self.projected is not None:
            heads = self.projected.heads
            self.discriminators["heads"] = self.modules["heads"] = self.companions["-heads"] = heads
        loss = recipe.loss
        schedules = {"adversarial": loss.adversarial, "pooled_l1": loss.pooled_l1, "projected": loss.projected}
        self.weights = {name: (weight, torch.tensor(weight(0), device=device)) for name, weight in schedules.items()}
        self.phases = (
            Phase.discriminator(self.discriminators, recipe.optimizer),
            Phase.generator(self.generator, recipe.optimizer),
        )

    capturable = True

    def before_step(self, images_seen: int) -> None:
        for schedule, weight in self.weights.values():
            weight.fill_(schedule(images_seen))

    def after_step(self) -> None:
        """Nothing to update: gradients train everything."""

    def begin(self, batch: tuple[Tensor, Tensor], draws: Draws) -> Step:
        stacks, real = (to_device(x, self.device) for x in batch)
        with record_function("train.generator"):
            upscaled = self.generator(stacks)
        scale, side = self.recipe.generator.scale, real.shape[-1]
        cut, window = self.cut(draws, side), self.window(draws, side)
        condition = stacks[:, : self.recipe.discriminator.condition_channels]  # without the strength
        seen = min(self.recipe.loss.crop, side)
        low_side = seen // scale
        conditioned = (
            crop(condition, cut, low_side), crop(real, cut * scale, low_side * scale),
            crop(upscaled, cut * scale, low_side * scale),
        )  # fmt: skip
        with record_function("train.features"):
            with torch.no_grad():
                wanted = self._crop(real, window, seen)
            return Step(real, upscaled, conditioned, (wanted, self._crop(upscaled, window, seen)))

    def _crop(self, tiles: Tensor, window: Tensor, side: int) -> Crop:
        pictures = crop(tiles, window, side)
        maps = {name: network(pictures * 2 - 1, count) for name, (network, count) in self.frozen.items()}
        return Crop(pictures, maps)

    def losses(self, phase: str, pictures: Step, draws: Draws, images_seen: int) -> Losses:
        if phase == "discriminator":
            return self._discriminator(pictures)
        stack, _, upscaled = pictures.conditioned
        weights = {name: weight for name, (_, weight) in self.weights.items()}
        factor = pictures.upscaled.shape[-1] // self.recipe.loss.pooled_side
        losses = {
            "adversarial": self.adversarial.generator([self.discriminator(upscaled, stack)]),
            "pooled_l1": pooled_l1(pictures.upscaled, pictures.real, factor),
            "feature": self._content(*pictures.crops),
        }
        total = (
            weights["adversarial"] * losses["adversarial"]
            + weights["pooled_l1"] * losses["pooled_l1"]
            + self.recipe.loss.feature * losses["feature"]
        )
        if self.projected is not None:
            losses["projected"] = self.adversarial.generator(self.projected.logits(pictures.crops[1].maps["lite0"]))
            total = total + weights["projected"] * losses["projected"]
        return {"total": total, **losses}

    def _content(self, real: Crop, upscaled: Crop) -> Tensor:
        if self.content.vgg is not None:
            return self.content(upscaled.pictures, real.pictures)
        return self.content.of_maps(upscaled.maps, real.maps)

    def _discriminator(self, pictures: Step) -> Losses:
        (stack, real, upscaled), label = pictures.conditioned, self.recipe.loss.real_label
        logits = [self.discriminator(real, stack)], [self.discriminator(upscaled.detach(), stack)]
        total = self.adversarial.discriminator(*logits, label)
        losses = {"real": mean_logit(logits[0]), "fake": mean_logit(logits[1])}
        if self.projected is not None:
            maps = [[m.detach() for m in crop.maps["lite0"]] for crop in pictures.crops]
            heads = self.projected.logits(maps[0]), self.projected.logits(maps[1])
            total = total + self.adversarial.discriminator(*heads, label)
            losses |= {"projected_real": mean_logit(heads[0]), "projected_fake": mean_logit(heads[1])}
        return {"total": total, **losses}

    def cut(self, draws: Draws, side: int) -> Tensor:
        """Top and left, (2,), of the square that the PatchGAN sees, in low-res pixels, since it sees these too.

        It is the same for all tiles of a batch, which have this side.
        """
        scale = self.recipe.generator.scale
        return draws.shared(side // scale - min(self.recipe.loss.crop, side) // scale + 1)

    def window(self, draws: Draws, side: int) -> Tensor:
        """Top and left, (2,), of the square that the frozen networks see, at any pixel; the same for all tiles.

        Convolutions of stride 2 that always met the same lines of low-res pixels would teach the network a lattice.
        """
        return draws.shared(side - min(self.recipe.loss.crop, side) + 1)

    def validate(self) -> tuple[RGB, dict[str, float]]:
        return validate(self.unseen, self.ema[0], self.content, self.device)


def crop(pictures: Tensor, corner: Tensor, side: int) -> Tensor:
    """Cut the square of this side whose top and left, (2,), are `corner`."""
    top, left = (corner + torch.arange(side, device=pictures.device)[:, None]).unbind(1)
    cut = pictures.index_select(2, top).index_select(3, left)
    return cut.contiguous(memory_format=torch.channels_last)
