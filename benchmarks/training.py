"""Speed and memory of `facegen train`, and the time that each part of a step takes.

    python -m benchmarks.training --portraits PORTRAITS --faces FACES [--device cuda] [--set run.batch=8]

Each shipped recipe trains on a few of the pictures, after steps that do not count: the median and the range of three
rounds, the minimum of the processor time, and the peak memory, of the GPU or of the process. Parts are timed in further
steps, which wait for the device after each part and use no CUDA graph, so they show shares, not speed.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.profiler import record_function

from facegen.data.split import split_files
from facegen.files import PIPELINES
from facegen.training.config import DCGANRecipe
from facegen.training.start import AnyRecipe, load_training_recipe, trial_trainer
from facegen.training.trainer import Trainer

RECIPES = ("jnet-8x", "dcgan-128")
ROUNDS = 3
PREFIX = "train."
"""Beginning of the names of the parts that the trainer records."""
OTHER = "rest"


def make(recipe: AnyRecipe, data: Path, device: str) -> Trainer:
    files, unseen = split_files(data, recipe.data)
    return trial_trainer(recipe, data, files[: recipe.data.limit], unseen[:2], device=device)


def wait(device: str) -> None:
    """Wait until the device has finished its work."""
    if device == "cuda":
        torch.cuda.synchronize()


def step_seconds(trainer: Trainer, device: str, steps: int, warmup: int) -> list[tuple[float, float]]:
    """Wall clock and processor seconds of a step, as means over each round."""
    found = []
    for count in (warmup, *[steps] * ROUNDS):
        wait(device)
        started, before = time.perf_counter(), time.process_time()
        for _ in range(count):
            trainer.train_step()
        wait(device)
        found.append(((time.perf_counter() - started) / count, (time.process_time() - before) / count))
    return found[1:]


@contextmanager
def timed_parts(device: str) -> Iterator[dict[str, float]]:
    """Time every recorded part of a step; an outer part's time does not include its inner parts'."""
    seconds: dict[str, float] = {}
    open_parts: list[str] = [OTHER]
    since = time.perf_counter()
    enter: Any = record_function.__enter__
    leave: Any = record_function.__exit__

    def turn() -> None:
        nonlocal since
        wait(device)
        now = time.perf_counter()
        seconds[open_parts[-1]] = seconds.get(open_parts[-1], 0.0) + now - since
        since = now

    def entered(part: record_function) -> Any:
        if part.name.startswith(PREFIX):
            turn()
            open_parts.append(part.name.removeprefix(PREFIX))
        return enter(part)

    def left(part: record_function, *error: Any) -> None:
        if part.name.startswith(PREFIX):
            turn()
            open_parts.pop()
        leave(part, *error)

    record_function.__enter__, record_function.__exit__ = entered, left  # type: ignore[method-assign]
    try:
        yield seconds
        turn()
    finally:
        record_function.__enter__, record_function.__exit__ = enter, leave  # type: ignore[method-assign]


def part_shares(trainer: Trainer, device: str, steps: int) -> dict[str, float]:
    """Share of each part in a step's time, after a step that does not count."""
    vars(trainer)["_graphs"] = None  # parts of a CUDA graph cannot be timed
    trainer.train_step()
    with timed_parts(device) as seconds:
        for _ in range(steps):
            trainer.train_step()
    return {name: value / sum(seconds.values()) for name, value in seconds.items()}


def peak_mib(device: str) -> float:
    """Peak memory so far, in MiB: the GPU's tensors, or the process as the kernel counts it (Linux)."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(recipe: AnyRecipe, data: Path, device: str, steps: int, warmup: int) -> tuple[list[str], dict[str, float]]:
    """The cells of a recipe's row, and the shares of its parts."""
    seconds, busy = zip(*step_seconds(make(recipe, data, device), device, steps, warmup), strict=True)
    batch, kind = recipe.run.batch, "images" if isinstance(recipe, DCGANRecipe) else "tiles"
    slowest, middle, fastest = (batch / some for some in (max(seconds), statistics.median(seconds), min(seconds)))
    milliseconds = [f"{1000 * value:.1f}" for value in (batch / middle, min(busy))]
    speed = f"{middle:.1f} ({slowest:.1f} to {fastest:.1f}) {kind}/s"
    cells = [str(batch), speed, *milliseconds, f"{peak_mib(device):.0f}"]
    return cells, part_shares(make(recipe, data, device), device, steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portraits", type=Path, help="for the J-net's recipes")
    parser.add_argument("--faces", type=Path, help="for the DCGAN's")
    parser.add_argument("--recipes", nargs="+", default=RECIPES, help="shipped ones")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--set", action="append", default=[], help="as for facegen train")
    parser.add_argument("--pictures", type=int, default=64, help="to train on")
    parser.add_argument("--steps", type=int, default=10, help="in a round")
    parser.add_argument("--warmup", type=int, default=2, help="steps before the first round")
    options = parser.parse_args()
    columns = ("recipe", "batch", "speed", "ms a step", "of the processor", "peak, MiB")
    speeds = Table(*columns, title=f"{options.device}, torch {torch.__version__}")
    parts = Table("part", "share", title="where a step's time goes")
    overrides = (f"data.limit={options.pictures}", *options.set)
    for name in options.recipes:
        recipe = load_training_recipe(PIPELINES / "train" / f"{name}.toml", overrides, on_gpu=options.device == "cuda")
        data = options.faces if isinstance(recipe, DCGANRecipe) else options.portraits
        cells, found = measure(recipe, data, options.device, options.steps, options.warmup)
        speeds.add_row(name, *cells)
        for part, value in found.items():
            parts.add_row(f"{name}: {part}", f"{value:.1%}")
    Console(width=120).print(speeds, parts)


if __name__ == "__main__":
    main()
