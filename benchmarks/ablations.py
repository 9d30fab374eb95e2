"""What each choice in the J-net's recipe is worth: trained on equal budgets, measured on the same kept-out tiles.

    python -m benchmarks.ablations --data ../shared/data/portraits768 --out ../ablations [--tiles 3000] [--only trunk]

Every line is `facegen train pipelines/train/jnet-8x.toml` with the changes of `COMMON` and its own; its run is
OUT/NAME, and one that was broken off is gone on with. Half the widths, so that a line takes minutes. Then each raises
the same tiles of the kept-out portraits, one by one, without choice or blending; figures are over bicubic's where they
are distances. OUT gets figures.json and sheet.png. Networks begin with one seed, so differences of a few per cent are
chance: `as-shipped` and `another-seed` show how large it is.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from facegen.files import replacing
from facegen.guide import GUIDE_CHANNELS
from facegen.images import write_image
from facegen.metrics.distribution import frechet_distance
from facegen.metrics.features import pooled_features
from facegen.metrics.paired import detail, feature_distance, nyquist_peak, psnr
from facegen.models.efficientnet import load_efficientnet
from facegen.models.jnet import JNet
from facegen.sheets import contact_sheet
from facegen.tensors import to_picture
from facegen.training.checkpoints import checkpoints, read_checkpoint
from facegen.training.config import JNetRecipe
from facegen.training.datasets import TileConfig, TileDataset, split_files
from facegen.training.start import resolved_recipe

RECIPE = Path(__file__).parents[1] / "pipelines" / "train" / "jnet-8x.toml"
COMMON = (
    "generator.decoder_widths=[128,128,128,96,80,48,24,16]", "data.held_out=60", "run.ema_images=600",
    "run.workers=0", "run.log_images=200", "run.preview_images=1000000",
)  # fmt: skip


def _guide(name: str) -> tuple[str, ...]:
    planes = 3 + GUIDE_CHANNELS[name]  # type: ignore[index]
    return f"guide={name}", f"generator.in_channels={planes}", f"discriminator.condition_channels={planes}"


LINES: dict[str, tuple[str, ...]] = {
    "as-shipped": (),
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
}
"""Name -> what is changed."""
BICUBIC, ORIGINAL = "bicubic", "original"
MEASURED, SHOWN, BATCH, PATCH = 192, 8, 8, 128
"""Tiles measured, tiles on the sheet, tiles at a time, and the side of the patches of the patch Frechet distance."""
FIGURES = ("feature distance", "patch Frechet", "PSNR, dB", "detail", "Nyquist peak")
Picture = NDArray[np.uint8]


def train(name: str, data: Path, out: Path, tiles: int, threads: int) -> None:
    """Train a line until it has seen `tiles`, going on where it was broken off.

    Raises:
        CalledProcessError: if the training fails; it has said why.
    """
    found = checkpoints(out / name)
    if found and int(found[-1].stem) >= tiles:
        return
    changes = [f"--set={change}" for change in (*COMMON, *LINES[name])]
    begin = ["--resume"] if found else []
    command = ["train", str(RECIPE), "--data", str(data), "--out", str(out / name), "--images", str(tiles)]
    subprocess.run([sys.executable, "-m", "facegen", *command, "--threads", str(threads), *changes, *begin], check=True)


def raised(out: Path, name: str, files: Sequence[Path]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Batches of (low-res, raised, original) tiles of the pictures, by a line's averaged weights."""
    recipe = resolved_recipe(out / name)
    assert isinstance(recipe, JNetRecipe)
    network = JNet(recipe.generator).eval()
    network.load_state_dict(read_checkpoint(checkpoints(out / name)[-1])["modules"]["average"])
    clean = TileConfig(zoom_max=1, degrade=0, recolour=0, guide_dropout=0, guide_jitter=0)
    net = recipe.generator
    tiles = TileDataset(
        files, side=recipe.side, tile=net.tile, scale=net.scale, guide=recipe.guide, config=clean, seed=0
    )
    for start in range(0, MEASURED, BATCH):
        stacks, originals = tiles.batch(start, BATCH)
        with torch.inference_mode():
            yield stacks[:, :3], network(stacks).clamp(0, 1), originals


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


def measure(out: Path, names: Sequence[str], files: Sequence[Path]) -> tuple[dict[str, dict[str, float]], Picture]:
    """The figures of bicubic and of each line, and the sheet: a row of tiles for each, the originals last."""
    found: dict[str, dict[str, float]] = {}
    shown: list[Picture] = []
    originals: list[Picture] = []
    for name in names:
        meters = {key: Meter(8) for key in ((name,) if found else (BICUBIC, name))}
        rows: dict[str, list[Picture]] = {key: [] for key in meters}
        originals = []
        for low, tiles, real in raised(out, name, files):
            plain = F.interpolate(low, scale_factor=8, mode="bicubic", align_corners=False).clamp(0, 1)
            for key, meter in meters.items():
                for image, original in zip(plain if key == BICUBIC else tiles, real, strict=True):
                    meter.add(image, original)
                    rows[key].append(to_picture(image))
            originals += [to_picture(original) for original in real]
        found |= {key: meter.figures() for key, meter in meters.items()}
        shown += [picture for row in rows.values() for picture in row[:SHOWN]]
    labels = [name if not i else "" for name in (*found, ORIGINAL) for i in range(SHOWN)]
    return found, contact_sheet([*shown, *originals[:SHOWN]], columns=SHOWN, side=160, labels=labels)


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
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=LINES, default=list(LINES))
    options = parser.parse_args()
    for name in options.only:
        train(name, options.data, options.out, options.tiles, options.threads)
    recipe = resolved_recipe(options.out / options.only[0])
    found, sheet = measure(options.out, options.only, split_files(options.data, recipe.data)[1])
    with replacing(options.out / "figures.json") as temporary:
        temporary.write_text(json.dumps(found, indent=2), encoding="utf-8")
    write_image(options.out / "sheet.png", sheet)
    print_table(found)


if __name__ == "__main__":
    main()
