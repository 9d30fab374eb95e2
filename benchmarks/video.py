"""What each measure buys a film: walks raised one by one, with each measure alone, and with all together.

    python -m benchmarks.video [--walks 4] [--seconds 4] [--fps 12] [--size 768] [--sheet sheet.png]

Walk n goes from seed 2n to seed 2n + 1 in `--pace` seconds; so much of it is measured as `--seconds` says. The networks
raise each frame twice, with landmarks as found and smoothed, and all ways choose from these candidates. The figures are
those of `facegen.metrics.temporal`. "low-res alone" is what is raised, enlarged: no way of raising that agrees with its
input can have a much lower warping error, as a walk is change. "of it made" is the warping error above that, which
raising adds.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from facegen.images import write_image
from facegen.metrics.temporal import Steadiness, SteadinessMeter
from facegen.pipeline import DEFAULT_RECIPE, FacePipeline
from facegen.sheets import contact_sheet
from facegen.tensors import to_picture
from facegen.video.carry import enlarge
from facegen.video.steady import Steadier, SteadyOptions
from facegen.video.walk import Walk, WalkOptions

OFF = SteadyOptions(landmarks=False, hysteresis=False, previous=False, carry=False)
ONE_BY_ONE, LOW_RES = "one by one", "low-res alone"
WAYS = {
    ONE_BY_ONE: OFF,
    "landmarks": SteadyOptions(landmarks=True, hysteresis=False, previous=False, carry=False),
    "hysteresis": SteadyOptions(landmarks=False, hysteresis=True, previous=False, carry=False),
    "previous": SteadyOptions(landmarks=False, hysteresis=False, previous=True, carry=False),
    "carry": SteadyOptions(landmarks=False, hysteresis=False, previous=False, carry=True),
    "all": SteadyOptions(),
}
PROFILED = 4
"""Frames that the times are means over, after one that is not counted."""


@dataclass
class Way:
    """One way to raise a walk."""

    steadier: Steadier
    meter: SteadinessMeter
    shown: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((1, 1, 3), dtype=np.uint8))
    """The latest frame."""


def faces(pipeline: FacePipeline, number: int, frames: int, paced: int) -> Iterator[Tensor]:
    """The first frames of walk `number`, (3, 128, 128) in [0, 1]; it takes `paced` frames from seed to seed."""
    keyframes = np.stack([pipeline.latent(seed).numpy() for seed in (2 * number, 2 * number + 1)])
    walk = Walk(keyframes, max(paced, frames), WalkOptions(path="slerp"))
    return (pipeline.draw(walk.latent(frame)) for frame in range(frames))


def measure(
    pipeline: FacePipeline, film: Iterator[Tensor], size: int, fps: float
) -> tuple[dict[str, Steadiness], dict[str, NDArray[np.uint8]]]:
    """Raise one walk in every way: figures and the last frame, by the way's name."""
    ways = {name: Way(Steadier(pipeline, options, fps=fps), SteadinessMeter(fps)) for name, options in WAYS.items()}
    still = SteadinessMeter(fps)
    for face in film:
        side = pipeline.low_res_side(size)
        pools = {}
        for name in ("landmarks", ONE_BY_ONE):
            landmarks = ways[name].steadier.locate(face).scaled(side / face.shape[-1])
            pools[WAYS[name].landmarks] = pipeline.make_pool(face, (side, side), landmarks)
        for name, way in ways.items():
            pool = pools[WAYS[name].landmarks]
            assert pool.landmarks is not None
            way.shown = to_picture(way.steadier.settle(pool, pool.landmarks).image)
            way.meter.add(way.shown)
        base = enlarge(to_picture(pools[False].reference), ways[ONE_BY_ONE].shown.shape[:2])
        still.add(np.rint(255 * base).astype(np.uint8))
    figures = {name: way.meter.result() for name, way in ways.items()}
    return {**figures, LOW_RES: still.result()}, {name: way.shown for name, way in ways.items()}


def seconds(pipeline: FacePipeline, options: SteadyOptions, size: int) -> dict[str, float]:
    """Mean seconds of each step of a frame, by the labels that pipeline and steadier set."""
    film = list(faces(pipeline, 0, PROFILED + 1, 48))
    steadier = Steadier(pipeline, options, fps=12)
    steadier.raise_face(film[0], size)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for face in film[1:]:
            steadier.raise_face(face, size)
    steps = [event for event in profiler.key_averages() if event.key.startswith("facegen.")]
    return {event.key.removeprefix("facegen."): event.cpu_time_total / 1e6 / PROFILED for event in steps}


def means(walks: list[Steadiness]) -> dict[str, float]:
    """The mean of each figure over the walks that have it; nan where none has."""
    found = {}
    for name in (entry.name for entry in fields(Steadiness)):
        values = [value for walk in walks if (value := getattr(walk, name)) is not None]
        found[name] = statistics.mean(values) if values else float("nan")
    return found


def steadiness_table(walks: list[dict[str, Steadiness]], title: str) -> Table:
    """The figures' means over the walks; in brackets those of each way over one by one."""
    rows = {name: means([walk[name] for walk in walks]) for name in walks[0]}
    alone, low = rows[ONE_BY_ONE], rows[LOW_RES]["warping"]
    for row in rows.values():
        row["made"] = row["warping"] - low
    columns = {"warping": "warping", "made": "of it made", "flicker": "flicker", "jitter": "jitter"}
    table = Table("way", *columns.values(), "sharpness", title=title)
    for name, row in rows.items():
        cells = [f"{row[key]:.2f} ({row[key] / alone[key]:.2f})" for key in (*columns, "sharpness")]
        table.add_row(name, *cells)
    return table


def seconds_table(ways: dict[str, dict[str, float]], title: str) -> Table:
    """Seconds of each step, and in brackets its share."""
    table = Table("step", *ways, title=title)
    for name in dict.fromkeys(step for steps in ways.values() for step in steps):
        shares = [(steps.get(name, 0.0), sum(steps.values())) for steps in ways.values()]
        table.add_row(name, *(f"{spent:.3f} ({spent / whole:.0%})" for spent, whole in shares))
    table.add_row("all", *(f"{sum(steps.values()):.3f}" for steps in ways.values()))
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--walks", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--pace", type=float, default=4, help="seconds from one seed to the next")
    parser.add_argument("--fps", type=float, default=12)
    parser.add_argument("--size", type=int, default=768)
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE)
    parser.add_argument("--sheet", type=Path, help="write the first walk's last frame as each way makes it here")
    options = parser.parse_args()
    pipeline = FacePipeline.load(options.recipe)
    frames, paced = round(options.seconds * options.fps), round(options.pace * options.fps)
    walks = []
    for number in track(range(options.walks), "walks"):
        figures, shown = measure(pipeline, faces(pipeline, number, frames, paced), options.size, options.fps)
        walks.append(figures)
        if options.sheet and not number:
            write_image(options.sheet, contact_sheet(list(shown.values()), labels=list(shown)))
    console = Console(width=140)
    what = f"{options.walks} walks of {frames} frames, {options.fps:g} a second, {options.size} px"
    console.print(steadiness_table(walks, what))
    times = {name: seconds(pipeline, WAYS[name], options.size) for name in (ONE_BY_ONE, "all")}
    console.print(seconds_table(times, f"seconds a frame, {torch.get_num_threads()} threads"))


if __name__ == "__main__":
    main()
