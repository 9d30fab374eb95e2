"""The interface between trainer and stages, and the parts that stages share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from facegen.arrays import RGB
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
    """Two phases may share one."""
    interval: int = 1
    """The phase runs every this many steps."""
    first_image: int = 0
    """The phase does not run before this many images are seen."""
    clip_norm: float = 0.0
    """Longer gradients are shortened to it; 0 leaves them unchanged."""
    rate: Callable[[float], float] | None = None
    """The learning rate at a share of the run, 0..1; if absent, the optimizer's stays."""

    @classmethod
    def discriminator(cls, module: nn.Module, config: OptimizerConfig) -> Phase:
        """The discriminator's turn, with Adam."""
        return cls("discriminator", module, _adam(module, config), rate=config.rate)

    @classmethod
    def generator(cls, module: nn.Module, config: OptimizerConfig, interval: int = 1) -> Phase:
        """The generator's turn, with the recipe's optimizer."""
        optimizer = Muon(**_options(module, config)) if config.generator == "muon" else _adam(module, config)
        return cls("generator", module, optimizer, interval, config.generator_from, config.clip_norm, config.rate)


class Objective(Protocol):
    """A stage, as the trainer uses it."""

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The networks' turns, in order."""

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """Everything that checkpoints save: networks, their published average, and the memories of the losses."""

    @property
    def ema(self) -> tuple[nn.Module, nn.Module]:
        """(average, its source)."""

    @property
    def companions(self) -> Mapping[str, nn.Module]:
        """The networks that are published with the average, by the suffix of their names."""

    def batch(self, start: int, size: int) -> Any:
        """Pictures start, start+1, ... of the endless training order: tensors, on the device."""

    @property
    def capturable(self) -> bool:
        """True if `begin` and `losses` do the same in every step, so that a GPU may replay them as a graph."""

    def before_step(self, images_seen: int) -> None:
        """Set values that depend on the images seen."""

    def begin(self, batch: Any, draws: Draws) -> Any:
        """Generate the pictures that all phases of a step use, with their gradients."""

    def losses(self, phase: str, pictures: Any, draws: Draws, images_seen: int) -> Losses:
        """The phase's losses for the result of `begin`; the one to minimise is called "total"."""

    def after_step(self) -> None:
        """Update values that gradients do not train."""

    def validate(self) -> tuple[RGB, dict[str, float]]:
        """A sheet of the average's pictures, the same ones each time, and its figures; a lower "score" is better."""


def _options(module: nn.Module, config: OptimizerConfig) -> dict[str, Any]:
    """On a GPU the learning rate is a tensor, which a replayed graph reads in every step."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    on_gpu = trained[0].device.type == "cuda"
    rate = torch.tensor(config.learning_rate, device=trained[0].device) if on_gpu else config.learning_rate
    return {"params": trained, "lr": rate, "betas": config.betas}


def _adam(module: nn.Module, config: OptimizerConfig) -> torch.optim.Adam:
    options = _options(module, config)
    on_gpu = isinstance(options["lr"], Tensor)
    return torch.optim.Adam(**options, fused=on_gpu, capturable=on_gpu)


def placed(module: Module, device: torch.device) -> Module:
    """Move to the device, with weights in the fastest memory format for convolutions."""
    module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


def average_of(module: Module) -> Module:
    return copy.deepcopy(module).eval().requires_grad_(False)


def to_device(pictures: Tensor, device: torch.device) -> Tensor:
    return pictures.to(device, memory_format=torch.channels_last, non_blocking=True)


def mean_logit(logits: Sequence[Tensor]) -> Tensor:
    """Mean over the places of each head, then over heads."""
    return torch.stack([x.detach().float().mean() for x in logits]).mean()
