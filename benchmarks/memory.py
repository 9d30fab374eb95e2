"""How time and memory grow with a photo's size, and the peak memory of the largest pictures.

    python -m benchmarks.memory --photos ../shared/data/photos [--only growth|crowd|sample] [--plot growth.png]

growth: `facegen upres --preset fast --scale 2` of pictures of each of `--megapixels`: scikit-image's coffee, repeated,
with the folder's `--photo`, which has one head, in the middle, unscaled or cropped to fit. Seconds are processor time,
including loading, reading and writing. A straight line is fitted to them; "off the line" is the distance from it.

crowd: `facegen upres --scale 2` of 11600 x 8600 px of coffee, with the first `--heads` photos on it in a grid. sample:
`facegen sample --seeds 7 --size 4096 --candidates 2`.

Each runs in a separate process, with the shipped networks.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from rich.table import Table
from skimage import data

from benchmarks.commands import Usage, run
from facegen.arrays import RGB
from facegen.media.images import find_pictures, read_image, write_image

WIDTH, HEIGHT = 11_600, 8_600
SAMPLE = ["sample", "--seeds", "7", "--size", "4096", "--candidates", "2"]
FAST = ("--preset", "fast")
COLUMNS = ("s of the processor", "peak, MiB", "seconds")


def crowd(photos: list[RGB], size: tuple[int, int]) -> RGB:
    """Centre photos in the cells of a grid, unscaled, and cropped if they do not fit.

    Args:
        size: width and height.
    Returns:
        (height, width, 3).
    """
    width, height = size
    ground = np.asarray(data.coffee(), dtype=np.uint8)  # type: ignore[no-untyped-call]
    repeats = math.ceil(height / ground.shape[0]), math.ceil(width / ground.shape[1]), 1
    picture = np.ascontiguousarray(np.tile(ground, repeats)[:height, :width])
    columns = math.ceil(math.sqrt(len(photos)))
    cell = height // math.ceil(len(photos) / columns), width // columns
    for number, photo in enumerate(photos):
        corner = number // columns * cell[0], number % columns * cell[1]
        shown = _middle(photo, cell)
        top, left = (start + (of - have) // 2 for start, of, have in zip(corner, cell, shown.shape, strict=False))
        picture[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    return picture


def _middle(photo: RGB, most: tuple[int, int]) -> RGB:
    top, left = (max(0, (have - of) // 2) for have, of in zip(photo.shape, most, strict=False))
    return photo[top:, left:][: most[0], : most[1]]


def upscale(photos: Sequence[Path], size: tuple[int, int], options: Sequence[str] = ()) -> Usage:
    """Upscale a `crowd` of photos, of this width and height."""
    with TemporaryDirectory(prefix="facegen-") as folder:
        large = write_image(Path(folder) / "large.jpg", crowd([read_image(photo).rgb for photo in photos], size))
        return run(["upres", str(large), "--scale", "2", *options, "--out", str(Path(folder) / "out")])


def line(megapixels: list[float], seconds: list[float]) -> tuple[float, float]:
    """Fit seconds = base + slope * megapixels so that the largest relative error is small: base, slope."""
    x, y = np.asarray(megapixels), np.asarray(seconds)
    slope, base = np.polyfit(x, y, 1, w=1 / y)
    return float(base), float(slope)


def draw(path: Path, megapixels: list[float], usage: list[Usage]) -> None:
    """Plot seconds with their line, and memory, over the photo's size."""
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


def growth_table(megapixels: list[float], usage: list[Usage]) -> Table:
    """The usage of every size, and how far its seconds are off the line."""
    base, slope = line(megapixels, [used.processor_seconds for used in usage])
    found = Table("megapixels", *COLUMNS, "off the line")
    for size, used in zip(megapixels, usage, strict=True):
        found.add_row(f"{size:g}", *cells(used), f"{used.processor_seconds / (base + slope * size) - 1:+.0%}")
    found.caption = f"{base:.1f} s and {slope:.2f} s for each megapixel"
    return found


def cells(used: Usage) -> tuple[str, str, str]:
    """Format what one command took, in the order of `COLUMNS`."""
    return f"{used.processor_seconds:.1f}", f"{used.peak:.0f}", f"{used.seconds:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos with a face each")
    parser.add_argument("--only", choices=("growth", "crowd", "sample"), help="measure only one of the three")
    parser.add_argument("--photo", default="neutral_front__006_03.jpg", help="for growth")
    parser.add_argument("--megapixels", default="1,4,16,36", help="comma-separated, ascending")
    parser.add_argument("--heads", type=int, default=8, help="photos on the large one")
    parser.add_argument("--plot", type=Path, help="PNG of the growth to write")
    options = parser.parse_args()
    console = Console(width=120)
    if options.only in (None, "growth"):
        sizes = [float(size) for size in options.megapixels.split(",")]
        heights = [round(math.sqrt(size * 1e6 * 3 / 4)) for size in sizes]
        photo = [options.photos / options.photo]
        usage = [upscale(photo, (round(height * 4 / 3), height), FAST) for height in heights]
        console.print(growth_table(sizes, usage))
        if options.plot:
            draw(options.plot, sizes, usage)
    found = Table("what", *COLUMNS)
    if options.only in (None, "crowd"):
        files = find_pictures([options.photos])[: options.heads]
        found.add_row(f"{WIDTH} x {HEIGHT} px, {len(files)} photos on it", *cells(upscale(files, (WIDTH, HEIGHT))))
    if options.only in (None, "sample"):
        with TemporaryDirectory(prefix="facegen-") as folder:
            found.add_row("sample of 4096 px", *cells(run([*SAMPLE, "--out", str(Path(folder) / "sample.png")])))
    if found.row_count:
        console.print(found)


if __name__ == "__main__":
    main()
