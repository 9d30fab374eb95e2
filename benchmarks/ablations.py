"""What each choice in the J-net's recipe is worth: trained on equal budgets, measured on the same kept-out tiles.

    python -m benchmarks.ablations --data ../shared/data/portraits768 --out ../ablations [--tiles 3000] [--only trunk]

Every line is pipelines/train/jnet-8x.toml with the changes of `COMMON` and its own, trained on the same portraits, 60
held out; its checkpoints are in OUT/NAME, and one that was broken off is gone on with. Half the widths, so that a line
takes minutes. Then each upscales the same tiles of the kept-out portraits, one by one, without choice or blending;
figures are over bicubic's where they are distances. OUT gets figures.json and sheet.png. Small differences are chance:
`plain` and `another-seed` show how large it is.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from facegen.arrays import to_picture
from facegen.data.split import known_landmarks, split_files
from facegen.evaluation.features import pooled_features
from facegen.evaluation.metrics import detail, feature_distance, frechet_distance, nyquist_peak, psnr
from facegen.faces.guide import GUIDE_CHANNELS, GuideMode
from facegen.files import replacing
from facegen.media.images import write_image
from facegen.media.sheets import contact_sheet
from facegen.models.efficientnet import load_efficientnet
from facegen.models.jnet import JNet, enlarge
from facegen.training.checkpoints import checkpoints
from facegen.training.config import JNetRecipe
from facegen.training.datasets import Order, TileConfig, TileDataset
from facegen.training.objectives import JNetObjective
from facegen.training.start import load_training_recipe
from facegen.training.trainer import Trainer

RECIPE = Path(__file__).parents[1] / "pipelines" / "train" / "jnet-8x.toml"
COMMON = (
    "generator.decoder_widths=[128,128,128,96,80,48,24,16]", "generator.trunk=0", "data.held_out=60",
    "run.ema_images=600", "run.log_images=1000000", "run.preview_images=1000000",
)  # fmt: skip


CLEAN = TileConfig(zoom_max=1, degrade=0, recolour=0, guide_dropout=0, guide_jitter=0)
"""How the tiles to measure on are cut."""


def _guide(name: GuideMode) -> tuple[str, ...]:
    planes = 3 + GUIDE_CHANNELS[name]
    return f"guide={name}", f"generator.in_channels={planes}", f"discriminator.condition_channels={planes}"


LINES: dict[str, tuple[str, ...]] = {
    "plain": (),
    "another-seed": ("run.seed=1",),
    "guide-channels": _guide("channels"),
    "guide-none": _guide("none"),
    "batchnorm": ("generator.norm=batch",),
    "l1-of-all-pixels": ("loss.pooled_side=256",),
    "equal-encoder": ("generator.encoder_width=1.0",),
    "no-residual": ("generator.base=none",),
    "patchgan-alone": ("loss.projected=0",),
    "projected-alone": ("loss.adversarial=0",),
    "trunk": ("generator.trunk=4",),
    "deconv": ("generator.upsample=deconv",),
    "adam": ("optimizer.generator=adam", "optimizer.learning_rate=2e-4"),
}
"""Name -> what is changed."""
BICUBIC = "bicubic"
MEASURED, SHOWN, BATCH, PATCH = 192, 8, 8, 128
"""Tiles measured, tiles on the sheet, tiles at a time, and the side of the patches of the patch Frechet distance."""
FIGURES = ("feature distance", "patch Frechet", "PSNR, dB", "detail", "Nyquist peak")
Picture = NDArray[np.uint8]


class Tiles:
    """The portraits, read once for all lines.

    Args:
        recipe: any line's; they differ in the guide alone.
    """

    def __init__(self, data: Path, recipe: JNetRecipe) -> None:
        net = recipe.generator
        training, unseen = split_files(data, recipe.data)
        sides: dict[str, Any] = {"side": recipe.side, "tile": net.tile, "scale": net.scale}
        options: dict[str, Any] = {**sides, "guide": "rgb", "landmarks": known_landmarks(data)}
        self._training = TileDataset(training, config=recipe.tiles, seed=recipe.run.seed, **options)
        self._unseen = TileDataset(unseen, config=CLEAN, seed=0, **options)

    def training(self, recipe: JNetRecipe) -> TileDataset:
        """In the order of the line's seed."""
        tiles = self._guided(self._training, recipe.guide)
        tiles.seed, tiles.order = recipe.run.seed, Order(len(tiles), recipe.run.seed)
        return tiles

    def unseen(self, recipe: JNetRecipe) -> TileDataset:
        """Those to measure on, as they are."""
        return self._guided(self._unseen, recipe.guide)

    def _guided(self, tiles: TileDataset, guide: GuideMode) -> TileDataset:
        other = copy(tiles)
        other.guide = guide
        return other


