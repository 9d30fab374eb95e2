"""Measure how much films flicker, what a frame costs, and how memory grows with a film's length.

    python -m benchmarks.video [--only walks|seconds|length] [--walks 4] [--seconds 4] [--fps 12] [--size 768]

walks: walk n goes from seed 2n to seed 2n + 1 in `--pace` seconds, and its first `--seconds` are upscaled frame by
frame, with each measure alone, and with all. The figures are those of `facegen.evaluation.temporal`. "low-res alone" is
the enlarged low-res film: a walk changes it too, so no upscaling that agrees with it has much lower figures. "of it
made" is what upscaling adds. The figures of a walk are stored in `--folder`, so that the same command goes on there.

seconds: how long each step of a frame takes, by the labels in the code.

length: `facegen video` makes films of 24 and of 96 frames, each in a separate process, also with `--more` options, and
on one processor. The peak is the process's resident memory as the kernel counts it (Linux). The speed is that of the
longer film's additional frames, so that loading does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.profiler import record_function as step

from benchmarks.commands import Usage, run
from facegen.arrays import RGB, to_rgb
from facegen.evaluation.temporal import TemporalMeter, TemporalMetrics
from facegen.files import write_text
from facegen.media.images import write_image
from facegen.media.record import RECORD_KEY, record_text
from facegen.media.sheets import contact_sheet
from facegen.media.video_writer import write_video
from facegen.pipeline import DEFAULT_RECIPE, FacePipeline
from facegen.video.carry import enlarge
from facegen.video.film import SHAPING
from facegen.video.store import FrameStore
from facegen.video.temporal import TemporalOptions, TemporalUpscaler
from facegen.video.walk import Walk, WalkOptions

OFF = TemporalOptions(landmarks=False, hysteresis=False, carry=False)
ONE_BY_ONE, LOW_RES = "one by one", "low-res alone"
WAYS = {
    ONE_BY_ONE: OFF,
    "landmarks": replace(OFF, landmarks=True),
    "hysteresis": replace(OFF, hysteresis=True),
    "carry": replace(OFF, carry=True),
    "all": TemporalOptions(),
}
PROFILED = 4
"""Number of frames over which the times are averaged, after one that does not count."""
ALONE = "one processor"
SHORT, LONG = 24, 96
"""Frames of the films whose memory is compared."""


@dataclass(frozen=True)
class Length:
    """The measured part of every walk, and the frames' size."""

    frames: int
    paced: int
    """Frames from seed to seed."""
    fps: float
    size: int


def faces(pipeline: FacePipeline, number: int, length: Length) -> Iterator[Tensor]:
    """Draw the first frames of walk `number`, (3, 128, 128) in [0, 1]."""
    keyframes = np.stack([pipeline.latent(seed).numpy() for seed in (2 * number, 2 * number + 1)])
    walk = Walk(keyframes, max(length.paced, length.frames), WalkOptions(path="slerp"))
    return (pipeline.draw(walk.latent(frame)) for frame in range(length.frames))


def upscaled(pipeline: FacePipeline, film: Iterable[Tensor], length: Length) -> Iterator[dict[str, RGB]]:
    """Yield each frame of a walk in every way, and the enlarged low-res frame."""
    upscalers = {name: TemporalUpscaler(pipeline, options, fps=length.fps) for name, options in WAYS.items()}
    for face in film:
        frames = {name: upscaler.upscale_face(face, length.size) for name, upscaler in upscalers.items()}
        shown = {name: to_rgb(frame.image) for name, frame in frames.items()}
        reference = to_rgb(frames[ONE_BY_ONE].upscaled.reference)
        base = enlarge(reference, shown[ONE_BY_ONE].shape[:2])
        yield shown | {LOW_RES: np.rint(255 * base).astype(np.uint8)}


def walk_figures(pipeline: FacePipeline, number: int, length: Length, folder: Path) -> dict[str, TemporalMetrics]:
    """Read the figures of walk `number`, or measure and store them, with a picture of its last frame in every way."""
    record = json.loads(record_text(pipeline, "benchmark", {})[RECORD_KEY])
    ways = {name: asdict(options) for name, options in WAYS.items()}
    key = {name: record[name] for name in SHAPING} | asdict(length) | {"walk": number, "ways": ways}
    path = folder / f"walk-{number}.json"
    if path.is_file() and (kept := json.loads(path.read_text(encoding="utf-8")))["key"] == key:
        return {row: TemporalMetrics(**figures) for row, figures in kept["figures"].items()}
    meters = {row: TemporalMeter(length.fps) for row in (*WAYS, LOW_RES)}
    shown: dict[str, RGB] = {}
    for shown in upscaled(pipeline, faces(pipeline, number, length), length):
        for row, meter in meters.items():
            meter.add(shown[row])
    found = {row: meter.result() for row, meter in meters.items()}
    write_image(path.with_suffix(".png"), contact_sheet(list(shown.values()), labels=list(shown)))
    figures = {row: asdict(metrics) for row, metrics in found.items()}
    write_text(path, json.dumps({"key": key, "figures": figures}, indent=1))
    return found


