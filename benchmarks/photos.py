"""What restoring whole photos does and costs.

    python -m benchmarks.photos --data ../shared/data/photos [--photos 4] [--scale 2] [--background lanczos]

For each photo: heads raised; fit, the PSNR of the area-downsampled result to the photo; the largest difference of the
two in 8-bit steps; the seam gauge at the tile borders of its heads, mean and largest, beside that of the photo at the
same lines, enlarged by Lanczos (a roof that lies on a line is an edge of the photo, no seam); seconds, of the clock and
of the processor.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from facegen.align import crop_head
from facegen.detection import heads_in_photo
from facegen.images import find_pictures, read_image, resize
from facegen.ops.seams import seam_gauge
from facegen.photo import BACKGROUNDS, PhotoOptions, Restored, restore
from facegen.pipeline import DEFAULT_RECIPE, FacePipeline
from facegen.tensors import to_tensor

COLUMNS = ("photo", "scale", "heads", "fit dB", "largest error", "seams", "in the photo", "seconds", "of processor")


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


def own_seams(done: Restored, photo: NDArray[np.uint8]) -> str:
    """The seam gauge of the photo's largest head at the lines where the result has tile borders."""
    if not done.heads:
        return ""
    frame = heads_in_photo(photo)[0].frame.scaled(done.scale)
    enlarged = resize(photo, (photo.shape[1] * done.scale, photo.shape[0] * done.scale))
    raised = done.heads[0]
    gauge = seam_gauge(to_tensor(crop_head(enlarged, frame, raised.image.shape[-1])), raised.plan)
    return f"{gauge.mean:.3f} / {gauge.max:.3f}"


def row(pipeline: FacePipeline, file: Path, options: PhotoOptions) -> tuple[str, ...]:
    """Restore one photo and measure it."""
    photo = read_image(file).rgb
    clock, processor = time.perf_counter(), time.process_time()
    done = restore(pipeline, photo, options)
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    return (
        file.name,
        str(done.scale),
        f"{done.raised} of {done.raised + done.left}",
        f"{done.fit:.1f}",
        f"{largest_error(done, photo):.2f}",
        f"{done.seams.mean:.3f} / {done.seams.max:.3f}" if done.seams else "",
        own_seams(done, photo),
        f"{clock:.1f}",
        f"{processor:.1f}",
    )


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
    for file in track(spread(options.data, options.photos), "photos"):
        table.add_row(*row(pipeline, file, wanted))
    Console().print(table)


if __name__ == "__main__":
    main()
