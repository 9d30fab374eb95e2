"""What restoring whole photos does and costs.

    python -m benchmarks.photos --data ../shared/data/photos [--photos 4] [--scale 2] [--background lanczos]

For each photo: heads upscaled; fit, the PSNR of the area-downsampled result to the photo; the largest difference of the
two in 8-bit steps; the seam gauge at the tile borders of its largest head, mean and largest, over that of the photo at
the same lines, enlarged (a roof that lies on a line is an edge of the photo, no seam); the same at lines of the head
that are no borders, the largest being what the worst of as many of them exceeds in half of all draws (detail that the
photo lacks measures there too); the photo's own at the borders; seconds, of the clock and of the processor.
Last, all photos together.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from facegen.arrays import to_tensor
from facegen.faces.align import crop_head
from facegen.faces.detect import heads_in_photo
from facegen.media.images import find_pictures, read_image
from facegen.ops.seams import SeamGauge, border_count, content_gauge, content_ratios, over_all, seam_gauge
from facegen.photo import BACKGROUNDS, PhotoOptions, Restored, restore_photo
from facegen.pipeline import DEFAULT_RECIPE, FacePipeline

COLUMNS = (
    "photo",
    "scale",
    "heads",
    "fit dB",
    "largest error",
    "seams",
    "elsewhere",
    "in the photo",
    "s",
    "of processor",
)


@dataclass(frozen=True)
class HeadSeams:
    """The largest head of a restored photo, measured at the borders of its tiles and elsewhere."""

    borders: int
    seams: SeamGauge
    """Over what the photo itself measures at the borders, as `Restored.seams`."""
    content: list[float]
    """The same of every line that is no border."""
    photo: SeamGauge
    """The photo itself, at the borders."""


def spread(folder: Path, count: int) -> list[Path]:
    """So many photos of a folder, evenly spread over it."""
    files = find_pictures([folder])
    return files[:: max(len(files) // count, 1)][:count]


def largest_error(done: Restored, photo: NDArray[np.uint8]) -> float:
    """Largest difference of the area-downsampled result to the photo, in 8-bit steps; at scale 1, of both halved."""
    cell = max(done.scale, 2)
    per = cell // done.scale
    height, width = photo.shape[0] // per, photo.shape[1] // per
    result = done.rgb[: height * cell, : width * cell].reshape(height, cell, width, cell, 3)
    shown = photo[: height * per, : width * per].reshape(height, per, width, per, 3)
    return float(np.abs(result.mean((1, 3)) - shown.mean((1, 3))).max())


def head_seams(done: Restored, photo: NDArray[np.uint8]) -> HeadSeams | None:
    """Measure the photo's largest head; None if not all were upscaled, or there was none."""
    if done.left or not done.heads:
        return None
    frame, plan = heads_in_photo(photo)[0].frame, done.heads[0].plan
    side = done.heads[0].image.shape[-1]
    image = to_tensor(crop_head(done.rgb, frame.scaled(done.scale), side))
    plain = to_tensor(crop_head(photo, frame, side))
    return HeadSeams(
        borders=border_count(plan),
        seams=seam_gauge(image, plan, plain),
        content=content_ratios(image, plan, plain),
        photo=seam_gauge(plain, plan),
    )


def seam_cells(measured: Sequence[HeadSeams]) -> tuple[str, ...]:
    """Mean and largest of the three gauges, over all heads."""
    if not measured:
        return "", "", ""
    content = [ratio for one in measured for ratio in one.content]
    gauges = (
        over_all([one.seams for one in measured]),
        content_gauge(content, sum(one.borders for one in measured)),
        over_all([one.photo for one in measured]),
    )
    return tuple(f"{gauge.mean:.3f} / {gauge.max:.3f}" for gauge in gauges)


def row(pipeline: FacePipeline, file: Path, options: PhotoOptions) -> tuple[tuple[str, ...], HeadSeams | None]:
    """Restore one photo and measure it."""
    photo = read_image(file).rgb
    clock, processor = time.perf_counter(), time.process_time()
    done = restore_photo(pipeline, photo, options)
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    seams = head_seams(done, photo)
    return (
        file.name,
        str(done.scale),
        f"{done.upscaled} of {done.upscaled + done.left}",
        f"{done.fit:.1f}",
        f"{largest_error(done, photo):.2f}",
        *seam_cells([seams] if seams else []),
        f"{clock:.1f}",
        f"{processor:.1f}",
    ), seams


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of photos")
    parser.add_argument("--photos", type=int, default=4, help="how many, spread over the folder")
    parser.add_argument("--scale", type=int)
    parser.add_argument("--background", choices=BACKGROUNDS, default="lanczos")
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    options = parser.parse_args()
    pipeline = FacePipeline.load(options.recipe, options.overrides)
    wanted = PhotoOptions(scale=options.scale, background=options.background)
    table = Table(*COLUMNS)
    measured = []
    for file in track(spread(options.data, options.photos), "photos"):
        cells, seams = row(pipeline, file, wanted)
        table.add_row(*cells)
        measured += [seams] if seams else []
    table.add_row("all", "", "", "", "", *seam_cells(measured))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
