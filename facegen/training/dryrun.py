"""What a run would be: parameters, memory and speed, from a few steps on a few pictures."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from facegen.data.split import Warn, known_landmarks, training_files
from facegen.training.config import DCGANRecipe
from facegen.training.parallel import make_fabric
from facegen.training.start import AnyRecipe, make_objective
from facegen.training.trainer import Trainer

PICTURES, STEPS = 8, 3
"""Pictures that are read; steps that are timed, after one that is not."""


@dataclass(frozen=True)
class DryRun:
    """An estimate; the pictures' memory is reckoned, the rest measured."""

    parameters: dict[str, int]
    """Of each network that is saved."""
    pictures: int
    picture_bytes: int
    """All pictures, as held in memory."""
    peak_bytes: int
    """Of this process, or of the GPU, after the steps."""
    images_per_second: float
    """Without waiting for pictures."""
    seconds: float
    """For all of run.images at that speed."""


def dry_run(recipe: AnyRecipe, data: Path, *, device: str = "cpu", warn: Warn = print) -> DryRun:
    """Build the networks and time a few steps, writing nothing.

    Raises:
        TrainingError: if there is nothing to train on.
    """
    files = training_files(data, recipe.data)
    fabric = make_fabric(recipe.run.precision, device=device)
    landmarks = known_landmarks(data, warn)
    objective, _ = make_objective(recipe, files[:PICTURES], files[:1], fabric.device, warn, landmarks)
    trainer = Trainer(objective, recipe.run, Path(), fabric=fabric)
    trainer.step = -(-recipe.optimizer.generator_from // recipe.run.batch)  # both networks are taught from there on
    trainer.train_step()
    started = time.perf_counter()
    for _ in range(STEPS):
        trainer.train_step()
    speed = STEPS * recipe.run.batch / (time.perf_counter() - started)
    side = recipe.generator.side if isinstance(recipe, DCGANRecipe) else recipe.side
    return DryRun(
        parameters={name: sum(p.numel() for p in m.parameters()) for name, m in objective.modules.items()},
        pictures=len(files),
        picture_bytes=len(files) * side * side * 3,
        peak_bytes=_peak(fabric.device),
        images_per_second=speed,
        seconds=recipe.run.images / speed,
    )


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
