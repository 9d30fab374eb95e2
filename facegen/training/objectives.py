"""What each stage trains: its networks, its phases, its losses. The trainer knows nothing of this."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facegen.models.dcgan import DCGANGenerator
from facegen.models.discriminators import PatchDiscriminator, ProjectedDiscriminator
from facegen.models.efficientnet import load_efficientnet
from facegen.models.jnet import JNet
from facegen.sheets import contact_sheet
from facegen.tensors import to_picture
from facegen.training.config import DCGANRecipe, JNetRecipe, OptimizerConfig
from facegen.training.datasets import FaceDataset, TileDataset
from facegen.training.diffaugment import diffaugment
from facegen.training.losses import FeatureLoss, hinge_discriminator, hinge_generator, pooled_l1

PREVIEWS = 16
Losses = dict[str, Tensor]
Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Phase:
    """One network's turn in a step."""

    name: str
    module: nn.Module
    optimizer: torch.optim.Optimizer
    interval: int = 1
    """Taken every so many steps."""
    clip_norm: float = 0.0
    """Gradients longer than this are shortened to it; 0 leaves them alone."""


class Objective(Protocol):
    """What the trainer needs of a stage."""

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The networks' turns, in order."""
        ...

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """Everything that is saved: the networks and the average that is published."""
        ...

    @property
    def ema(self) -> tuple[nn.Module, nn.Module]:
        """(average, its source)."""
        ...

    def batch(self, step: int, size: int) -> Any: ...

    def losses(self, phase: str, batch: Any, rng: torch.Generator) -> Losses:
        """The phase's losses; the one to descend is called "total"."""
        ...

    def preview(self) -> NDArray[np.uint8]:
        """A fixed sheet of samples."""
        ...


def _adam(module: nn.Module, config: OptimizerConfig) -> torch.optim.Adam:
    parameters = [p for p in module.parameters() if p.requires_grad]
    return torch.optim.Adam(parameters, lr=config.learning_rate, betas=config.betas)


def _channels_last(module: Module) -> Module:
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


def _average_of(module: Module) -> Module:
    return copy.deepcopy(module).eval().requires_grad_(False)


def _to_uint8(pictures: Tensor) -> list[NDArray[np.uint8]]:
    """(B, 3, H, W) in [0, 1] to a list of (H, W, 3) uint8."""
    return [to_picture(picture) for picture in pictures]


class DCGANObjective:
    """Hinge loss, projected discriminator, DiffAugment."""

    def __init__(self, recipe: DCGANRecipe, data: FaceDataset) -> None:
        self.recipe, self.data = recipe, data
        generator = _channels_last(DCGANGenerator(recipe.generator))
        discriminator = _channels_last(ProjectedDiscriminator(recipe.discriminator))
        self.generator, self.discriminator = generator, discriminator
        self.ema = (_average_of(generator), generator)
        self.modules = {"generator": generator, "heads": discriminator.heads, "average": self.ema[0]}
        self.phases = (
            Phase("discriminator", discriminator.heads, _adam(discriminator.heads, recipe.optimizer)),
            Phase("generator", generator, _adam(generator, recipe.optimizer), clip_norm=recipe.optimizer.clip_norm),
        )
        self.preview_z = torch.randn(PREVIEWS * 4, recipe.generator.z_dim, generator=torch.Generator().manual_seed(0))

    def batch(self, step: int, size: int) -> Tensor:
        return self.data.batch(step, size)

    def losses(self, phase: str, batch: Tensor, rng: torch.Generator) -> Losses:
        z = torch.randn(batch.shape[0], self.recipe.generator.z_dim, generator=rng)
        if phase == "generator":
            loss = hinge_generator(self._judge(self.generator(z), rng))
            return {"total": loss}
        with torch.no_grad():
            fake = self.generator(z)
        real_logits, fake_logits = self._judge(batch, rng), self._judge(fake, rng)
        loss = hinge_discriminator(real_logits, fake_logits)
        return {"total": loss, "real": _mean_logit(real_logits), "fake": _mean_logit(fake_logits)}

    def _judge(self, pictures: Tensor, rng: torch.Generator) -> list[Tensor]:
        pictures = pictures.to(memory_format=torch.channels_last)
        logits: list[Tensor] = self.discriminator(diffaugment(pictures, self.recipe.loss.augment, rng))
        return logits

    def preview(self) -> NDArray[np.uint8]:
        average = self.ema[0]
        with torch.no_grad():
            pictures = torch.cat([average.draw(z) for z in torch.split(self.preview_z, 8)])
        return contact_sheet(_to_uint8(pictures))


