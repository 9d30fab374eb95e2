"""How many photos per second one core prepares, and how long each step takes.

    python -m benchmarks.prepare FOLDER [--size 512] [--runs 3]

Prints the processor time per photo, in one process with one thread; the minimum of the runs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import cv2
from rich.console import Console
from rich.table import Table

from facegen.data.cutting import PhotoCutter, find_heads
from facegen.faces.align import crop_head
from facegen.jobs import Task
from facegen.media.images import find_pictures, read_image, write_image

Result = TypeVar("Result")


def measure(photo: Path, cutter: PhotoCutter) -> dict[str, float]:
    """Processor seconds for a whole photo, and for its steps one after the other."""
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[..., Result], *values: object) -> Result:
        started = time.process_time()
        result = work(*values)
        seconds[name] = seconds.get(name, 0) + time.process_time() - started
        return result

    timed("whole", cutter, Task(photo, cutter.out))
    rgb = timed("decode", read_image, photo).rgb
    for head in timed("find heads", find_heads, rgb, cutter.size):
        if head.frame.side >= cutter.size:
            crop = timed("crop", crop_head, rgb, head.frame, cutter.size)
            timed("write", write_image, cutter.out / f"crop{cutter.suffix}", crop)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    photos = find_pictures([options.folder])
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        cutter = PhotoCutter(options.folder, Path(folder), options.size, ".png")
        cutter(Task(photos[0], cutter.out))  # loads the models
        for photo in photos:
            runs = [measure(photo, cutter) for _ in range(options.runs)]
            for name in runs[0]:
                seconds[name] = seconds.get(name, 0) + min(run[name] for run in runs) / len(photos)
    table = Table("step", "CPU ms a photo", title=f"{len(photos)} photos, crops of {options.size} px")
    for name, mean in seconds.items():
        table.add_row(name, f"{1000 * mean:.1f}")
    Console().print(table, f"{1 / seconds['whole']:.1f} photos per second and core")


if __name__ == "__main__":
    main()
