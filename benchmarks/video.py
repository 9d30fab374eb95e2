"""What each measure buys a film: walks upscaled one by one, with each measure alone, and with all together.

    python -m benchmarks.video [--walks 4] [--seconds 4] [--fps 12] [--size 768] [--only walks] [--folder out/films]

Walk n goes from seed 2n to seed 2n + 1 in `--pace` seconds; so much of it is measured as `--seconds` says. The networks
upscale each frame twice, with landmarks as found and smoothed, and all ways choose from these candidates. The figures
are those of `facegen.metrics.temporal`. "low-res alone" is what is upscaled, enlarged: no way of upscaling that agrees
with its input can have much lower figures, as a walk is change. "of it made" is what is above that: what upscaling
adds.

It takes hours for long walks. Every frame is kept in `--folder`, and every walk's figures are (`walk-0.json`, with its
last frame as each way makes it in `walk-0.png`), so that the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.profiler import record_function as step

from facegen.arrays import to_picture
from facegen.files import replacing
from facegen.media.images import write_image
from facegen.media.record import RECORD_KEY, record_text
from facegen.media.sheets import contact_sheet
from facegen.media.video_writer import write_video
from facegen.metrics.temporal import TemporalMeter, TemporalMetrics
from facegen.pipeline import DEFAULT_RECIPE, FacePipeline
from facegen.video.carry import enlarge
from facegen.video.film import SHAPING
from facegen.video.store import JSON, FrameStore
from facegen.video.temporal import TemporalOptions, TemporalUpscaler
from facegen.video.walk import Walk, WalkOptions

Frame = NDArray[np.uint8]
OFF = TemporalOptions(landmarks=False, hysteresis=False, previous=False, carry=False)
ONE_BY_ONE, LOW_RES = "one by one", "low-res alone"
WAYS = {
    ONE_BY_ONE: OFF,
    "landmarks": TemporalOptions(landmarks=True, hysteresis=False, previous=False, carry=False),
    "hysteresis": TemporalOptions(landmarks=False, hysteresis=True, previous=False, carry=False),
    "previous": TemporalOptions(landmarks=False, hysteresis=False, previous=True, carry=False),
    "carry": TemporalOptions(landmarks=False, hysteresis=False, previous=False, carry=True),
    "all": TemporalOptions(),
}
ROWS = (*WAYS, LOW_RES)
"""Of the pictures that are kept: one below the other."""
PROFILED = 4
"""Frames that the times are means over, after one that is not counted."""


@dataclass(frozen=True)
class Length:
    """How much of every walk is measured, and how large."""

    frames: int
    paced: int
    """Frames from seed to seed."""
    fps: float
    size: int

    def key(self, pipeline: FacePipeline, number: int) -> dict[str, JSON]:
        """All that the pictures of walk `number` depend on."""
        record = json.loads(record_text(pipeline, "benchmark", {})[RECORD_KEY])
        ways: dict[str, JSON] = {name: asdict(options) for name, options in WAYS.items()}
        about = {key: value for key, value in asdict(self).items() if key != "frames"}
        return {key: record[key] for key in SHAPING} | about | {"walk": number, "ways": ways}


def faces(pipeline: FacePipeline, number: int, length: Length) -> Iterator[Tensor]:
    """The first frames of walk `number`, (3, 128, 128) in [0, 1]."""
    keyframes = np.stack([pipeline.latent(seed).numpy() for seed in (2 * number, 2 * number + 1)])
    walk = Walk(keyframes, max(length.paced, length.frames), WalkOptions(path="slerp"))
    return (pipeline.draw(walk.latent(frame)) for frame in range(length.frames))


def upscale_walk(pipeline: FacePipeline, film: Iterable[Tensor], length: Length, store: FrameStore) -> None:
    """Upscale a walk in every way, from the first frame that the store has not; it gets the `ROWS` of each frame."""
    steadiers = {name: TemporalUpscaler(pipeline, options, fps=length.fps) for name, options in WAYS.items()}
    for name, state in _by_way(store.state() or {}).items():
        steadiers[name].restore(state)
    for face in islice(film, store.done, None):
        states: dict[str, NDArray[Any]] = {}
        shown = upscaled(face, length.size, steadiers)
        for name, steadier in steadiers.items():
            states |= {f"{name}/{key}": array for key, array in steadier.state().items()}
        store.add(np.concatenate([shown[row] for row in ROWS]), states)


def _by_way(state: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, NDArray[Any]]]:
    ways: dict[str, dict[str, NDArray[Any]]] = {}
    for key, array in state.items():
        way, _, name = key.partition("/")
        ways.setdefault(way, {})[name] = array
    return ways


def upscaled(face: Tensor, size: int, steadiers: Mapping[str, TemporalUpscaler]) -> dict[str, Frame]:
    """The next frame as each way makes it, and the small face enlarged: `ROWS`."""
    frames = {name: temporal.upscale_face(face, size) for name, temporal in steadiers.items()}
    shown = {name: to_picture(frame.image) for name, frame in frames.items()}
    base = enlarge(to_picture(frames[ONE_BY_ONE].upscaled.reference), shown[ONE_BY_ONE].shape[:2])
    return shown | {LOW_RES: np.rint(255 * base).astype(np.uint8)}


def measure(stacks: Iterable[Frame], fps: float) -> dict[str, TemporalMetrics]:
    """The figures of each of `ROWS`."""
    meters = {row: TemporalMeter(fps) for row in ROWS}
    for stack in stacks:
        for meter, shown in zip(meters.values(), np.split(stack, len(ROWS)), strict=True):
            meter.add(shown)
    return {row: meter.result() for row, meter in meters.items()}


def walk_figures(pipeline: FacePipeline, number: int, length: Length, folder: Path) -> dict[str, TemporalMetrics]:
    """The figures of walk `number`: those that are there, or what is left of the work."""
    path, key = folder / f"walk-{number}.json", {"frames": length.frames} | length.key(pipeline, number)
    if path.is_file() and (kept := json.loads(path.read_text(encoding="utf-8")))["key"] == key:
        return {row: TemporalMetrics(**figures) for row, figures in kept["figures"].items()}
    with FrameStore(folder / f"walk-{number}", length.key(pipeline, number), warn=print) as store:
        upscale_walk(pipeline, faces(pipeline, number, length), length, store)
        found = measure(islice(store.frames(), length.frames), length.fps)
        shown = np.split(next(islice(store.frames(), length.frames - 1, None)), len(ROWS))
        write_image(folder / f"walk-{number}.png", contact_sheet(shown, labels=list(ROWS)))
        with replacing(path) as temporary:
            figures = {row: asdict(steadiness) for row, steadiness in found.items()}
            temporary.write_text(json.dumps({"key": key, "figures": figures}, indent=1), encoding="utf-8")
        store.remove()
    return found


def seconds(pipeline: FacePipeline, options: TemporalOptions, size: int) -> dict[str, float]:
    """Mean seconds of each step of a frame, by the labels that pipeline and steadier set, keeping and encoding too."""
    film = faces(pipeline, 0, Length(PROFILED + 1, 120, 30, size))
    steadier = TemporalUpscaler(pipeline, options, fps=30)
    steadier.upscale_face(next(film), size)
    with (
        TemporaryDirectory(prefix="facegen-") as folder,
        FrameStore(Path(folder) / "frames", {}) as store,
        profile(activities=[ProfilerActivity.CPU]) as profiler,
    ):
        for face in film:
            shown = to_picture(steadier.upscale_face(face, size).image)
            with step("facegen.keep"):
                store.add(shown, steadier.state())
        with step("facegen.encode"):
            write_video(Path(folder) / "film.mp4", store.frames(), Fraction(30))
    steps = [event for event in profiler.key_averages() if event.key.startswith("facegen.")]
    return {event.key.removeprefix("facegen."): event.cpu_time_total / 1e6 / PROFILED for event in steps}


def means(walks: list[TemporalMetrics]) -> dict[str, float]:
    """The mean of each figure over the walks that have it; nan where none has."""
    found = {}
    for name in (entry.name for entry in fields(TemporalMetrics)):
        values = [value for walk in walks if (value := getattr(walk, name)) is not None]
        found[name] = statistics.mean(values) if values else float("nan")
    return found


def temporal_table(walks: list[dict[str, TemporalMetrics]], title: str) -> Table:
    """The figures' means over the walks; in brackets those of each way over one by one."""
    rows = {name: means([walk[name] for walk in walks]) for name in walks[0]}
    alone = rows[ONE_BY_ONE]
    for name in ("warping", "flicker"):
        still = rows[LOW_RES][name]
        for row in rows.values():
            row[f"{name} made"] = row[name] - still
    columns = ("warping", "warping made", "flicker", "flicker made", "jitter", "sharpness")
    table = Table("way", *("of it made" if "made" in name else name for name in columns), title=title)
    for name, row in rows.items():
        table.add_row(name, *(f"{row[key]:.2f} ({row[key] / alone[key]:.2f})" for key in columns))
    return table


def seconds_table(ways: dict[str, dict[str, float]], title: str) -> Table:
    """Seconds of each step, and in brackets its share."""
    table = Table("step", *ways, title=title)
    for name in dict.fromkeys(label for steps in ways.values() for label in steps):
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
    parser.add_argument("--folder", type=Path, default=Path("out/films"), help="for frames and figures")
    parser.add_argument("--only", choices=["walks", "seconds"], help="how steady they are, or what a frame takes")
    options = parser.parse_args()
    pipeline, console = FacePipeline.load(options.recipe), Console(width=140)
    if options.only != "seconds":
        length = Length(
            round(options.seconds * options.fps), round(options.pace * options.fps), options.fps, options.size
        )
        numbers = track(range(options.walks), "walks")
        walks = [walk_figures(pipeline, number, length, options.folder) for number in numbers]
        what = f"{options.walks} walks of {length.frames} frames, {options.fps:g} a second, {options.size} px"
        console.print(temporal_table(walks, what))
    if options.only != "walks":
        times = {name: seconds(pipeline, WAYS[name], options.size) for name in (ONE_BY_ONE, "all")}
        console.print(seconds_table(times, f"seconds a frame, {torch.get_num_threads()} threads"))


if __name__ == "__main__":
    main()
