"""How fast each training recipe goes here, and what share of its time is spent making batches.

    python -m benchmarks.training --faces FOLDER --portraits FOLDER [--steps 8]

One thread makes both batches and steps, so that the share is all of a batch's cost; in a run a thread makes them ahead.
Stage 1's peer is the plain DCGAN recipe, stage 2's the same J-net under its PatchGAN alone: the last column says how
many times slower the shipped recipe is.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from facegen.data.split import known_landmarks, training_files
from facegen.training.start import load_training_recipe, make_objective
from facegen.training.trainer import Trainer

ROOT = Path(__file__).parents[1] / "pipelines" / "train"
PICTURES = 64
"""Pictures that are read; more would not change the speed."""
RUNS = (
    ("dcgan-128", "faces", ()),
    ("dcgan-128-plain", "faces", ()),
    ("jnet-8x", "portraits", ()),
    ("jnet-8x", "portraits", ("loss.projected=0", "loss.feature_weights=[1.0]")),
)
"""Recipe, its pictures, what is changed; each pair's second is the peer."""


@dataclass(frozen=True)
class Speed:
    """Of one recipe."""

    images_per_second: float
    data_share: float


def measure(recipe: Path, data: Path, overrides: tuple[str, ...], steps: int) -> Speed:
    """Time some steps after one that is not counted; nothing is written."""
    config = load_training_recipe(recipe, overrides)
    files = training_files(data, config.data)
    objective, _ = make_objective(config, files[:PICTURES], [], torch.device("cpu"), print, known_landmarks(data))
    trainer = Trainer(objective, config.run, Path())
    trainer.train_step()
    loading = 0.0
    started = time.perf_counter()
    for step in range(1, steps + 1):
        asked = time.perf_counter()
        batch = objective.batch(step * config.run.batch, config.run.batch)
        loading += time.perf_counter() - asked
        trainer.train_step(batch)
    seconds = time.perf_counter() - started
    return Speed(steps * config.run.batch / seconds, loading / seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--portraits", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    folders = {"faces": options.faces, "portraits": options.portraits}
    table = Table("recipe", "changed", "images/s", "data loading", "time / peer's")
    found = [measure(ROOT / f"{name}.toml", folders[data], changes, options.steps) for name, data, changes in RUNS]
    for index, ((name, _, changes), speed) in enumerate(zip(RUNS, found, strict=True)):
        peer = found[index | 1]
        ratio = f"{peer.images_per_second / speed.images_per_second:.2f}"
        share = f"{speed.data_share:.1%}"
        table.add_row(name, " ".join(changes), f"{speed.images_per_second:.1f}", share, ratio)
    Console().print(table)


if __name__ == "__main__":
    main()
