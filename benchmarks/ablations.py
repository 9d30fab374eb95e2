"""Ablations of the J-net's recipe: equal training budgets, measured on the same held-out tiles.

    python -m benchmarks.ablations --data ../shared/data/portraits768 --out ../ablations [--tiles 3000] [--only trunk]

Every variant is pipelines/train/jnet-8x.toml at half the widths, with the changes of `COMMON` and of the variant,
trained on the same portraits, 60 held out. Its run folder is OUT/NAME; an interrupted run is resumed. Each upscales
the same tiles of the held-out portraits, without choice or blending; distances are relative to bicubic's. Writes
OUT/figures.json and OUT/sheet.png. `plain` and `another-seed` show how large differences by chance are.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from facegen.arrays import RGB, to_rgb
from facegen.data.split import known_landmarks, split_files
from facegen.evaluation.features import pooled_features
from facegen.evaluation.metrics import detail, feature_distance, frechet_distance, nyquist_peak, psnr
from facegen.faces.guide import GUIDE_CHANNELS, GuideMode
from facegen.files import write_text
from facegen.media.images import write_image
from facegen.media.sheets import contact_sheet
from facegen.models.efficientnet import load_efficientnet
from facegen.models.jnet import JNet, enlarge
from facegen.training.checkpoints import checkpoints
from facegen.training.config import JNetRecipe
from facegen.training.start import load_training_recipe, make_trainer
from facegen.training.tiles import TileConfig, TileDataset

RECIPE = Path(__file__).parents[1] / "pipelines" / "train" / "jnet-8x.toml"
COMMON = (
    "generator.decoder_widths=[128,128,128,96,80,48,24,16]", "generator.decoder_depths=[1,1,2,2,4,2,2,1]",
    "generator.trunk=0", "loss.projected=0.4", "tiles.degraded=0.25", "data.held_out=60",
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
"""Name -> changes to the recipe."""
BICUBIC = "bicubic"
MEASURED, SHOWN, BATCH, PATCH = 192, 8, 8, 128
"""Tiles measured, tiles on the sheet, tiles at a time, side of the patches of the patch Frechet distance."""
FIGURES = ("feature distance", "patch Frechet", "PSNR, dB", "detail", "Nyquist peak")


def line_recipe(name: str, count: int) -> JNetRecipe:
    """The recipe with a variant's changes."""
    recipe = load_training_recipe(RECIPE, (*COMMON, *LINES[name], f"run.images={count}"))
    assert isinstance(recipe, JNetRecipe)
    return recipe


def trained(recipe: JNetRecipe, data: Path, out: Path) -> JNet:
    """Train a variant, or resume its training; returns the averaged network."""
    trainer = make_trainer(recipe, data, out, resume=bool(checkpoints(out)))
    trainer.run()
    average = trainer.objective.ema[0]
    assert isinstance(average, JNet)
    return average


def held_out(recipe: JNetRecipe, data: Path) -> TileDataset:
    """The tiles to measure on, with the variant's guide."""
    net, unseen = recipe.generator, split_files(data, recipe.data)[1]
    sides: dict[str, Any] = {"side": recipe.side, "tile": net.tile, "scale": net.scale, "guide": recipe.guide}
    return TileDataset(unseen, config=CLEAN, seed=0, landmarks=known_landmarks(data), **sides)


def measure(upscale: Callable[[Tensor], Tensor], tiles: TileDataset) -> tuple[dict[str, float], list[RGB]]:
    """Upscale the held-out tiles; returns their figures, and the first ones."""
    network = load_efficientnet("lite2")
    rows, pictures, real = [], list[RGB](), list[RGB]()
    for start in range(0, MEASURED, BATCH):
        stacks, originals = tiles.batch(start, BATCH)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            upscaled = upscale(stacks).float().clamp(0, 1)
        for image, original in zip(upscaled, originals, strict=True):
            distance, fit = feature_distance(network, image, original), psnr(image, original)
            rows.append((distance, fit, detail(image, original, tiles.scale), nyquist_peak(image)))
        pictures += to_rgb(upscaled)
        real += to_rgb(originals)
    features, wanted = (pooled_features(network, _patches(some), PATCH) for some in (pictures, real))
    distance, *others = (float(x) for x in np.mean(rows, axis=0))
    values = (distance, frechet_distance(features, wanted), *others)
    return dict(zip(FIGURES, values, strict=True)), pictures[:SHOWN]


def print_table(found: Mapping[str, Mapping[str, float]]) -> None:
    """Print the figures, distances relative to bicubic's."""
    table = Table("variant", "changed", *FIGURES)
    for name, figures in found.items():
        over = [figures[key] / found[BICUBIC][key] for key in FIGURES[:2]]
        cells = [f"{value:.3f}" for value in (*over, *(figures[key] for key in FIGURES[2:]))]
        table.add_row(name, " ".join(LINES.get(name, ())), *cells)
    Console().print(table)


def _patches(pictures: Sequence[RGB]) -> RGB:
    """Cut pictures into patches: (N, PATCH, PATCH, 3)."""
    steps = range(0, pictures[0].shape[0] - PATCH + 1, PATCH)
    return np.stack([p[y : y + PATCH, x : x + PATCH] for p in pictures for y in steps for x in steps])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tiles", type=int, default=3000)
    parser.add_argument("--only", nargs="+", choices=LINES, default=list(LINES))
    options = parser.parse_args()
    tiles = held_out(line_recipe("plain", options.tiles), options.data)
    found: dict[str, dict[str, float]] = {}
    rows: dict[str, list[RGB]] = {}
    found[BICUBIC], rows[BICUBIC] = measure(lambda stacks: enlarge(stacks[:, :3], tiles.scale), tiles)
    for name in options.only:
        recipe = line_recipe(name, options.tiles)
        network = trained(recipe, options.data, options.out / name)
        found[name], rows[name] = measure(network, held_out(recipe, options.data))
        write_text(options.out / "figures.json", json.dumps(found, indent=2))
    rows["original"] = [*to_rgb(tiles.batch(0, BATCH)[1])][:SHOWN]
    labels = [name if not i else "" for name in rows for i in range(SHOWN)]
    pictures = [picture for row in rows.values() for picture in row]
    write_image(options.out / "sheet.png", contact_sheet(pictures, columns=SHOWN, side=160, labels=labels))
    print_table(found)


if __name__ == "__main__":
    main()