class JNetObjective:
    """Hinge PatchGAN, L1 on the average-pooled pair, feature loss on a random crop."""

    def __init__(self, recipe: JNetRecipe, data: TileDataset) -> None:
        self.recipe, self.data = recipe, data
        generator = _channels_last(JNet(recipe.generator))
        discriminator = _channels_last(PatchDiscriminator(recipe.discriminator))
        self.generator, self.discriminator = generator, discriminator
        self.feature_loss = FeatureLoss(_channels_last(load_efficientnet("lite0")), recipe.loss.feature_maps)
        self.ema = (_average_of(generator), generator)
        self.modules = {"generator": generator, "discriminator": discriminator, "average": self.ema[0]}
        self.phases = (
            Phase("discriminator", discriminator, _adam(discriminator, recipe.optimizer)),
            Phase("generator", generator, _adam(generator, recipe.optimizer), clip_norm=recipe.optimizer.clip_norm),
        )
        self._drawn: tuple[int, Tensor] | None = None

    def batch(self, step: int, size: int) -> tuple[Tensor, Tensor]:
        stacks, tiles = self.data.batch(step, size)
        return stacks.to(memory_format=torch.channels_last), tiles.to(memory_format=torch.channels_last)

    def losses(self, phase: str, batch: tuple[Tensor, Tensor], rng: torch.Generator) -> Losses:
        stacks, real = batch
        if phase == "discriminator":
            with torch.no_grad():
                fake = self.generator(stacks)
            logits = self.discriminator(real, stacks), self.discriminator(fake, stacks)
            loss = hinge_discriminator([logits[0]], [logits[1]])
            return {"total": loss, "real": _mean_logit([logits[0]]), "fake": _mean_logit([logits[1]])}
        weights, fake = self.recipe.loss, self.generator(stacks)
        adversarial = hinge_generator([self.discriminator(fake, stacks)])
        content = pooled_l1(fake, real, self.recipe.generator.scale)
        feature = self.feature_loss(*self._crop(fake, real, rng))
        total = weights.adversarial * adversarial + weights.pooled_l1 * content + weights.feature * feature
        return {"total": total, "adversarial": adversarial, "pooled_l1": content, "feature": feature}

    def _crop(self, fake: Tensor, real: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """The same random square of both."""
        side = min(self.recipe.loss.feature_crop, fake.shape[-1])
        y, x = torch.randint(0, fake.shape[-1] - side + 1, (2,), generator=rng).tolist()
        return fake[..., y : y + side, x : x + side], real[..., y : y + side, x : x + side]

    def preview(self) -> NDArray[np.uint8]:
        """Rows of low-res, bicubic-like base, raised and real tiles, from a batch never trained on as such."""
        stacks, real = self.data.batch(2**31, PREVIEWS // 2)
        with torch.no_grad():
            raised = self.ema[0](stacks)
        low = nn.functional.interpolate(stacks[:, :3], size=real.shape[-2:], mode="bicubic", align_corners=False)
        return contact_sheet([*_to_uint8(low), *_to_uint8(raised), *_to_uint8(real)], columns=PREVIEWS // 2)


def _mean_logit(logits: list[Tensor]) -> Tensor:
    return torch.stack([x.detach().float().mean() for x in logits]).mean()
