"""Speed of a GPU: tiles, drawn faces, whole faces of 768 px; and how close its pictures are to a processor's.

    python -m benchmarks.gpu [--device cuda] [--faces 64] [--only tiles,drawing,faces,same] [--quick]

The parts are independent: one that fails prints its error, and the others go on. Without dlib's landmark model all
faces get the same landmarks, after a search for the face if dlib is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from facegen.arrays import to_rgb
from facegen.drawn import Order, write_all
from facegen.faces import landmarks
from facegen.faces.landmarks import Landmarks
from facegen.files import PIPELINES
from facegen.golden import CLOSE, difference
from facegen.models.lean import LeanJNet
from facegen.ops.consistency import decibels
from facegen.pipeline import FacePipeline
from facegen.runtime import DTYPES, Run, autocast, is_gpu

KNOWN = Landmarks(np.load(Path(__file__).with_suffix(".npy")), True)
"""The landmarks of the face of seed 0."""


def load(preset: str, device: str, *overrides: str) -> FacePipeline:
    return FacePipeline.load(PIPELINES / f"{preset}.toml", overrides, device=device)


def seconds(work: Callable[[], object], device: str, rounds: int) -> float:
    """Mean seconds of a call, after two that do not count; waits for a GPU's work."""
    for number in range(-2, rounds):
        if number == 0:
            started = _now(device)
        work()
    return (_now(device) - started) / rounds


def _now(device: str) -> float:
    """The time when the device has finished its work."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter()


def tiles(options: argparse.Namespace) -> Table:
    """Milliseconds that the J-net takes for a batch of tiles, as trained and lean, in every precision."""
    network, device = load("portrait", options.device).upscaler, options.device
    table = Table("J-net", *(f"{count} tiles, ms" for count in options.tiles), "a tile, ms")

    def trained(precision: Any) -> Run:
        def run(stack: Tensor) -> Tensor:
            with autocast(precision, device):
                output: Tensor = network(stack)
            return output

        return run

    lean = {name: LeanJNet(network, dtype).to(device) for name, dtype in DTYPES.items()}
    ways: dict[str, Run] = {f"as trained, {name}": trained(name) for name in DTYPES}
    ways |= {f"lean, {name}": lean[name] for name in DTYPES}
    for name, run in ways.items():
        found = []
        for count in options.tiles:
            stack = torch.rand(count, 6, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
            found.append(1000 * seconds(partial(run, stack), device, options.rounds))
        table.add_row(name, *(f"{value:.2f}" for value in found), f"{found[-1] / options.tiles[-1]:.4f}")
    return table


def drawing(options: argparse.Namespace) -> Table:
    """Faces of 128 px per second, alone and 64 at a time."""
    pipeline, table = load("portrait", options.device), Table("stage 1", "faces / s")
    z = torch.stack([pipeline.latent(seed) for seed in range(64)]).to(options.device)
    alone = seconds(lambda: pipeline.draw(z[0]), options.device, options.rounds)
    with autocast("auto", options.device):
        together = seconds(lambda: pipeline.generator.draw(z), options.device, options.rounds)
    table.add_row("one at a time, checked", f"{1 / alone:.0f}")
    table.add_row("64 at a time", f"{64 / together:.0f}")
    return table


@contextmanager
def stand_ins(*, search: bool) -> Iterator[None]:
    """Give every face the known landmarks if the model is missing, after a search for the face if dlib is installed."""
    dlib = importlib.util.find_spec("dlib") or importlib.util.find_spec("_dlib_pybind11")
    if search and dlib and importlib.util.find_spec("face_recognition_models"):
        yield
    elif search and dlib:
        with patch.object(landmarks, "_points", lambda rgb, box: 2 * KNOWN.points):
            yield
    else:
        with patch("facegen.drawn.landmarks_in_head", lambda rgb: KNOWN):
            yield


def faces(options: argparse.Namespace) -> Table:
    """Faces of 768 px per second, from the latent on, and peak memory, by the work done and faces at a time."""
    heads = "landmarks", "files", "at a time", "tiles", "faces / s", "peak, MiB"
    table, cases = Table("faces of 768 px", *heads), list(product((False, True), repeat=2))
    rows = [(preset, search, files, 16, 50) for preset in ("portrait", "fast") for search, files in cases]
    rows += [("portrait", False, False, *others) for others in ((1, 50), (8, 50), (16, 200), (32, 50))]
    for preset, search, files, count, batch in rows[4:8] if options.quick else rows:
        with ExitStack() as changed:
            changed.enter_context(patch("facegen.drawn.GPU_FACES", count))
            changed.enter_context(patch("facegen.pipeline.GPU_BATCH", batch))
            per_second, peak = _rate(load(preset, options.device), options.faces, search=search, files=files)
        done = ("known", "searched")[search], ("none", "PNG")[files], str(count), str(batch)
        table.add_row(preset, *done, f"{per_second:.1f}", peak)
    return table


def _rate(pipeline: FacePipeline, count: int, *, search: bool, files: bool) -> tuple[float, str]:
    """Faces per second, after a few that do not count, and the GPU's peak memory."""
    cuda = pipeline.device.startswith("cuda")
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    with TemporaryDirectory(prefix="facegen-") as folder, stand_ins(search=search):
        orders = [
            Order(pipeline.latent(seed), Path(folder) / f"{seed}.png", {"seeds": seed, "size": 768})
            for seed in range(count)
        ]
        with patch("facegen.drawn.write_image", lambda path, *_, **__: path) if not files else patch.dict({}):
            for number in (min(32, count), count):
                started = time.perf_counter()
                for face in write_all(pipeline, orders[:number], 768, "sample"):
                    face.result()
    spent = time.perf_counter() - started
    return count / spent, f"{torch.cuda.max_memory_allocated() / 2**20:.0f}" if cuda else "-"


