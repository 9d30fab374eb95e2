"""Make a folder of varied pictures, to train the study's "general" model: the same network without faces.

    python -m benchmarks.general_pictures --out ../general [--count 1200] [--side 256]

The pictures come with scikit-image's package, and with scikit-learn's if it is installed; SciPy's are downloaded, so
they are not used, nor are pictures of persons: astronaut, camera, lfw_subset. Squares are cut at random places and
scales, never enlarged, turned and mirrored; the same options give the same pictures. Train on the folder with --set
data.held_out=0; for facegen compare, give the same --held-out as for the faces.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from facegen.arrays import RGB
from facegen.errors import ImageError
from facegen.media.images import read_image, resize, write_image

FOLDERS = {"skimage": "data", "sklearn": "datasets/images"}
"""Package -> folder of its pictures."""
FILES = {
    "skimage": (
        "brick.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg",
        "ihc.png", "moon.png", "motorcycle_left.png", "retina.jpg", "rocket.jpg",
    ),
    "sklearn": ("china.jpg", "flower.jpg"),
}  # fmt: skip
"""Package -> photographs without people."""
SMALLEST = 0.35
"""Smallest scale at which a square is cut, where the picture is large enough."""


def find_files() -> list[Path]:
    """Find the pictures of `FILES` that are installed."""
    found = []
    for package, names in FILES.items():
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            found += [Path(spec.origin).parent / FOLDERS[package] / name for name in names]
    return [file for file in found if file.is_file()]


def shares(names: Iterable[str], count: int) -> dict[str, int]:
    """Share out `count` squares among the pictures: equally many each, and one more for the first ones."""
    listed = list(names)
    return {name: count // len(listed) + (i < count % len(listed)) for i, name in enumerate(listed)}


def squares(picture: RGB, side: int, count: int, seed: int) -> Iterator[RGB]:
    """Cut random squares, (side, side, 3), from a picture that is at least as large."""
    rng = np.random.default_rng(seed)
    height, width = picture.shape[:2]
    least = max(side / min(height, width), SMALLEST)
    for _ in range(count):
        cut = min(round(side / rng.uniform(least, 1)), height, width)
        top, left = rng.integers(0, height - cut + 1), rng.integers(0, width - cut + 1)
        square = resize(np.ascontiguousarray(picture[top : top + cut, left : left + cut]), (side, side))
        turned = np.rot90(square, int(rng.integers(4)))
        yield np.ascontiguousarray(turned[:, ::-1] if rng.integers(2) else turned)


def main() -> None:
    """Write the squares, and print how many each picture gave."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1200)
    parser.add_argument("--side", type=int, default=256)
    options = parser.parse_args()
    read = {file.stem: read_image(file).rgb for file in find_files()}
    pictures = {name: picture for name, picture in read.items() if min(picture.shape[:2]) >= options.side}
    if not pictures:
        raise ImageError(f"None of {len(read)} pictures is {options.side} px high and wide; choose a smaller --side.")
    table = Table("picture", "size", "squares")
    for seed, (name, count) in enumerate(track(shares(pictures, options.count).items(), "pictures")):
        for number, square in enumerate(squares(pictures[name], options.side, count, seed)):
            write_image(options.out / f"general-{name.replace('_', '-')}_{number:04d}.png", square)
        height, width = pictures[name].shape[:2]
        table.add_row(name, f"{width}x{height}", str(count))
    Console().print(table)
    for name in read.keys() - pictures.keys():
        print(f"{name}: smaller than {options.side} px, left out.")


if __name__ == "__main__":
    main()
