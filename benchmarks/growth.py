"""How time and memory grow with a photo's size: `facegen upres --preset fast --scale 2` on photos with one head.

    python -m benchmarks.growth --photo ../shared/data/photos/neutral_front__006_03.jpg [--megapixels 1,4,16,36]
        [--plot docs/images/growth.png]

The photo stands at its own size, or cut to fit, in the middle of scikit-image's coffee over and over. Every size is
upscaled by a process of its own; seconds are of the processor, loading, reading and writing included. A straight line
is fitted to them; "off the line" is how far they lie from it.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.commands import Usage, run
from benchmarks.memory import crowd
from facegen.media.images import read_image, write_image


def measure(photo: Path, megapixels: float) -> Usage:
    """Upscale the photo on a ground of so many megapixels, 4:3."""
    height = round(math.sqrt(megapixels * 1e6 * 3 / 4))
    with TemporaryDirectory(prefix="facegen-") as folder:
        large = crowd([read_image(photo).rgb], (round(height * 4 / 3), height))
        file = write_image(Path(folder) / "large.jpg", large)
        return run(["upres", str(file), "--preset", "fast", "--scale", "2", "--out", str(Path(folder) / "out")])


def line(megapixels: list[float], seconds: list[float]) -> tuple[float, float]:
    """Fit seconds = base + slope * megapixels so that the largest relative error is small: base, slope."""
    x, y = np.asarray(megapixels), np.asarray(seconds)
    slope, base = np.polyfit(x, y, 1, w=1 / y)
    return float(base), float(slope)


def draw(path: Path, megapixels: list[float], usage: list[Usage]) -> None:
    """Plot seconds with the line, and memory, over the photo's size."""
    from matplotlib.figure import Figure

    seconds = [used.processor_seconds for used in usage]
    base, slope = line(megapixels, seconds)
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, megapixels[-1]], [base, base + slope * megapixels[-1]], color="0.7")
    left.plot(megapixels, seconds, "o")
    left.set(ylabel="seconds of the processor")
    right.plot(megapixels, [used.peak for used in usage], "o-")
    right.set(ylabel="peak memory, MiB")
    for axes in (left, right):
        axes.set(xlabel="photo, megapixels", xlim=0, ylim=0)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def table(megapixels: list[float], usage: list[Usage]) -> Table:
    """Figures of every size."""
    base, slope = line(megapixels, [used.processor_seconds for used in usage])
    found = Table("megapixels", "s of the processor", "off the line", "peak, MiB", "seconds")
    for size, used in zip(megapixels, usage, strict=True):
        spent = used.processor_seconds
        off = f"{spent / (base + slope * size) - 1:+.0%}"
        found.add_row(f"{size:g}", f"{spent:.1f}", off, f"{used.peak:.0f}", f"{used.seconds:.1f}")
    found.caption = f"{base:.1f} s and {slope:.2f} s for each megapixel"
    return found


def main() -> None:
    """Measure, print and plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, required=True, help="with one face")
    parser.add_argument("--megapixels", default="1,4,16,36", help="comma-separated, ascending")
    parser.add_argument("--plot", type=Path, help="PNG to write")
    options = parser.parse_args()
    sizes = [float(size) for size in options.megapixels.split(",")]
    usage = [measure(options.photo, size) for size in sizes]
    Console(width=120).print(table(sizes, usage))
    if options.plot:
        draw(options.plot, sizes, usage)


if __name__ == "__main__":
    main()
