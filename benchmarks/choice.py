"""What choosing among candidates buys, and what it costs: every strategy on kept-out portraits.

    python -m benchmarks.choice --data ../shared/data/portraits768 [--portraits 6] [--sheet sheet.png]

Portraits are kept-out ones (by the rule of facegen.data.split, 60 held out), reduced to 96 px by area and upscaled to
768 px. All strategies choose from the same candidates: the flip alone, every kind of look, and every kind scored by the
irises too. Patches of 128 px, 32 of each portrait at the same places, give a Frechet distance to the originals' patches
in EfficientNet-Lite2 features, a network that no training used; with so few it ranks strategies, and no more.
Ghosts: how far the chosen tiles are, before consistency, from what they are blended to, in 8-bit steps: what neighbours
that disagree leave in their overlap. Sharpness: variance of the Laplacian, over the original's. Irises: colour distance
of the two, in 8-bit steps.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from facegen.arrays import to_picture, to_tensor
from facegen.competition import Upscaled, compete
from facegen.data.split import split as split_files
from facegen.media.images import find_pictures, read_image, write_image
from facegen.media.sheets import contact_sheet
from facegen.metrics.distribution import frechet_distance
from facegen.metrics.features import Features, pooled_features
from facegen.metrics.paired import feature_distance
from facegen.models.efficientnet import EfficientNetLite, load_efficientnet
from facegen.ops.blending import blend
from facegen.ops.choice import STRATEGIES, gather
from facegen.ops.consistency import downsample_area
from facegen.ops.scoring import SCORERS, ScoreContext
from facegen.ops.seams import seam_gauge
from facegen.ops.tiling import plan_tiles, split
from facegen.ops.variants import KINDS
from facegen.pipeline import DEFAULT_RECIPE, FacePipeline
from facegen.recipe import ChoiceOptions

HELD_OUT, LOW, SIDE = 60, 96, 768
PATCH, PATCHES = 128, 32
LOOKS = {"flip": ["flip"], "all": list(KINDS)}


@dataclass(frozen=True)
class Original:
    """A kept-out portrait, and what its upscaled copies are compared with."""

    image: Tensor
    """(3, 768, 768)."""
    low: Tensor
    """(3, 96, 96)."""
    corners: NDArray[np.int64]
    """(PATCHES, 2): top, left of the patches."""


@dataclass
class Row:
    """What one strategy made of the portraits so far."""

    patches: list[Features] = field(default_factory=list)
    figures: list[tuple[float, ...]] = field(default_factory=list)
    """Of each portrait, in the order of `FIGURES`."""


FIGURES = ("features", "ghosts", "seams", "worst", "sharpness", "irises", "fit", "seconds")


def read_original(file: Path, number: int) -> Original:
    """Read one portrait."""
    image = to_tensor(read_image(file).rgb)
    corners = np.random.default_rng(number).integers(0, SIDE - PATCH + 1, (PATCHES, 2))
    return Original(image, downsample_area(image, (LOW, LOW)), corners)


def choices(scorers: dict[str, float]) -> dict[str, ChoiceOptions]:
    """The ways to choose that are compared, by name."""
    options = {str(name): ChoiceOptions(strategy=name, scorers=scorers) for name in STRATEGIES}
    return {**options, "joint, eyes": ChoiceOptions(scorers=scorers | {"eyes": 1.0})}


def patch_features(network: EfficientNetLite, image: Tensor, original: Original) -> Features:
    """Features of a picture's patches: (PATCHES, C)."""
    picture = to_picture(image)
    patches = np.stack([picture[y : y + PATCH, x : x + PATCH] for y, x in original.corners])
    return pooled_features(network, patches, PATCH)


def sharpness(image: Tensor) -> float:
    """Variance of the Laplacian of luma."""
    return SCORERS["laplacian"](image[None, None], ScoreContext(image[None])).item()


def iris_distance(upscaled: Upscaled) -> float:
    """Colour distance of the two irises of the picture, in 8-bit steps."""
    assert upscaled.landmarks is not None
    whole, points = plan_tiles(LOW, LOW, tile=LOW, overlap=0), torch.from_numpy(upscaled.landmarks.points)
    context = ScoreContext(upscaled.stack[None], None, whole, points)
    return -255 / 2 * SCORERS["eyes"](upscaled.image[None, None], context).item()  # it counts both eyes


