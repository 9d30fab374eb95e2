"""What the trainer asks of a stage, and what the stages share."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facegen.arrays import to_picture
from facegen.training.config import OptimizerConfig
from facegen.training.draws import Draws
from facegen.training.muon import Muon

Losses = dict[str, Tensor]
Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Phase:
    """One network's turn in a step."""

    name: str
    module: nn.Module
    optimizer: torch.optim.Optimizer
    """Phases may share one."""
    interval: int = 1
    """Taken every so many steps."""
    first_image: int = 0
    """Not taken before so many images are seen."""
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
        """Everything that is saved: the networks, the average that is published, and what else the losses remember."""
        ...

    @property
    def ema(self) -> tuple[nn.Module, nn.Module]:
        """(average, its source)."""
        ...

    @property
    def companions(self) -> Mapping[str, nn.Module]:
        """The discriminators that are published beside the average, by what is added to its name."""
        ...

    def batch(self, start: int, size: int) -> Any:
        """Pictures number `start` and on of the endless training order; made in any thread, on the processor."""
        ...

    def begin(self, batch: Any, draws: Draws) -> Any:
        """Draw what all phases of a step look at, gradients kept."""
        ...

    def losses(self, phase: str, pictures: Any, draws: Draws, images_seen: int) -> Losses:
        """The phase's losses for what `begin` gave; the one to descend is called "total"."""
        ...

    def validate(self) -> tuple[NDArray[np.uint8], dict[str, float]]:
        """A fixed sheet of what the average makes, and its figures; of "score", lower is better."""
        ...


def adam(module: nn.Module, config: OptimizerConfig) -> torch.optim.Adam:
    """Adam as the recipe says, over what trains."""
    return torch.optim.Adam(_trained(module), lr=config.learning_rate, betas=config.betas)


def generator_optimizer(module: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """What the recipe names for the generator, over what trains."""
    if config.generator == "adam":
        return adam(module, config)
    return Muon(_trained(module), lr=config.learning_rate, betas=config.betas)


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [p for p in module.parameters() if p.requires_grad]


def placed(module: Module, device: torch.device) -> Module:
    """On the device, its weights in the memory format that convolutions are fastest in."""
    module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


def average_of(module: Module) -> Module:
    """A copy to average into."""
    return copy.deepcopy(module).eval().requires_grad_(False)


def to_device(pictures: Tensor, device: torch.device) -> Tensor:
    return pictures.to(device, memory_format=torch.channels_last, non_blocking=True)


def to_uint8(pictures: Tensor) -> list[NDArray[np.uint8]]:
    """(B, 3, H, W) in [0, 1] to a list of (H, W, 3) uint8."""
    return [to_picture(picture.float().cpu()) for picture in pictures]


def mean_logit(logits: Sequence[Tensor]) -> Tensor:
    """Mean over the places of each head, then over heads."""
    return torch.stack([x.detach().float().mean() for x in logits]).mean()
