"""How close photos that were shrunk and restored come to the originals, and what it costs.

    python -m benchmarks.photos --data ../shared/data/photos [--photos 4] [--scale 2] [--sheet sheet.png]

Each photo is shrunk by area and restored. Its largest head is compared with the original's: PSNR, feature distance in
EfficientNet-Lite2, which no training uses, and detail (0 is the original's); "fit" is the agreement of the whole result
with the small photo. Seconds are processor time for the whole photo, including detection. "128 px, lanczos" is
`head_side=128` with the background by Lanczos.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from facegen.arrays import RGB, to_rgb, to_tensor
from facegen.data.split import spread
from facegen.evaluation.metrics import detail, feature_distance, psnr
from facegen.faces.align import HeadFrame, crop_head
from facegen.faces.detect import heads_in_photo
from facegen.media.images import find_pictures, read_image, resize, write_image
from facegen.models.efficientnet import EfficientNetLite, load_efficientnet
from facegen.models.jnet import enlarge
from facegen.ops.consistency import downsample_area, low_res_psnr
from facegen.photo import Background, PhotoOptions, restore_photo
from facegen.pipeline import DEFAULT_RECIPE, FacePipeline

Way = Callable[[RGB, int], RGB]
FIGURES = ("head dB", "feature distance", "detail", "fit dB", "s")
HEAD_SIDES = (64, 128, 256)
SHOWN = 320
"""Side of the close-ups on the sheet, in pixels."""


def bicubic(photo: RGB, scale: int) -> RGB:
    """Enlarge by bicubic interpolation."""
    return to_rgb(enlarge(to_tensor(photo)[None], scale)[0].clamp(0, 1))


def lanczos(photo: RGB, scale: int) -> RGB:
    """Enlarge by Lanczos interpolation."""
    return resize(photo, (photo.shape[1] * scale, photo.shape[0] * scale))


def ways(recipe: Path, overrides: list[str]) -> dict[str, Way]:
    """Every way to enlarge a photo, by name."""

    def restored(pipeline: FacePipeline, background: Background) -> Way:
        return lambda photo, scale: restore_photo(pipeline, photo, PhotoOptions(scale=scale, background=background)).rgb

    pipelines = {side: FacePipeline.load(recipe, [*overrides, f"head_side={side}"]) for side in HEAD_SIDES}
    heads = {f"{side} px, lanczos": restored(pipeline, "lanczos") for side, pipeline in pipelines.items()}
    largest = HEAD_SIDES[-1]
    tiles = {f"{largest} px, tiles": restored(pipelines[largest], "tiles")}
    return {"bicubic": bicubic, "lanczos": lanczos} | heads | tiles


def shrinkable(file: Path, scale: int) -> tuple[RGB, RGB, HeadFrame] | None:
    """Read a photo, cropped to a multiple of the scale, its shrunk copy, and its largest head; None without a head."""
    rgb = read_image(file).rgb
    height, width = (length // scale * scale for length in rgb.shape[:2])
    original = np.ascontiguousarray(rgb[:height, :width])
    small = to_rgb(downsample_area(to_tensor(original), (height // scale, width // scale)))
    heads = heads_in_photo(small)
    return (original, small, heads[0].frame.scaled(scale)) if heads else None


def measure(
    network: EfficientNetLite, result: RGB, original: RGB, small: RGB, frame: HeadFrame
) -> tuple[float, ...]:
    """The figures of one result: all of `FIGURES` except the seconds."""
    side, scale = int(frame.side) // 8 * 8, original.shape[0] // small.shape[0]
    head, real = (to_tensor(crop_head(rgb, frame, side)) for rgb in (result, original))
    fit = low_res_psnr(to_tensor(result), to_tensor(small))
    return psnr(head, real), feature_distance(network, head, real), detail(head, real, scale), fit


def compare_all(files: list[Path], scale: int, named: dict[str, Way]) -> tuple[Table, RGB | None]:
    """Restore every shrunk photo in every way; returns the means, and close-ups of the heads and the originals'."""
    network, sheet = load_efficientnet("lite2"), []
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in named}
    for file in track(files, "photos"):
        found = shrinkable(file, scale)
        if found is None:
            continue
        original, small, frame = found
        close_ups = []
        for name, result, seconds in _timed(named, small, scale):
            rows[name].append((*measure(network, result, original, small, frame), seconds))
            close_ups.append(close_up(result, frame))
        sheet.append(np.hstack([*close_ups, close_up(original, frame)]))
    table = Table("", *FIGURES, caption=f"Heads found in {len(sheet)} of {len(files)} photos.")
    for name, figures in rows.items():
        table.add_row(name, *(f"{mean:.3f}" for mean in np.mean(figures, axis=0)))
    return table, np.vstack(sheet) if sheet else None


def _timed(named: dict[str, Way], photo: RGB, scale: int) -> Iterator[tuple[str, RGB, float]]:
    for name, way in named.items():
        before = time.process_time()
        result = way(photo, scale)
        yield name, result, time.process_time() - before


def close_up(rgb: RGB, frame: HeadFrame) -> RGB:
    """Crop the eyes and what surrounds them: (SHOWN, SHOWN, 3)."""
    center = (frame.center[0] - frame.down[0] / 10, frame.center[1] - frame.down[1] / 10)
    half = HeadFrame(center, (frame.right[0] / 2, frame.right[1] / 2), (frame.down[0] / 2, frame.down[1] / 2))
    return crop_head(rgb, half, SHOWN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of photos")
    parser.add_argument("--photos", type=int, default=4, help="how many, spread over the folder")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--sheet", type=Path, help="write close-ups, a row for each photo, in the table's order")
    options = parser.parse_args()
    files = spread(find_pictures([options.data]), options.photos)
    table, sheet = compare_all(files, options.scale, ways(options.recipe, options.overrides))
    if options.sheet and sheet is not None:
        write_image(options.sheet, sheet)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
