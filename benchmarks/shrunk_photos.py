"""How near photos that were shrunk come to themselves again, by what the networks are shown of their heads.

    python -m benchmarks.shrunk_photos --data ../shared/data/photos [--photos 4] [--scale 2] [--turn 30] [--sheet s.png]

Each photo is turned as far as asked, shrunk by area and restored. The largest head is compared with the original's:
PSNR, feature distance in EfficientNet-Lite2, which no training knows, and detail (0 is the original's). "around" is a
square beside the head: the widest that fits above, below, left or right of it. Seconds are of the processor, for that
row's whole photo; detection is part of them. "128 px, lanczos": `head_side=128`, background by Lanczos. Below the table
stands how far the heads that were found are turned, which adds how they were held to how the photo was turned.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.photos import spread
from facegen.arrays import to_picture, to_tensor
from facegen.data.cutting import turn as turn_of
from facegen.faces.align import HeadFrame, crop_head
from facegen.faces.detect import heads_in_photo
from facegen.media.images import read_image, resize, write_image
from facegen.metrics.paired import detail, feature_distance, psnr
from facegen.models.efficientnet import EfficientNetLite, load_efficientnet
from facegen.models.jnet import enlarge
from facegen.ops.consistency import downsample_area
from facegen.photo import Background, PhotoOptions, restore_photo
from facegen.pipeline import DEFAULT_RECIPE, FacePipeline

Picture = NDArray[np.uint8]
Way = Callable[[Picture, int], Picture]
HEAD_SIDES = (64, 128, 256)
SHOWN = 320
"""Side of the close-ups on the sheet, in pixels."""


def bicubic(photo: Picture, scale: int) -> Picture:
    """Enlarge by bicubic interpolation."""
    return to_picture(enlarge(to_tensor(photo)[None], scale)[0].clamp(0, 1))


def lanczos(photo: Picture, scale: int) -> Picture:
    """Enlarge by Lanczos interpolation."""
    return resize(photo, (photo.shape[1] * scale, photo.shape[0] * scale))


def ways(recipe: Path, overrides: list[str]) -> dict[str, Way]:
    """Every way to enlarge a photo, by name."""

    def restored(pipeline: FacePipeline, background: Background) -> Way:
        return lambda photo, scale: restore_photo(pipeline, photo, PhotoOptions(scale=scale, background=background)).rgb

    pipelines = {side: FacePipeline.load(recipe, [*overrides, f"head_side={side}"]) for side in HEAD_SIDES}
    heads = {f"{side} px, lanczos": restored(pipeline, "lanczos") for side, pipeline in pipelines.items()}
    largest = HEAD_SIDES[-1]
    return (
        {"bicubic": bicubic, "lanczos": lanczos}
        | heads
        | {f"{largest} px, tiles": restored(pipelines[largest], "tiles")}
    )


def beside(frame: HeadFrame, photo: Picture) -> HeadFrame | None:
    """The widest upright square that fits beside a head's frame; None below 64 px."""
    height, width = photo.shape[:2]
    reach = np.abs([frame.right, frame.down]).sum(axis=0)
    (left, top), (right, bottom) = frame.center - reach, frame.center + reach
    rooms = [
        (0.0, 0.0, left, height),
        (right, 0.0, width, height),
        (0.0, 0.0, width, top),
        (0.0, bottom, width, height),
    ]
    x0, y0, x1, y1 = max(rooms, key=lambda room: min(room[2] - room[0], room[3] - room[1]))
    side = min(x1 - x0, y1 - y0)
    if side < 64:
        return None
    return HeadFrame(((x0 + x1) / 2, (y0 + y1) / 2), (side / 2, 0.0), (0.0, side / 2))


