"""A sheet of photos before and after upscaling: small JPEGs, and damaged photos.

    python -m benchmarks.before_after --data ../shared/data/photos [--photos 12] --out sheet.png

Each photo is shown twice: shrunk to a head of 240 px, saved as JPEG of quality 80, and upscaled by the default; and
shrunk to a head of 120 px, damaged by facegen.ops.damage at a strength from 0.2 to 0.8, and upscaled by the preset
restore. On the left, bicubic interpolation; on the right, facegen; below, the note of `facegen upres`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from PIL import Image
from rich.progress import track

from benchmarks.photos import bicubic
from facegen.arrays import RGB
from facegen.faces.align import crop_head
from facegen.faces.detect import heads_in_photo
from facegen.files import PIPELINES
from facegen.jobs import Task
from facegen.media.images import find_pictures, read_image, write_image
from facegen.media.sheets import contact_sheet
from facegen.ops.damage import of_item
from facegen.photo_files import FileUpscaler
from facegen.results import UpresOptions

SHOWN, WIDER, COLUMNS = 288, 1.2, 4
SMALL, DAMAGED, QUALITY = 240, 120, 80
"""Sides of the heads in pixels, and the quality of the JPEGs."""


def shrunk(rgb: RGB, side: int) -> RGB:
    """Shrink a photo so that its largest head has this side in pixels."""
    factor = side / heads_in_photo(rgb)[0].frame.side
    return np.asarray(cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))


def pair(before: Path, upscaler: FileUpscaler) -> tuple[RGB, str]:
    """Upscale a photo; returns its head before and after, side by side, and the note."""
    done = upscaler(Task(before, before.parent / "out" / before.stem))
    small, large = read_image(before).rgb, read_image(done.written[-1]).rgb
    scale = len(large) // len(small)
    frame = heads_in_photo(small)[0].frame
    wide = replace(frame.scaled(WIDER), center=frame.center)
    views = [crop_head(rgb, wide.scaled(scale), SHOWN) for rgb in (bicubic(small, scale), large)]
    return np.hstack(views), done.note


def pairs(files: list[Path], folder: Path) -> Iterator[tuple[RGB, str]]:
    """Yield every photo twice, with its label."""
    presets = [PIPELINES / "portrait.toml", PIPELINES / "restore.toml"]
    default, restore = (FileUpscaler(UpresOptions(preset.stem, preset), ()) for preset in presets)
    for number, file in enumerate(track(files, "photos")):
        rgb, strength = read_image(file).rgb, 0.2 + 0.6 * number / max(len(files) - 1, 1)
        jpeg = folder / f"{file.stem}-small.jpg"
        Image.fromarray(shrunk(rgb, SMALL)).save(jpeg, quality=QUALITY)
        view, note = pair(jpeg, default)
        yield view, f"{file.stem}, JPEG {QUALITY}, default; {note}"
        damaged = write_image(folder / f"{file.stem}-damaged.png", of_item(shrunk(rgb, DAMAGED), strength, number))
        view, note = pair(damaged, restore)
        yield view, f"{file.stem}, {strength:.2f}, restore; {note}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of photos with a head")
    parser.add_argument("--photos", type=int, default=12, help="how many, the folder's first ones")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        files = find_pictures([options.data])[: options.photos]
        views, labels = zip(*pairs(files, Path(folder)), strict=True)
    write_image(options.out, contact_sheet(views, COLUMNS, labels=labels))


if __name__ == "__main__":
    main()