def seconds(pipeline: FacePipeline, options: TemporalOptions, size: int) -> dict[str, float]:
    """Mean seconds of each step of a frame, including storing and encoding."""
    film = faces(pipeline, 0, Length(PROFILED + 1, 120, 30, size))
    upscaler = TemporalUpscaler(pipeline, options, fps=30)
    upscaler.upscale_face(next(film), size)
    with (
        TemporaryDirectory(prefix="facegen-") as folder,
        FrameStore(Path(folder) / "frames", {}) as store,
        profile(activities=[ProfilerActivity.CPU]) as profiler,
    ):
        for face in film:
            frame = upscaler.upscale_face(face, size)
            with step("facegen.keep"):
                store.add(to_rgb(frame.image), frame.state())
        with step("facegen.encode"):
            write_video(Path(folder) / "film.mp4", store.frames(), Fraction(30))
    steps = [event for event in profiler.key_averages() if event.key.startswith("facegen.")]
    return {event.key.removeprefix("facegen."): event.cpu_time_total / 1e6 / PROFILED for event in steps}


def film_cost(frames: int, size: int, options: list[str]) -> Usage:
    """Make a film of `frames` frames, 30 per second, in a separate process."""
    with TemporaryDirectory(prefix="facegen-") as folder:
        film = ["--seconds", str(frames / 30), "--size", str(size), "-o", str(Path(folder) / "film.mp4")]
        return run(["video", "--seeds", "0,1", *film, *options])


@contextmanager
def processors(number: int | None) -> Iterator[None]:
    """Let this process and those it starts use this many processors; None is all."""
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(usual)[:number]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, usual)


def means(walks: list[TemporalMetrics]) -> dict[str, float]:
    """The mean of each figure over the walks that have it; nan if none has."""
    found = {}
    for name in (entry.name for entry in fields(TemporalMetrics)):
        values = [value for walk in walks if (value := getattr(walk, name)) is not None]
        found[name] = statistics.mean(values) if values else float("nan")
    return found


def temporal_table(walks: list[dict[str, TemporalMetrics]], title: str) -> Table:
    """The figures' means over the walks, and in brackets their ratio to one by one."""
    rows = {name: means([walk[name] for walk in walks]) for name in walks[0]}
    alone = rows[ONE_BY_ONE]
    for name in ("warping", "flicker"):
        unavoidable = rows[LOW_RES][name]
        for row in rows.values():
            row[f"{name} made"] = row[name] - unavoidable
    columns = ("warping", "warping made", "flicker", "flicker made", "jitter", "sharpness")
    table = Table("way", *("of it made" if "made" in name else name for name in columns), title=title)
    for name, row in rows.items():
        table.add_row(name, *(f"{row[key]:.2f} ({row[key] / alone[key]:.2f})" for key in columns))
    return table


def seconds_table(ways: dict[str, dict[str, float]], title: str) -> Table:
    """Seconds of each step, and its share in brackets."""
    table = Table("step", *ways, title=title)
    for name in dict.fromkeys(label for steps in ways.values() for label in steps):
        shares = [(steps.get(name, 0.0), sum(steps.values())) for steps in ways.values()]
        table.add_row(name, *(f"{spent:.3f} ({spent / total:.0%})" for spent, total in shares))
    table.add_row("all", *(f"{sum(steps.values()):.3f}" for steps in ways.values()))
    return table


def length_table(costs: dict[str, tuple[Usage, Usage]], title: str) -> Table:
    """Peaks of the short and the long film, and frames per second, also relative to one processor."""
    columns = ("peak of short and long, MiB", "long over short", "frames a second", f"over {ALONE}")
    found = Table("options", *columns, title=title)
    speeds = {name: (LONG - SHORT) / (long.seconds - short.seconds) for name, (short, long) in costs.items()}
    for name, (short, long) in costs.items():
        peaks, speed = f"{short.peak:.0f}, {long.peak:.0f}", speeds[name]
        ratio = f"{speed / speeds[ALONE]:.2f}"
        found.add_row(name or "none", peaks, f"{long.peak / short.peak:.2f}", f"{speed:.2f}", ratio)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["walks", "seconds", "length"])
    parser.add_argument("--walks", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--pace", type=float, default=4, help="seconds from one seed to the next")
    parser.add_argument("--fps", type=float, default=12)
    parser.add_argument("--size", type=int, default=768)
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE)
    parser.add_argument("--folder", type=Path, default=Path("out/films"), help="for the figures of walks")
    parser.add_argument("--more", default="--interpolate 2", help="options of two more films")
    args = parser.parse_args()
    console = Console(width=140)
    if args.only in (None, "walks"):
        pipeline = FacePipeline.load(args.recipe)
        length = Length(round(args.seconds * args.fps), round(args.pace * args.fps), args.fps, args.size)
        walks = [walk_figures(pipeline, n, length, args.folder) for n in track(range(args.walks), "walks")]
        what = f"{args.walks} walks of {length.frames} frames, {args.fps:g} a second, {args.size} px"
        console.print(temporal_table(walks, what))
    if args.only in (None, "seconds"):
        pipeline = FacePipeline.load(args.recipe)
        times = {name: seconds(pipeline, WAYS[name], args.size) for name in (ONE_BY_ONE, "all")}
        console.print(seconds_table(times, f"seconds a frame, {torch.get_num_threads()} threads"))
    if args.only in (None, "length"):
        costs = {}
        for name, words in {"": "", args.more: args.more, ALONE: ""}.items():
            with processors(1 if name == ALONE else None):
                short, long = (film_cost(n, args.size, shlex.split(words)) for n in (SHORT, LONG))
            costs[name] = (short, long)
        console.print(length_table(costs, f"films of {SHORT} and {LONG} frames, {args.size} px"))


if __name__ == "__main__":
    main()
