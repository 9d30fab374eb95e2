"""Make the pictures of the README and of docs/presets.md.

    python -m benchmarks.figures --portrait ../shared/data/portraits768/london_0012.webp --seeds 1,2,4,7

The portrait must be held out of training, and be from a source that may be shown (London, canada, composite, faker).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch.nn.functional as F

from facegen.arrays import RGB, to_rgb, to_tensor
from facegen.files import PIPELINES
from facegen.media.images import read_image, resize, write_image
from facegen.media.sheets import contact_sheet
from facegen.models.jnet import enlarge
from facegen.ops.consistency import downsample_area
from facegen.pipeline import FacePipeline

FOLDER = Path("docs/images")
LOW, SIDE, SHOWN = 96, 768, 288


def samples(pipeline: FacePipeline, seeds: list[int]) -> RGB:
    """Draw the faces of the seeds side by side, at half their size."""
    pictures = [to_rgb(pipeline.sample(seed, SIDE).image) for seed in seeds]
    return contact_sheet([resize(picture, (SIDE // 2, SIDE // 2)) for picture in pictures], columns=len(seeds))


def upscaled(pipeline: FacePipeline, portrait: Path) -> RGB:
    """Show a 96 px reduction enlarged by bicubic interpolation, upscaled by facegen, and the original."""
    real = to_tensor(read_image(portrait).rgb)
    low = downsample_area(real, (LOW, LOW))
    pictures = [to_rgb(image) for image in (enlarge(low[None], SIDE // LOW)[0], pipeline(low, SIDE).image, real)]
    return contact_sheet([resize(picture, (512, 512)) for picture in pictures], columns=3)


def presets(portrait: Path, names: Sequence[str] = ("fast", "portrait")) -> RGB:
    """Show a 96 px reduction, upscaled by each preset, and the original; below, close-ups of the left eye."""
    real = to_tensor(read_image(portrait).rgb)
    low = downsample_area(real, (LOW, LOW))
    pipelines = [FacePipeline.load(PIPELINES / f"{name}.toml") for name in names]
    blocks = F.interpolate(low[None], size=(SIDE, SIDE))[0]
    shown = [to_rgb(image) for image in (blocks, *(pipeline(low, SIDE).image for pipeline in pipelines), real)]
    whole, eyes = [resize(x, (SHOWN, SHOWN)) for x in shown], [x[240:, 120:][:SHOWN, :SHOWN] for x in shown]
    return contact_sheet([*whole, *eyes], columns=len(shown), labels=["input", *names, "original"] * 2)


def main() -> None:
    """Write docs/images/samples.jpg, upres.jpg and presets.jpg."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portrait", type=Path, required=True)
    parser.add_argument("--seeds", required=True, help="comma-separated")
    options = parser.parse_args()
    pipeline = FacePipeline.load()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    print(write_image(FOLDER / "samples.jpg", samples(pipeline, seeds)))
    print(write_image(FOLDER / "upres.jpg", upscaled(pipeline, options.portrait)))
    print(write_image(FOLDER / "presets.jpg", presets(options.portrait)))


if __name__ == "__main__":
    main()