class Figures:
    """The rows of the table.

    Args:
        scale: how much smaller the photos are made.
    """

    def __init__(self, scale: int) -> None:
        self.scale = scale
        self.network: EfficientNetLite = load_efficientnet("lite2")
        self.rows: dict[str, list[tuple[float, ...]]] = {}

    def compare(
        self, name: str, result: Picture, original: Picture, places: list[HeadFrame | None], used: float
    ) -> None:
        """Measure a result at each place, nan where there is none."""
        figures: list[float] = []
        for place in places:
            if place is None:
                figures += [np.nan] * 3
                continue
            side = int(place.side) // 8 * 8
            ours, real = (to_tensor(crop_head(rgb, place, side)) for rgb in (result, original))
            figures += [psnr(ours, real), feature_distance(self.network, ours, real), detail(ours, real, self.scale)]
        self.rows.setdefault(name, []).append((*figures, used))

    def table(self) -> Table:
        """Means over all photos."""
        columns = [f"{place} {figure}" for place in ("head", "around") for figure in ("dB", "feat.", "detail")]
        table = Table("", *columns, "s")
        for name, rows in self.rows.items():
            table.add_row(name, *(f"{mean:.3f}" for mean in np.nanmean(rows, axis=0)))
        return table


def turn_photo(rgb: Picture, degrees: float) -> Picture:
    """Turn a photo counterclockwise about its centre, as large as it was, mirrored where it leaves itself."""
    height, width = rgb.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    turned = cv2.warpAffine(rgb, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return turned.astype(np.uint8)


def shrinkable(file: Path, scale: int, turn: float = 0.0) -> tuple[Picture, Picture, HeadFrame] | None:
    """A photo, turned, as much of it as shrinks to whole pixels, what it shrinks to, and its largest head; None without
    one.
    """
    rgb = read_image(file).rgb
    rgb = turn_photo(rgb, turn) if turn else rgb
    height, width = (length // scale * scale for length in rgb.shape[:2])
    original = np.ascontiguousarray(rgb[:height, :width])
    small = to_picture(downsample_area(to_tensor(original), (height // scale, width // scale)))
    heads = heads_in_photo(small)
    return (original, small, heads[0].frame.scaled(scale)) if heads else None


def compare_all(
    files: list[Path], scale: int, named: dict[str, Way], turn: float = 0.0
) -> tuple[Table, Picture | None]:
    """Restore every shrunk photo in every way; the table, and close-ups of the heads beside the originals'."""
    figures, sheet, turns = Figures(scale), [], []
    for file in track(files, "photos"):
        found = shrinkable(file, scale, turn)
        if found is None:
            continue
        original, small, frame = found
        turns.append(f"{-turn_of(frame):.0f}")
        results = list(_timed(named, small, scale))
        for name, result, used in results:
            figures.compare(name, result, original, [frame, beside(frame, original)], used)
        sheet.append(np.hstack([close_up(rgb, frame) for rgb in (*(result for _, result, _ in results), original)]))
    table = figures.table()
    table.caption = f"Heads found in {len(turns)} of {len(files)} photos, turned by {', '.join(turns) or '-'} degrees."
    return table, np.vstack(sheet) if sheet else None


def _timed(named: dict[str, Way], photo: Picture, scale: int) -> Iterator[tuple[str, Picture, float]]:
    for name, way in named.items():
        before = time.process_time()
        result = way(photo, scale)
        yield name, result, time.process_time() - before


def close_up(rgb: Picture, frame: HeadFrame) -> Picture:
    """The eyes and what is around them, (SHOWN, SHOWN, 3)."""
    center = (frame.center[0] - frame.down[0] / 10, frame.center[1] - frame.down[1] / 10)
    half = HeadFrame(center, (frame.right[0] / 2, frame.right[1] / 2), (frame.down[0] / 2, frame.down[1] / 2))
    return crop_head(rgb, half, SHOWN)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of photos")
    parser.add_argument("--photos", type=int, default=4, help="how many, spread over the folder")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--turn", type=float, default=0.0, help="degrees, counterclockwise")
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--sheet", type=Path, help="write close-ups, a row for each photo, in the table's order")
    options = parser.parse_args()
    files = spread(options.data, options.photos)
    table, sheet = compare_all(files, options.scale, ways(options.recipe, options.overrides), options.turn)
    if options.sheet and sheet is not None:
        write_image(options.sheet, sheet)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