def same(options: argparse.Namespace) -> Table:
    """Compare the device's pictures with the processor's in float32, and one made in a batch with one made alone."""
    table = Table("picture", "to", "PSNR, dB", "largest difference of 255")

    def pictures(device: str, precision: str, count: int = 1) -> Any:
        pipeline = load("portrait", device, f"precision={precision}")
        drawn = torch.stack([pipeline.draw(pipeline.latent(seed)) for seed in range(count)])
        return to_rgb(pipeline.together(drawn, [KNOWN] * count)[0].image).astype(np.float64)

    processor, auto = pictures("cpu", "fp32"), pictures(options.device, "auto")
    rows = {"auto": auto, "fp32": pictures(options.device, "fp32")}
    for name, picture in rows.items():
        _compare(table, f"{options.device}, {name}", "processor, fp32", picture - processor)
    if is_gpu(options.device):
        _compare(table, f"{options.device}, auto, one of 8", "alone", pictures(options.device, "auto", 8) - auto)
    found = difference(options.device)
    table.caption = f"golden picture: differs by {found:.2f} of 255, {'close' if found < CLOSE else 'NOT CLOSE'}"
    return table


def _compare(table: Table, name: str, other: str, error: Any) -> None:
    table.add_row(name, other, f"{decibels(float(np.square(error / 255).mean())):.1f}", f"{np.abs(error).max():.0f}")


PARTS = {"tiles": tiles, "drawing": drawing, "faces": faces, "same": same}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, mps or cpu")
    parser.add_argument("--faces", type=int, default=64, help="faces that are counted in each row")
    parser.add_argument("--only", default=",".join(PARTS), help="comma-separated")
    parser.add_argument("--quick", action="store_true", help="as little of everything as possible")
    options = parser.parse_args()
    options.tiles, options.rounds = ((2, 4), 1) if options.quick else ((50, 400), 20)
    options.faces = 2 if options.quick else options.faces
    console, device = Console(width=120), options.device
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor()
    threads = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    console.print(f"{name or device}, {threads}, torch {torch.__version__}")
    for part in options.only.split(","):
        started = time.perf_counter()
        try:
            with torch.inference_mode():
                console.print(PARTS[part](options))
        except Exception:  # the other parts go on
            traceback.print_exc()
        console.print(f"{part}: {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
