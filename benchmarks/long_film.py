"""Memory and speed of `facegen video` over a long film: that the peak does not grow with length, and frames a second.

    python -m benchmarks.long_film [--frames 24] [--times 4] [--size 768] [--more "--candidates 1 --interpolate 2"]

Each film is made in a process of its own: one of `--frames` frames and one of `--times` as many, as the command makes
them, and both again with the options of `--more`. Peaks are of the resident memory of the whole process, as the kernel
counts it (Linux), networks included. The speed is that of the frames by which the longer film is longer, so that
loading does not count.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from benchmarks.commands import Usage, run


def cost(frames: int, size: int, options: list[str], folder: Path) -> Usage:
    """Make a film of `frames` frames, 30 a second, in a process of its own; says at once what it took.

    Raises:
        CalledProcessError: if the film could not be made.
    """
    out = folder / f"{frames}-{'-'.join(options) or 'plain'}.mp4"
    words = ["video", "--seeds", "0,1", "--seconds", str(frames / 30), "--size", str(size), "-o", str(out), *options]
    used = run(words)
    print(f"{out.name}: {used.seconds:.0f} s, {used.peak:.0f} MiB", flush=True)
    return used


def table(costs: dict[str, tuple[Usage, Usage]], frames: tuple[int, int], title: str) -> Table:
    """Peaks of the short and the long film, and the frames a second between them, by the options' words."""
    found = Table("options", "frames", "peak, MiB", "long over short", "frames a second", title=title)
    for name, (short, long) in costs.items():
        speed = (frames[1] - frames[0]) / (long.seconds - short.seconds)
        found.add_row(
            name or "none", f"{frames[0]}, {frames[1]}", f"{short.peak:.0f}, {long.peak:.0f}",
            f"{long.peak / short.peak:.2f}", f"{speed:.2f}",
        )  # fmt: skip
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--times", type=int, default=4)
    parser.add_argument("--size", type=int, default=768)
    parser.add_argument("--more", default="--candidates 1 --interpolate 2")
    options = parser.parse_args()
    costs, frames = {}, (options.frames, options.frames * options.times)
    with TemporaryDirectory(prefix="facegen-") as folder:
        for words in dict.fromkeys(["", options.more]):
            short, long = (cost(count, options.size, shlex.split(words), Path(folder)) for count in frames)
            costs[words] = (short, long)
    Console(width=120).print(table(costs, frames, f"films of {options.size} px"))


if __name__ == "__main__":
    main()
