"""What choosing among candidates gains and costs, on held-out portraits.

    python -m benchmarks.choice --data ../shared/data/portraits768 [--portraits 6] [--sheet sheet.png]

Portraits are held-out ones (by the rule of facegen.data.split, 60 held out), reduced to 96 px by area and upscaled to
768 px: with the first candidate of every tile, with each tile's best score, and with the joint choice, for the mirrored
variant alone and for all kinds. 128 px patches, 32 of each portrait at the same places, give a Frechet distance to the
originals' patches in EfficientNet-Lite2 features, a network that no training used; so few patches can only rank the
ways. Ghosts: mean distance of the chosen tiles from the blended picture, in 8-bit steps. Sharpness: variance of the
Laplacian, relative to the original's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from facegen.arrays import to_rgb, to_tensor
from facegen.candidates import Upscaled
from facegen.data.split import split as split_files
from facegen.evaluation.features import Features, pooled_features
from facegen.evaluation.metrics import feature_distance, frechet_distance
from facegen.media.images import find_pictures, read_image, write_image
from facegen.media.sheets import contact_sheet
from facegen.models.efficientnet import EfficientNetLite, load_efficientnet
from facegen.ops.blending import blend
from facegen.ops.choice import gather
from facegen.ops.consistency import downsample_area
from facegen.ops.scoring import SCORERS, ScoreContext
from facegen.ops.seams import seam_gauge
from facegen.ops.tiling import split
from facegen.ops.variants import KINDS
from facegen.pipeline import DEFAULT_RECIPE, FacePipeline

HELD_OUT, LOW, SIDE = 60, 96, 768
PATCH, PATCHES = 128, 32
VARIANTS = {"flip": ["flip"], "all": list(KINDS)}
WAYS = {"first": "candidates.count=1", "best score": "choice.agreement=0", "joint": "choice.agreement=1"}
"""Ways to choose, each by a recipe key."""


@dataclass(frozen=True)
class Original:
    """A held-out portrait, with its reduction and the places of its patches."""

    image: Tensor
    """(3, 768, 768)."""
    low: Tensor
    """(3, 96, 96)."""
    corners: NDArray[np.int64]
    """(PATCHES, 2): top and left of each patch."""


@dataclass
class Row:
    """The results of one way so far."""

    patches: list[Features] = field(default_factory=list)
    figures: list[tuple[float, ...]] = field(default_factory=list)
    """For each portrait, in the order of `FIGURES`."""


FIGURES = ("features", "ghosts", "seams", "worst", "sharpness", "fit", "seconds")


def read_original(file: Path, number: int) -> Original:
    image = to_tensor(read_image(file).rgb)
    corners = np.random.default_rng(number).integers(0, SIDE - PATCH + 1, (PATCHES, 2))
    return Original(image, downsample_area(image, (LOW, LOW)), corners)


def patch_features(network: EfficientNetLite, image: Tensor, original: Original) -> Features:
    """Features of a picture's patches: (PATCHES, C)."""
    picture = to_rgb(image)
    patches = np.stack([picture[y : y + PATCH, x : x + PATCH] for y, x in original.corners])
    return pooled_features(network, patches, PATCH)


def sharpness(image: Tensor) -> float:
    """Variance of the Laplacian of luma."""
    return SCORERS["laplacian"](image[None, None], ScoreContext(image[None])).item()


def ghosts(upscaled: Upscaled) -> float:
    """Mean distance of the chosen tiles from the blended picture, in 8-bit steps."""
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
        upscaled.fit,
        seconds,
    )


def measure_way(pipeline: FacePipeline, originals: list[Original], name: str) -> tuple[Row, Tensor]:
    """Upscale the portraits in one way; returns the figures and the first portrait's picture."""
    network, row, shown = load_efficientnet("lite2"), Row(), list[Tensor]()
    for original in track(originals, name):
        started = time.perf_counter()
        upscaled = pipeline(original.low, SIDE)
        spent = time.perf_counter() - started
        row.patches.append(patch_features(network, upscaled.image, original))
        row.figures.append(measure(network, upscaled, original, spent))
        shown.append(upscaled.image)
    return row, shown[0]


def cells(row: Row, real: Features) -> list[str]:
    """Format the means over the portraits, and the largest seam."""
    columns = dict(zip(FIGURES, zip(*row.figures, strict=True), strict=True))
    mean = {figure: statistics.mean(values) for figure, values in columns.items()}
    return [
        f"{frechet_distance(np.concatenate(row.patches), real):.3f}",
        f"{mean['features']:.4f}",
        f"{mean['ghosts']:.2f}",
        f"{mean['seams']:.3f} / {max(columns['worst']):.3f}",
        f"{mean['sharpness']:.3f}",
        f"{mean['fit']:.1f}",
        f"{mean['seconds']:.1f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of 768 px aligned portraits")
    parser.add_argument("--portraits", type=int, default=6)
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--sheet", type=Path, help="write the first portrait in every way here")
    options = parser.parse_args()
    files = split_files(find_pictures([options.data]), HELD_OUT)[1][: options.portraits]
    originals = [read_original(file, number) for number, file in enumerate(files)]
    network = load_efficientnet("lite2")
    real = np.concatenate([patch_features(network, original.image, original) for original in originals])
    columns = ("patch Frechet", "features", "ghosts", "seams mean / worst", "sharpness", "fit dB", "s")
    table = Table("variants", "way", *columns, title=f"{len(originals)} portraits of {SIDE} px")
    pictures: dict[str, Tensor] = {}
    for (variants, kinds), (way, override) in product(VARIANTS.items(), WAYS.items()):
        overrides = [*options.overrides, override, f"candidates.variants={json.dumps(kinds)}"]
        name = f"{variants}: {way}"
        row, pictures[name] = measure_way(FacePipeline.load(options.recipe, overrides), originals, name)
        table.add_row(variants, way, *cells(row, real))
    Console(width=160).print(table)
    if options.sheet:
        images = [to_rgb(image) for image in pictures.values()]
        write_image(options.sheet, contact_sheet(images, columns=len(WAYS), labels=list(pictures)))


if __name__ == "__main__":
    main()
