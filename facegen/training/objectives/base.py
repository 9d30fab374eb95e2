"""The interface between trainer and stages, and the parts that stages share."""

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
from facegen.errors import ShapeError
from facegen.training.config import OptimizerConfig
from facegen.training.muon import Muon
from facegen.training.random import Draws

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
    """The phase runs every this many steps."""
    first_image: int = 0
    """The phase does not run before this many images are seen."""
    clip_norm: float = 0.0
    """Longer gradients are shortened to it; 0 leaves them unchanged."""


class Objective(Protocol):
    """A stage, as the trainer uses it."""

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The networks' turns, in order."""
        ...

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """Everything that is saved: the networks, the average that is published, and the memory of the losses."""
        ...

    @property
    def ema(self) -> tuple[nn.Module, nn.Module]:
        """(average, its source)."""
        ...

    @property
    def companions(self) -> Mapping[str, nn.Module]:
        """The networks that are published with the average, by what is added to its name."""
        ...

    def batch(self, start: int, size: int) -> Any:
        """Pictures number `start` and on of the endless training order; made in any thread, on the processor."""
        ...

    def begin(self, batch: Any, draws: Draws) -> Any:
        """Generate what all phases of a step use, gradients kept."""
        ...

    def losses(self, phase: str, pictures: Any, draws: Draws, images_seen: int) -> Losses:
        """The phase's losses for the result of `begin`; the one to minimise is called "total"."""
        ...

    def validate(self) -> tuple[NDArray[np.uint8], dict[str, float]]:
        """A fixed sheet of the average's pictures, and its figures; of "score", lower is better."""
        ...


def adam(module: nn.Module, config: OptimizerConfig) -> torch.optim.Adam:
    """Adam with the recipe's settings, for the parameters that train."""
    return torch.optim.Adam(_trained(module), lr=config.learning_rate, betas=config.betas)


def generator_phase(module: nn.Module, config: OptimizerConfig, interval: int = 1) -> Phase:
    """The generator's turn, with the recipe's settings."""
    optimizer: torch.optim.Optimizer = adam(module, config)
    if config.generator == "muon":
        optimizer = Muon(_trained(module), lr=config.learning_rate, betas=config.betas)
    return Phase("generator", module, optimizer, interval, config.generator_from, config.clip_norm)


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [p for p in module.parameters() if p.requires_grad]


def placed(module: Module, device: torch.device) -> Module:
    """Move to the device, weights in the memory format that convolutions are fastest in."""
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


class HistoricalAverage(nn.Module):
    """Mean of a network's parameters over all their values so far; the penalty pulls them there (Salimans et al. 2016).

    The mean is over all values it was updated with; before the first update it is the parameters at construction. Its
    buffers hold all it knows, so a checkpoint keeps it.
    """

    mean: Tensor
    count: Tensor

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.register_buffer("mean", _parameters(module).detach().clone())  # (parameters,)
        self.register_buffer("count", torch.tensor(0))

    def penalty(self, module: nn.Module) -> Tensor:
        """Squared distance of the parameters from their mean, |theta - mean|^2, per parameter; with their gradient."""
        return (_parameters(module) - self.mean).square().mean()

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Add the parameters' present values to the mean; once a step."""
        self.count += 1
        self.mean += (_parameters(module) - self.mean) / self.count


class ReplayBuffer(nn.Module):
    """Earlier generated pictures, shown again so that the discriminator does not forget them (Shrivastava et al. 2017).

    Picture by picture, as CycleGAN does (Zhu et al. 2017): until the buffer is full each is kept and passed on; from
    then on each is exchanged, with probability 1/2, for a kept one at random, whose place it takes. They are kept as
    uint8, in buffers that a checkpoint saves, so an exchanged picture comes back up to 1/255 off, clamped.
    """

    pictures: Tensor
    count: Tensor

    def __init__(self, capacity: int, channels: int, side: int) -> None:
        super().__init__()
        self.register_buffer("pictures", torch.zeros(capacity, channels, side, side, dtype=torch.uint8))
        self.register_buffer("count", torch.tensor(0))

    @torch.no_grad()
    def mix(self, fake: Tensor, rng: torch.Generator) -> Tensor:
        """Exchange about half of (B, C, H, W) pictures in [-1, 1], without gradient, and keep those taken out.

        `rng` is asked for the same number of draws however full the buffer is.

        Raises:
            ShapeError: if the pictures differ in size from the buffer's.
        """
        if fake.ndim != 4 or fake.shape[1:] != self.pictures.shape[1:]:
            sides = ", ".join(str(n) for n in self.pictures.shape[1:])
            raise ShapeError(f"ReplayBuffer: pictures have shape {tuple(fake.shape)}, expected (B, {sides}).")
        capacity = len(self.pictures)
        exchanged = (torch.rand(len(fake), generator=rng) < 0.5).tolist()
        places = torch.randint(capacity, (len(fake),), generator=rng).tolist()
        kept = ((fake.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        mixed = fake.detach().clone()
        filled = int(self.count)
        for i, picture in enumerate(kept):
            if filled < capacity:
                self.pictures[filled] = picture
                filled += 1
            elif exchanged[i]:
                mixed[i] = self.pictures[places[i]].float() / 127.5 - 1
                self.pictures[places[i]] = picture
        self.count.fill_(filled)
        return mixed


def _parameters(module: nn.Module) -> Tensor:
    """All of a network's parameters as one float32 vector, in whatever memory format they are."""
    return torch.cat([p.float().reshape(-1) for p in module.parameters()])