def trained(name: str, tiles: Tiles, out: Path, count: int) -> JNet:
    """A line's averaged network once it has seen `count` tiles; it goes on where it was broken off."""
    recipe = line_recipe(name, count)
    torch.manual_seed(recipe.run.seed)
    objective = JNetObjective(recipe, tiles.training(recipe), tiles.unseen(recipe), torch.device("cpu"))
    trainer = Trainer(objective, recipe.run, out / name)
    if checkpoints(out / name):
        trainer.resume()
    if trainer.images_seen < count:
        started, begun = time.perf_counter(), trainer.images_seen
        trainer.run()
        speed = (count - begun) / (time.perf_counter() - started)
        print(f"{name}: {count} tiles, {speed:.1f} a second", flush=True)
    average = objective.ema[0]
    assert isinstance(average, JNet)
    return average


def line_recipe(name: str, count: int) -> JNetRecipe:
    """The recipe with a line's changes."""
    recipe = load_training_recipe(RECIPE, (*COMMON, *LINES[name], f"run.images={count}"))
    assert isinstance(recipe, JNetRecipe)
    return recipe


class Meter:
    """Figures of a line's tiles.

    Args:
        scale: of the enlargement, for the measure of detail.
    """

    def __init__(self, scale: int) -> None:
        self.network, self.scale = load_efficientnet("lite2"), scale
        self.rows: list[tuple[float, ...]] = []
        self.features: list[NDArray[np.float64]] = []
        self.real: list[NDArray[np.float64]] = []

    def add(self, image: Tensor, original: Tensor) -> None:
        """Measure a tile, (3, H, W) in [0, 1], beside its original."""
        self.rows.append(
            (
                feature_distance(self.network, image, original),
                psnr(image, original),
                detail(image, original, self.scale),
                nyquist_peak(image),
            )
        )
        for picture, found in ((image, self.features), (original, self.real)):
            found.append(pooled_features(self.network, _quarters(to_picture(picture)), PATCH))

    def figures(self) -> dict[str, float]:
        """Of `FIGURES`, over all tiles."""
        distance, noise, rough, peak = (float(x) for x in np.mean(self.rows, axis=0))
        patches = frechet_distance(np.concatenate(self.features), np.concatenate(self.real))
        return dict(zip(FIGURES, (distance, patches, noise, rough, peak), strict=True))


def measure(raise_tiles: Callable[[Tensor], Tensor], tiles: TileDataset) -> tuple[dict[str, float], list[Picture]]:
    """The figures of the kept-out tiles, enlarged, and the first ones themselves."""
    meter, shown = Meter(tiles.scale), list[Picture]()
    for start in range(0, MEASURED, BATCH):
        stacks, originals = tiles.batch(start, BATCH)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            upscaled = raise_tiles(stacks).float().clamp(0, 1)
        for image, original in zip(upscaled, originals, strict=True):
            meter.add(image, original)
        shown += [to_picture(image) for image in upscaled[: SHOWN - len(shown)]]
    return meter.figures(), shown


def print_table(found: Mapping[str, Mapping[str, float]]) -> None:
    """Distances over bicubic's, the others as they are."""
    table = Table("line", "changed", *FIGURES)
    for name, figures in found.items():
        over = [figures[key] / found[BICUBIC][key] for key in FIGURES[:2]]
        cells = [f"{value:.3f}" for value in (*over, *(figures[key] for key in FIGURES[2:]))]
        table.add_row(name, " ".join(LINES.get(name, ())), *cells)
    Console().print(table)


def _quarters(picture: Picture) -> NDArray[np.uint8]:
    """(N, PATCH, PATCH, 3): a tile in patches."""
    steps = range(0, picture.shape[0] - PATCH + 1, PATCH)
    return np.stack([picture[y : y + PATCH, x : x + PATCH] for y in steps for x in steps])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tiles", type=int, default=3000)
    parser.add_argument("--only", nargs="+", choices=LINES, default=list(LINES))
    options = parser.parse_args()
    recipe = line_recipe(next(iter(LINES)), options.tiles)
    tiles = Tiles(options.data, recipe)
    unseen = tiles.unseen(recipe)
    found: dict[str, dict[str, float]] = {}
    rows: dict[str, list[Picture]] = {}
    found[BICUBIC], rows[BICUBIC] = measure(lambda stacks: enlarge(stacks[:, :3], unseen.scale), unseen)
    for name in options.only:
        network = trained(name, tiles, options.out, options.tiles)
        found[name], rows[name] = measure(network, tiles.unseen(line_recipe(name, options.tiles)))
        with replacing(options.out / "figures.json") as temporary:
            temporary.write_text(json.dumps(found, indent=2), encoding="utf-8")
    rows["original"] = [to_picture(picture) for picture in unseen.batch(0, BATCH)[1]][:SHOWN]
    labels = [name if not i else "" for name in rows for i in range(SHOWN)]
    pictures = [picture for row in rows.values() for picture in row]
    write_image(options.out / "sheet.png", contact_sheet(pictures, columns=SHOWN, side=160, labels=labels))
    print_table(found)


if __name__ == "__main__":
    main()
