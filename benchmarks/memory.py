"""Peak memory of a photo of 100 megapixels with several heads, and of a sample of 4096 px.

    python -m benchmarks.memory --photos ../shared/data/photos [--heads 8] [--only photo]

The photo is 11600 x 8600 px: scikit-image's coffee over and over, and the first photos of the folder on it, as large as
they are, in a grid. It is upscaled with `facegen upres --scale 2`; the sample is `facegen sample --seeds 7 --size 4096
--candidates 2`. Both run in processes of their own, with the shipped networks.
"""

from __future__ import annotations

import argparse
import math
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


def crowd(photos: list[RGB], size: tuple[int, int]) -> RGB:
    """Photos in the cells of a grid, each at its own size, its middle in the cell's; what does not fit is cut off.

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


def table(usage: dict[str, Usage]) -> Table:
    found = Table("what", "peak, MiB", "seconds", "of the processor")
    for name, used in usage.items():
        found.add_row(name, f"{used.peak:.0f}", f"{used.seconds:.0f}", f"{used.processor_seconds:.0f}")
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos with a face each")
    parser.add_argument("--heads", type=int, default=8, help="photos on the large one")
    parser.add_argument("--only", choices=("photo", "sample"), help="one of the two alone")
    options = parser.parse_args()
    usage = {}
    with TemporaryDirectory(prefix="facegen-") as folder:
        out = Path(folder)
        if options.only != "sample":
            files = find_pictures([options.photos])[: options.heads]
            large = write_image(out / "crowd.jpg", crowd([read_image(file).rgb for file in files], (WIDTH, HEIGHT)))
            usage[f"{WIDTH} x {HEIGHT} px, {len(files)} photos on it"] = run(
                ["upres", str(large), "--scale", "2", "--out", str(out / "upscaled")], show=True
            )
        if options.only != "photo":
            usage["sample of 4096 px"] = run([*SAMPLE, "--out", str(out / "sample.png")])
    Console(width=120).print(table(usage))


if __name__ == "__main__":
    main()
