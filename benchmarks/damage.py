"""Damaged portraits restored by facegen and by other upscalers.

    python -m benchmarks.damage --data ../shared/data/portraits768 [--portraits 20] [--levels mild,medium,strong]

Held-out portraits (by the rule of facegen.data.split, 60 held out), reduced to 96 px by area, are damaged by
facegen.ops.damage, the same way in each run, and upscaled to 768 px: by interpolation; by Real-ESRGAN x4plus and SPAN
x4, then by Lanczos; by facegen's default; and by its preset restore, which estimates the damage.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

from benchmarks.peers import real_esrgan, span
from facegen.arrays import RGB, to_rgb, to_tensor
from facegen.data.split import split, spread
from facegen.evaluation.compare import LOW, Sides
from facegen.evaluation.portraits import NAMES, PortraitMeter, read_portrait
from facegen.evaluation.report import Figure
from facegen.evaluation.upscalers import Setting, Upscaler, load_upscalers
from facegen.files import PIPELINES
from facegen.media.images import find_pictures, resize
from facegen.ops.damage import LEVELS
from facegen.pipeline import FacePipeline

HELD_OUT, SIDE, CLEAN = 60, 768, "none"
FIGURES = ("features", "patches", "identity", "landmarks", "psnr")
Way = Callable[[Tensor], RGB]
"""Upscales a (3, 96, 96) picture in [0, 1] to (768, 768, 3)."""


def ways(overrides: tuple[str, ...] = ()) -> dict[str, Way]:
    """Every way by name; `overrides` change the recipe of the preset restore."""
    default, restore = FacePipeline.load(), FacePipeline.load(PIPELINES / "restore.toml", overrides)
    plain = load_upscalers(("bicubic", "lanczos"), Setting(SIDE // LOW))
    return {
        **{upscaler.name: partial(by_interpolation, upscaler) for upscaler in plain},
        "Real-ESRGAN": partial(by_peer, real_esrgan()),
        "SPAN": partial(by_peer, span()),
        "facegen": lambda low: to_rgb(default(low, SIDE).image),
        "restore": lambda low: to_rgb(restore(low, SIDE).image),
    }


def by_interpolation(upscaler: Upscaler, low: Tensor) -> RGB:
    return to_rgb(upscaler(low))


@torch.inference_mode()
def by_peer(network: nn.Module, low: Tensor) -> RGB:
    """Upscale four times, then to 768 px by Lanczos."""
    return resize(to_rgb(network(low[None])[0].clamp(0, 1)), (SIDE, SIDE))


def measure(found: dict[str, Way], files: list[Path], damage: str | None) -> tuple[Figure, ...]:
    """Damage the portraits, upscale them in every way, and compare with the originals."""
    sides, meter = Sides(LOW, SIDE, damage), PortraitMeter()
    for file in track(files, damage or CLEAN):
        original = read_portrait(file, SIDE)
        low = to_tensor(sides.reduce(original, meter.count))
        meter.add(low, original, {name: way(low) for name, way in found.items()})
    figures = {figure.name: figure for figure in meter.figures(str(sides), "")}
    return tuple(figures[NAMES[key][0]] for key in FIGURES)


def to_table(figures: tuple[Figure, ...], names: list[str], title: str) -> Table:
    """A row for each way, a column for each figure."""
    table = Table("", *(figure.name for figure in figures), title=title)
    for name in names:
        table.add_row(name, *(f"{figure.values[name]:.4g}" for figure in figures))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of 768 px aligned portraits")
    parser.add_argument("--portraits", type=int, default=20)
    parser.add_argument("--levels", default=",".join(LEVELS), help=f"of {', '.join(LEVELS)}, and {CLEAN}")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="of restore")
    options = parser.parse_args()
    found = ways(tuple(options.overrides))
    _, held_out = split(find_pictures([options.data]), HELD_OUT)
    files = spread(held_out, options.portraits)
    for level in options.levels.split(","):
        figures = measure(found, files, None if level == CLEAN else level)
        Console(width=160).print(to_table(figures, list(found), f"{len(files)} portraits, damage: {level}"))


if __name__ == "__main__":
    main()