def ghosts(upscaled: Upscaled) -> float:
    """How far the chosen tiles are from the picture they are blended to, on average, in 8-bit steps."""
    tiles = gather(upscaled.candidates, upscaled.chosen).float()
    return 255 * (tiles - split(blend(tiles, upscaled.plan), upscaled.plan)).abs().mean().item()


def measure(network: EfficientNetLite, upscaled: Upscaled, original: Original, seconds: float) -> tuple[float, ...]:
    """The figures of one upscaled portrait."""
    gauge = seam_gauge(upscaled.image, upscaled.plan)
    return (
        feature_distance(network, upscaled.image, original.image),
        ghosts(upscaled),
        gauge.mean,
        gauge.max,
        sharpness(upscaled.image) / sharpness(original.image),
        iris_distance(upscaled),
        upscaled.fit,
        seconds,
    )


def compare(pipeline: FacePipeline, originals: list[Original], looks: str) -> tuple[dict[str, Row], dict[str, Tensor]]:
    """Upscale the portraits once and choose in every way; also the first portrait's pictures, by strategy."""
    network = load_efficientnet("lite2")
    ways = choices(pipeline.recipe.choice.scorers)
    rows = {name: Row() for name in ways}
    shown: dict[str, Tensor] = {}
    for original in track(originals, f"looks: {looks}"):
        started = time.perf_counter()
        pool = pipeline(original.low, SIDE)
        made = time.perf_counter() - started
        for name, choice in ways.items():
            started = time.perf_counter()
            upscaled = compete(pool, choice, pipeline.recipe.fidelity, pipeline.recipe.calm)
            spent = time.perf_counter() - started
            rows[name].patches.append(patch_features(network, upscaled.image, original))
            rows[name].figures.append(measure(network, upscaled, original, made + spent))
            shown.setdefault(name, upscaled.image)
    return rows, shown


def add_rows(table: Table, looks: str, rows: dict[str, Row], real: Features) -> None:
    """Write the strategies' means over the portraits, the worst seam's maximum."""
    for name, row in rows.items():
        columns = dict(zip(FIGURES, zip(*row.figures, strict=True), strict=True))
        mean = {figure: statistics.mean(values) for figure, values in columns.items()}
        table.add_row(
            looks,
            name,
            f"{frechet_distance(np.concatenate(row.patches), real):.3f}",
            f"{mean['features']:.4f}",
            f"{mean['ghosts']:.2f}",
            f"{mean['seams']:.3f} / {max(columns['worst']):.3f}",
            f"{mean['sharpness']:.3f}",
            f"{mean['irises']:.2f}",
            f"{mean['fit']:.1f}",
            f"{mean['seconds']:.1f}",
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of 768 px aligned portraits")
    parser.add_argument("--portraits", type=int, default=6)
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--sheet", type=Path, help="write the first portrait as each strategy makes it here")
    options = parser.parse_args()
    files = split_files(find_pictures([options.data]), HELD_OUT)[1][: options.portraits]
    originals = [read_original(file, number) for number, file in enumerate(files)]
    network = load_efficientnet("lite2")
    real = np.concatenate([patch_features(network, original.image, original) for original in originals])
    columns = ("patch Frechet", "features", "ghosts", "seams mean / worst", "sharpness", "irises", "fit dB", "s")
    table = Table("looks", "strategy", *columns, title=f"{len(originals)} portraits of {SIDE} px")
    pictures: dict[str, Tensor] = {}
    for looks, kinds in LOOKS.items():
        overrides = [*options.overrides, "choice.strategy=first", f"candidates.variants={json.dumps(kinds)}"]
        rows, shown = compare(FacePipeline.load(options.recipe, overrides), originals, looks)
        add_rows(table, looks, rows, real)
        pictures |= {f"{looks}: {name}": image for name, image in shown.items()}
    Console(width=160).print(table)
    if options.sheet:
        labels, images = list(pictures), [to_picture(image) for image in pictures.values()]
        write_image(options.sheet, contact_sheet(images, columns=len(pictures) // len(LOOKS), labels=labels))


if __name__ == "__main__":
    main()
