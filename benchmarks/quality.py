"""The quality of samples and upscaled portraits: faces found, agreement with the input, seams.

    python -m benchmarks.quality --data ../shared/data/portraits768 [--seeds 64] [--portraits 20] [--sheet sheet.png]

Samples: the share of seeds in whose 768 px picture dlib finds a face. Portraits: held-out ones (by the rule of
facegen.data.split, 60 held out), reduced to 96 px by area and upscaled to 768 px; fit to the low-res input in dB, and
the seam gauge. PSNR and the distance in EfficientNet-Lite2 features, a network that no training used, are compared with
bicubic enlargement's; both pictures are rounded to 8 bits, as in files.

A hair or an eyelid on a border increases the gauge of its line as a seam would. So as many lines of the same pictures
are measured that are no tile's border.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from facegen.arrays import RGB, to_rgb, to_tensor
from facegen.candidates import Upscaled
from facegen.data.split import split
from facegen.evaluation.metrics import feature_distance, psnr
from facegen.faces.landmarks import faces_in_photo
from facegen.media.images import find_pictures, read_image, resize, write_image
from facegen.media.sheets import contact_sheet
from facegen.models.efficientnet import load_efficientnet
from facegen.models.jnet import enlarge
from facegen.ops.consistency import downsample_area, low_res_psnr
from facegen.ops.seams import SeamGauge, border_count, content_gauge, content_ratios, over_all, seam_gauge
from facegen.pipeline import DEFAULT_RECIPE, FacePipeline

HELD_OUT, LOW, SIDE = 60, 96, 768


@dataclass
class Agreement:
    """Fit to the low-res pictures, and seams, over all pictures so far."""

    fits: list[float] = field(default_factory=list)
    seams: list[SeamGauge] = field(default_factory=list)
    content: list[float] = field(default_factory=list)
    borders: int = 0

    def add(self, upscaled: Upscaled, low: Tensor) -> None:
        """Compare a picture with its low-res one, (3, h, w)."""
        self.fits.append(low_res_psnr(upscaled.image, low))
        self.seams.append(seam_gauge(upscaled.image, upscaled.plan))
        self.content += content_ratios(upscaled.image, upscaled.plan)
        self.borders += border_count(upscaled.plan)

    def rows(self) -> list[tuple[str, str]]:
        """The fits, and the gauges at the tiles' borders and at as many other lines."""
        other = content_gauge(self.content, self.borders)
        gauges = {"seam gauge": over_all(self.seams), "at as many other lines": other}
        fit = f"{min(self.fits):.1f} / {statistics.median(self.fits):.1f} dB"
        return [("fit to the low-res picture, lowest / median", fit)] + [
            (f"{name}, mean / worst line", f"{gauge.mean:.3f} / {gauge.max:.3f}") for name, gauge in gauges.items()
        ]


def sample_rows(pipeline: FacePipeline, seeds: int) -> tuple[list[tuple[str, str]], list[RGB]]:
    """Draw the seeds: how many have a face, fit, and seams; also returns small pictures."""
    found, agreement, pictures = 0, Agreement(), []
    for seed in track(range(seeds), "samples"):
        upscaled = pipeline.sample(seed, SIDE)
        picture = to_rgb(upscaled.image)
        found += bool(faces_in_photo(picture))
        agreement.add(upscaled, upscaled.reference)
        pictures.append(resize(picture, (192, 192)))
    return [("samples with a face", f"{found} of {seeds}"), *agreement.rows()], pictures


def portrait_rows(pipeline: FacePipeline, files: list[Path]) -> tuple[list[tuple[str, str]], list[RGB]]:
    """Upscale reductions of held-out portraits: fit, seams, and distances beside bicubic's; also small pictures."""
    network, agreement = load_efficientnet("lite2"), Agreement()
    figures, pictures = [], []
    for file in track(files, "portraits"):
        real = to_tensor(read_image(file).rgb)
        low = downsample_area(real, (LOW, LOW))
        upscaled = pipeline(low, SIDE)
        agreement.add(upscaled, low)
        both = [to_tensor(to_rgb(image)) for image in (upscaled.image, enlarge(low[None], SIDE // LOW)[0])]
        figures.append([(psnr(image, real), feature_distance(network, image, real)) for image in both])
        pictures += [resize(to_rgb(image), (256, 256)) for image in (both[1], both[0], real)]
    (quality, distance), (peer_quality, peer_distance) = np.mean(figures, axis=0)
    rows = [
        *agreement.rows(),
        ("PSNR, ours / bicubic", f"{quality:.2f} / {peer_quality:.2f} dB"),
        ("Lite2 feature distance, ours / bicubic", f"{distance / peer_distance:.3f}"),
    ]
    return rows, pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of 768 px aligned portraits")
    parser.add_argument("--seeds", type=int, default=64)
    parser.add_argument("--portraits", type=int, default=20)
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--sheet", type=Path, help="write sheets of the pictures here")
    options = parser.parse_args()
    pipeline = FacePipeline.load(options.recipe, options.overrides)
    _, held_out = split(find_pictures([options.data]), HELD_OUT)
    measured = {
        "samples": sample_rows(pipeline, options.seeds),
        "portraits": portrait_rows(pipeline, held_out[: options.portraits]),
    }
    for name, (rows, pictures) in measured.items():
        table = Table(name, "")
        for row in rows:
            table.add_row(*row)
        Console().print(table)
        if options.sheet:
            sheet = contact_sheet(pictures, columns=6 if name == "portraits" else None)
            write_image(options.sheet.with_stem(f"{options.sheet.stem}-{name}"), sheet)


if __name__ == "__main__":
    main()
