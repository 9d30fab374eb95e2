"""The cost of a photo and of a film's frame, the speed of a Ray cluster simulated on this machine, and, computed from
these, how far a run scales.

    python -m benchmarks.scale photo --photo ../shared/data/photos/neutral_front__006_03.jpg [--device cuda]
    python -m benchmarks.scale film
    python -m benchmarks.scale cluster [--machines 1,2,4,8]
    python -m benchmarks.scale growth --seconds 4.93 --mib 1.31 [--call 0.0012] [--store 2000] [--days 30]

photo: `facegen upres --preset fast --threads 1` in a process that has upscaled a photo before, and what a process needs
before its first. film: the work on a frame of 768 px that other processes can do, and that which must be done in order.
cluster: tasks that wait 0.1 s, so that this machine's processors do not limit them, and the command's processor time
for each. growth: a photo takes about --seconds and moves --mib; the command hands out one per --call seconds; the store
moves --store MiB per second; a process dies once in --days and starts again.
"""

from __future__ import annotations

import argparse
import heapq
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from facegen.jobs import Outcome, Result, Task, share

WAIT = 0.1
"""Seconds that a task of `cluster` waits."""
BEGIN = 10.0
"""Seconds until a dead process is replaced and the new one has loaded its networks."""


def photo(path: Path, device: str) -> Table:
    """Measure a process's second photo, and what it needs before its first."""
    from facegen.files import PIPELINES
    from facegen.photo_files import FileUpscaler
    from facegen.results import UpresOptions

    torch.set_num_threads(1)
    options = UpresOptions(recipe="fast", recipe_path=PIPELINES / "fast.toml", device=device)
    with TemporaryDirectory(prefix="facegen-") as folder:
        upscaler = FileUpscaler(options, [])
        before, clocks = time.process_time(), []
        for name in ("first", "second"):
            began = time.monotonic(), time.process_time()
            (result,) = upscaler(Task(path, Path(folder) / name)).written
            clocks.append((time.monotonic() - began[0], time.process_time() - began[1]))
        sizes = [f"{file.stat().st_size / 2**20:.2f}" for file in (path, result)]
    (_, first), (seconds, processor) = clocks
    table = Table("s a photo", "of the processor", "of the processor, to begin", "MiB read", "MiB written")
    table.add_row(f"{seconds:.2f}", f"{processor:.2f}", f"{before + first - processor:.1f}", *sizes)
    return table


@dataclass
class Timing:
    """A pool of only this thread, which records the processor time of its calls."""

    held: object
    in_flight: int = 1
    spent: list[float] = field(default_factory=list)

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        began, future = time.process_time(), Future[Result]()
        future.set_result(function(self.held, *arguments))
        self.spent.append(time.process_time() - began)
        return future


def film(frames: int = 10) -> Table:
    """Measure the frames of a film after the first two."""
    from facegen.pipeline import FacePipeline
    from facegen.threads import in_order
    from facegen.video.film import Cell, FilmOptions
    from facegen.video.sharing import LazyPipeline, Shared
    from facegen.video.store import FrameStore
    from facegen.video.walk import Walk

    torch.set_num_threads(1)
    pipeline = FacePipeline.load()
    pool = Timing(LazyPipeline(Path("unused"), (), "cpu"))
    pool.held.__dict__["pipeline"] = pipeline
    walk = Walk(np.stack([pipeline.latent(seed).numpy() for seed in (4, 22)]), frames)
    cell = Cell(pipeline, walk, FilmOptions(fps=Fraction(30)), Shared(pool))
    with TemporaryDirectory(prefix="facegen-") as folder, FrameStore(Path(folder) / "frames", {}) as store:
        began = 0.0
        for number, (rgb, state) in enumerate(in_order((cell.begin(frame) for frame in range(frames)), 0), start=1):
            store.add(rgb, state)
            began = time.process_time() if number == 2 else began
        total = (time.process_time() - began) / (frames - 2)
    shared = float(np.mean(pool.spent[2:]))
    table = Table("s a frame", "shared", "in order", "processes at most")
    table.add_row(f"{total:.2f}", f"{shared:.2f}", f"{total - shared:.3f}", f"{shared / (total - shared):.0f}")
    return table


def wait(task: Task) -> Outcome:
    """Use no processor, almost like a photo on a GPU."""
    time.sleep(WAIT)
    return Outcome(task.source)


def cluster(counts: list[int]) -> Table:
    """Measure clusters with these numbers of machines, each with one processor."""
    from ray.cluster_utils import Cluster

    from facegen.cluster import connect

    os.environ["RAY_AUTH_MODE"] = "disabled"
    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    table = Table("machines", "tasks a second", "of those possible", "s of the command for a task")
    for count in counts:
        while len(machines.worker_nodes) < count:
            machines.add_node(num_cpus=1)
        with connect(machines.address) as there, there.pool(wait) as pool:
            list(share((Task(Path(str(n)), Path()) for n in range(20 * count)), pool))  # now all have started
            began, processor = time.monotonic(), time.process_time()
            tasks = 50 * count
            list(share((Task(Path(str(n)), Path()) for n in range(tasks)), pool))
            seconds, used = time.monotonic() - began, time.process_time() - processor
        rate = tasks / seconds
        table.add_row(str(count), f"{rate:.1f}", f"{rate * WAIT / count:.0%}", f"{used / tasks:.4f}")
    machines.shutdown()
    return table


@dataclass(frozen=True)
class Costs:
    """What `growth` assumes; the options of the same names."""

    seconds: float = 4.93
    mib: float = 1.31
    call: float = 0.0012
    store: float = 2000.0
    days: float = 30.0


def simulate(processes: int, costs: Costs, photos: int) -> float:
    """Let processes take photos one after the other; returns photos per second."""
    rng = random.Random(0)
    free = [0.0] * processes
    handed_out = moved = 0.0
    done = 0
    while done < photos:
        now = heapq.heappop(free)
        handed_out = max(now, handed_out) + costs.call
        moved = max(handed_out, moved) + costs.mib / costs.store
        work = costs.seconds * rng.uniform(0.5, 1.5)
        if rng.random() < work / (costs.days * 86400):
            heapq.heappush(free, moved + work * rng.random() + BEGIN)  # the photo must be repeated
        else:
            heapq.heappush(free, moved + work)
            done += 1
    return photos / max(free)


def growth(costs: Costs) -> Table:
    """Simulate more and more processes, with 40 photos for each."""
    table = Table("processes", "photos a second", "of those possible", "days for a billion", "MiB/s of the store")
    for processes in (1, 10, 100, 1000, 3000, 10_000):
        rate = simulate(processes, costs, 40 * processes)
        efficiency = rate * costs.seconds / processes
        days = 1e9 / rate / 86400
        table.add_row(str(processes), f"{rate:.1f}", f"{efficiency:.0%}", f"{days:,.0f}", f"{rate * costs.mib:,.0f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["photo", "film", "cluster", "growth"])
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--machines", default="1,2,4,8", help="comma-separated, ascending")
    for cost in fields(Costs):
        parser.add_argument(f"--{cost.name}", type=float, default=cost.default)
    options = parser.parse_args()
    tables: dict[str, Callable[[], Table]] = {
        "photo": lambda: photo(options.photo, options.device),
        "film": film,
        "cluster": lambda: cluster([int(count) for count in options.machines.split(",")]),
        "growth": lambda: growth(Costs(*(getattr(options, cost.name) for cost in fields(Costs)))),
    }
    Console(width=120).print(tables[options.what]())


if __name__ == "__main__":
    main()
