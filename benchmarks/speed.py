"""How long a 768 px sample takes, warm and cold, where the time goes, and how that compares with Real-ESRGAN's network.

It also times the J-net in each precision: what the recipe's precision "auto" is worth here.

    python -m benchmarks.speed [--runs 5]

Prints medians and ranges over the runs, after one warm-up. The peer upscales the same 128 px face 4x, and then would
have to be enlarged or shrunk to the size asked for, which is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile

from benchmarks.peers import real_esrgan
from facegen.pipeline import FacePipeline
from facegen.runtime import Precision, autocast, resolve

SIZE = 768


def timed(work: Callable[[], object], runs: int) -> list[float]:
    """Seconds of each run, after one that is not counted."""
    work()
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return seconds


def cold(runs: int) -> list[float]:
    """Seconds of the whole command in a fresh process, files and all."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "facegen", "sample", "--size", str(SIZE), "--seeds", "0", "--out", folder]
        return timed(lambda: subprocess.run(command, check=True, capture_output=True), runs)


COLD_STEPS = """
import json, time
marks = [time.perf_counter()]
def mark(): marks.append(time.perf_counter())
from facegen.pipeline import FacePipeline
mark()
pipeline = FacePipeline.load()
mark()
from facegen.faces.landmarks import _detector, _predictor
_detector(), _predictor()
mark()
pipeline.sample(0, 768)
mark()
names = ("imports (torch, OpenCV, pydantic)", "weights", "landmark model", "first sample")
print(json.dumps(dict(zip(names, (b - a for a, b in zip(marks, marks[1:]))))))
"""


def cold_shares() -> dict[str, float]:
    """Seconds of each step of a first sample in a fresh process; the interpreter's start and the PNG are left out."""
    done = subprocess.run([sys.executable, "-c", COLD_STEPS], check=True, capture_output=True, text=True)
    steps: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return steps


def shares(pipeline: FacePipeline, runs: int) -> dict[str, float]:
    """Mean seconds of each step of a sample, by the labels that the pipeline sets."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for seed in range(runs):
            pipeline.sample(seed, SIZE)
    steps = [event for event in profiler.key_averages() if event.key.startswith("facegen.")]
    return {event.key.removeprefix("facegen."): event.cpu_time_total / 1e6 / runs for event in steps}


def tile_seconds(pipeline: FacePipeline, runs: int) -> dict[str, float]:
    """Median seconds that the J-net takes for a tile, by how it computes."""
    network, c = pipeline.upscaler, pipeline.config
    stack = torch.rand(pipeline.recipe.batch, c.in_channels, c.tile, c.tile, device=pipeline.device)

    @torch.inference_mode()
    def seconds(precision: Precision) -> float:
        with autocast(precision, pipeline.device):
            return statistics.median(timed(lambda: network(stack), runs)) / len(stack)

    return {"bfloat16": seconds("bf16"), "float32": seconds("fp32")}


def peer(runs: int) -> list[float]:
    """Seconds of Real-ESRGAN's 4x network on one 128 px face, fp32 as it ships."""
    network, face = real_esrgan(), torch.rand(1, 3, 128, 128)

    def work() -> object:
        with torch.inference_mode():
            return network(face)

    return timed(work, runs)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    pipeline = FacePipeline.load()
    seeds = iter(range(runs + 1))
    rows = {
        f"facegen, warm {SIZE} px sample": timed(lambda: pipeline.sample(next(seeds), SIZE), runs),
        "facegen, whole command, cold": cold(runs),
        "Real-ESRGAN's network, fp32, 128 -> 512 px": peer(runs),
    }
    table = Table(
        "what", "median s", "min", "max", title=f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    for name, seconds in rows.items():
        table.add_row(name, f"{statistics.median(seconds):.2f}", f"{min(seconds):.2f}", f"{max(seconds):.2f}")
    tiles = tile_seconds(pipeline, runs)
    measured = {"step of a warm sample": shares(pipeline, runs), "step of a cold one": cold_shares()}
    ours, _, theirs = (statistics.median(seconds) for seconds in rows.values())
    console = Console()
    console.print(table)
    for title, steps in measured.items():
        table = Table(title, "s", "share")
        for name, mean in steps.items():
            table.add_row(name, f"{mean:.3f}", f"{mean / sum(steps.values()):.0%}")
        console.print(table)
    table = Table("J-net, a tile", "ms", "over float32's", title=f'"auto" is {resolve("auto", pipeline.device)} here')
    for name, mean in tiles.items():
        table.add_row(name, f"{1000 * mean:.1f}", f"{mean / tiles['float32']:.2f}")
    console.print(table)
    console.print(f"ratio facegen / Real-ESRGAN's network: {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
