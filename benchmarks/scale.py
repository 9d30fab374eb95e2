"""The cost of a photo and of a film's frame, the speed of a Ray cluster of logical machines here, and, by simulation
with these figures, how far a run can grow.

    python -m benchmarks.scale photo --photo ../shared/data/photos/neutral_front__006_03.jpg [--device cuda]
    python -m benchmarks.scale film
    python -m benchmarks.scale cluster [--machines 1,2,4,8]
    python -m benchmarks.scale growth --seconds 4.93 --mib 1.31 [--call 0.0012] [--store 2000] [--days 30]

photo: `facegen upres --preset fast --threads 1` of it, in a process that has upscaled another one, and what a process
needs before its first. film: what other processes can do for a frame of 768 px, and what must be done in
order. cluster: tasks that wait 0.1 s, so that the two processors here do not limit them, and the processor's time that
the command itself takes for each. growth: each photo takes about --seconds and moves --mib; the command hands out one
per --call seconds; the store moves --store MiB a second; a process dies once in --days and begins anew.
"""

from __future__ import annotations

import argparse
import heapq
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
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
"""Seconds until a process that died is replaced and has loaded its networks."""


def photo(path: Path, device: str) -> Table:
    """Measure a photo after another one, and what comes before both."""
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
    """A pool of this thread alone that adds up the processor's seconds of its calls."""

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
    from facegen.video.sharing import Networks, Shared
    from facegen.video.store import FrameStore
    from facegen.video.walk import Walk

    torch.set_num_threads(1)
    pipeline = FacePipeline.load()
    pool = Timing(Networks(Path("unused"), (), "cpu"))
    pool.held.__dict__["pipeline"] = pipeline
    walk = Walk(np.stack([pipeline.latent(seed).numpy() for seed in (4, 22)]), frames)
    cell = Cell(pipeline, walk, FilmOptions(fps=Fraction(30)), Shared(pool))
    with TemporaryDirectory(prefix="facegen-") as folder, FrameStore(Path(folder) / "frames", {}) as store:
        began = 0.0
        for number, (rgb, state) in enumerate(in_order((cell.begin(frame) for frame in range(frames)), 0), start=1):
            store.add(rgb, state)
            began = time.process_time() if number == 2 else began
        whole = (time.process_time() - began) / (frames - 2)
    fresh = float(np.mean(pool.spent[2:]))
    table = Table("s a frame", "shared", "in order", "processes at most")
    table.add_row(f"{whole:.2f}", f"{fresh:.2f}", f"{whole - fresh:.3f}", f"{fresh / (whole - fresh):.0f}")
    return table


def wait(task: Task) -> Outcome:
    """Use no processor, as a photo on a GPU nearly does."""
    time.sleep(WAIT)
    return Outcome(task.source)


def cluster(counts: list[int]) -> Table:
    """Measure clusters of so many machines with a processor each."""
    from ray.cluster_utils import Cluster

    from facegen.cluster import connect

    os.environ["RAY_AUTH_MODE"] = "disabled"
    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    table = Table("machines", "tasks a second", "of those possible", "s of the command for a task")
    for count in counts:
        while len(machines.worker_nodes) < count:
            machines.add_node(num_cpus=1)
        with connect(machines.address) as there, there.pool(wait) as pool:
            list(share((Task(Path(str(n)), Path()) for n in range(20 * count)), pool))  # all have begun
            began, processor = time.monotonic(), time.process_time()
            tasks = 50 * count
            list(share((Task(Path(str(n)), Path()) for n in range(tasks)), pool))
            seconds, used = time.monotonic() - began, time.process_time() - processor
        rate = tasks / seconds
        table.add_row(str(count), f"{rate:.1f}", f"{rate * WAIT / count:.0%}", f"{used / tasks:.4f}")
    machines.shutdown()
    return table


@dataclass(frozen=True, kw_only=True)
class Costs:
    """See the text of this module."""

    seconds: float
    mib: float
    call: float
    store: float
    days: float


def simulate(processes: int, costs: Costs, photos: int) -> float:
    """Let so many processes take photos one after the other; return photos a second."""
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
            heapq.heappush(free, moved + work * rng.random() + BEGIN)  # the photo is done again
        else:
            heapq.heappush(free, moved + work)
            done += 1
    return photos / max(free)


def growth(costs: Costs) -> Table:
    """Simulate ever more processes, 40 photos for each."""
    table = Table("processes", "photos a second", "of those possible", "days for a billion", "MiB/s of the store")
    for processes in (1, 10, 100, 1000, 3000, 10_000):
        rate = simulate(processes, costs, 40 * processes)
        share_of = rate * costs.seconds / processes
        days = 1e9 / rate / 86400
        table.add_row(str(processes), f"{rate:.1f}", f"{share_of:.0%}", f"{days:,.0f}", f"{rate * costs.mib:,.0f}")
    return table


def main() -> None:
    """Measure or simulate, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["photo", "film", "cluster", "growth"])
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--machines", default="1,2,4,8", help="comma-separated, ascending")
    for name, usual in (("seconds", 4.93), ("mib", 1.31), ("call", 0.0012), ("store", 2000.0), ("days", 30.0)):
        parser.add_argument(f"--{name}", type=float, default=usual)
    given = parser.parse_args()
    costs = Costs(**{name: getattr(given, name) for name in ("seconds", "mib", "call", "store", "days")})
    tables: dict[str, Callable[[], Table]] = {
        "photo": lambda: photo(given.photo, given.device),
        "film": film,
        "cluster": lambda: cluster([int(count) for count in given.machines.split(",")]),
        "growth": lambda: growth(costs),
    }
    Console(width=120).print(tables[given.what]())


if __name__ == "__main__":
    main()
