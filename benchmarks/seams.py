"""Whether the borders of tiles can be seen, or whether the seam gauge only meets a hair.

    python -m benchmarks.seams --data ../shared/data/portraits768 [--pictures 16]

Samples of the first seeds, and kept-out portraits (by the rule of facegen.data.split, 60 held out) reduced to 96 px by
area, all upscaled to 768 px. Three measures, each beside its own yardstick:

- the seam gauge at the borders, beside what as many lines of the same pictures measure that are no borders: their mean,
  and the worst that a draw of so many exceeds in half of all cases;
- the gauge over that of the same picture upscaled by tiles that lie elsewhere, again at borders and at other lines: two
  renderings of one hair differ, border or not;
- the part of the step across a border line that comes of blending, as the weights change there from pixel to pixel; the
  rest is what the tiles show. Beside it the largest step that blending makes on any line, in 8-bit steps.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from facegen.arrays import to_tensor
from facegen.data.split import split
from facegen.media.images import find_pictures, read_image
from facegen.ops.blending import blend, feather
from facegen.ops.choice import gather
from facegen.ops.consistency import downsample_area
from facegen.ops.seams import (
    SeamGauge,
    border_count,
    border_lines,
    content_gauge,
    content_ratios,
    over_all,
    seam_gauge,
)
from facegen.ops.tiling import TilePlan
from facegen.pipeline import DEFAULT_RECIPE, FacePipeline, Upscaled

HELD_OUT, LOW, SIDE = 60, 96, 768
MARGIN = 8
"""Low-res pixels by which the other tiles are moved: half a step of them."""


@dataclass(frozen=True)
class Figures:
    """What is measured in one picture."""

    borders: int
    seams: SeamGauge
    content: list[float]
    """Of every line that is no border."""
    seams_over: SeamGauge
    """Over the same picture upscaled by other tiles, as `content_over`."""
    content_over: list[float]
    part: float
    """What blending adds to the step across a border, at worst, 0..1."""
    step: float
    """The largest step that blending makes on any line, in 8-bit steps."""


def with_other_tiles(pipeline: FacePipeline, upscaled: Upscaled) -> Tensor:
    """The same image (3, s*h, s*w), upscaled by tiles whose borders lie between those of `upscaled`."""
    low = F.pad(upscaled.stack[None, :3], (MARGIN,) * 4, mode="reflect")[0]  # (3, h + 2m, w + 2m)
    landmarks = upscaled.landmarks and replace(upscaled.landmarks, points=upscaled.landmarks.points + MARGIN)
    image = pipeline(low, pipeline.scale * low.shape[1], landmarks=landmarks).image
    margin = MARGIN * pipeline.scale
    return image[:, margin:-margin, margin:-margin]


def blending_steps(tiles: Tensor, plan: TilePlan) -> tuple[float, float]:
    """What blending adds across columns: see the head of this file.

    The step from a pixel to the next is sum(w' x') - sum(w x) over the tiles = sum of (w + w')/2 (x' - x), what the
    tiles show, and of (w' - w) (x + x')/2, what the change of the weights adds.

    Args:
        tiles: (T, C, n, n), those that won.
        plan: geometry in low-res pixels.
    Returns:
        `Figures.part` and `Figures.step`.
    """
    side = tiles.shape[-1]
    scale = side // plan.tile
    added = tiles.new_zeros(tiles.shape[1], scale * plan.height, scale * plan.width + 1)  # entry i: into pixel i
    for (top, left), tile, weight in zip(plan.boxes, tiles, feather(plan, scale).to(tiles), strict=True):
        x = F.pad(tile, (1, 1), mode="replicate")  # (C, n, n + 2)
        change = F.pad(weight, (1, 1)).diff(dim=1)  # (n, n + 1)
        where = (slice(scale * top, scale * top + side), slice(scale * left, scale * left + side + 1))
        added[:, *where] += change * (x[..., 1:] + x[..., :-1]) / 2
    by_blending = added[..., 1:-1].abs().mean((0, 1))  # (s*W - 1,)
    whole = blend(tiles, plan).diff(dim=2).abs().mean((0, 1))
    lines = [scale * border - 1 for border in border_lines(plan.columns, plan.tile, plan.width)]
    return float((by_blending / whole)[lines].max()), float(by_blending.max() * 255)


def measure(pipeline: FacePipeline, upscaled: Upscaled) -> Figures:
    """Measure one picture."""
    image, plan, plain = upscaled.image, upscaled.plan, with_other_tiles(pipeline, upscaled)
    part, step = blending_steps(gather(upscaled.candidates, upscaled.chosen).double(), plan)
    return Figures(
        borders=border_count(plan),
        seams=seam_gauge(image, plan),
        content=content_ratios(image, plan),
        seams_over=seam_gauge(image, plan, plain),
        content_over=content_ratios(image, plan, plain),
        part=part,
        step=step,
    )


def row(name: str, measured: Sequence[Figures]) -> list[str]:
    """Mean over the pictures and worst line of each gauge; the worst of what blending adds."""
    borders = sum(one.borders for one in measured)
    gauges = (
        over_all([one.seams for one in measured]),
        content_gauge([ratio for one in measured for ratio in one.content], borders),
        over_all([one.seams_over for one in measured]),
        content_gauge([ratio for one in measured for ratio in one.content_over], borders),
    )
    cells = [f"{gauge.mean:.3f} / {gauge.max:.3f}" for gauge in gauges]
    return [name, *cells, f"{max(one.part for one in measured):.2%}", f"{max(one.step for one in measured):.3f}"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of 768 px aligned portraits")
    parser.add_argument("--pictures", type=int, default=16, help="of either kind")
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    options = parser.parse_args()
    pipeline = FacePipeline.load(options.recipe, options.overrides)
    files = islice(split(find_pictures([options.data]), HELD_OUT)[1], options.pictures)
    portraits = (downsample_area(to_tensor(read_image(file).rgb), (LOW, LOW)) for file in files)
    upscaled = {
        "samples": (pipeline.sample(seed, SIDE) for seed in range(options.pictures)),
        "portraits": (pipeline(portrait, SIDE) for portrait in portraits),
    }
    columns = ("at borders", "at other lines", "borders over other tiles'", "other lines over other tiles'")
    table = Table("mean / worst line", *columns, "blending's part", "its largest step")
    for name, pictures in upscaled.items():
        measured = [measure(pipeline, one) for one in track(pictures, name, total=options.pictures)]
        table.add_row(*row(name, measured))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
