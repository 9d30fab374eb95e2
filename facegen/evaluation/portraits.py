"""Stage 2: kept-out portraits, reduced and upscaled again, beside bicubic and Lanczos enlargement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch.nn.functional as F

from facegen.arrays import to_picture, to_tensor
from facegen.errors import ImageError, UsageError
from facegen.evaluation.measuring import NAMES, ORIGINAL, Picture, Portrait, PortraitMeter, read_portrait
from facegen.evaluation.result import Evaluation, Report, Sheet
from facegen.media.images import resize
from facegen.media.sheets import contact_sheet
from facegen.metrics.protocol import Figure, ratio
from facegen.metrics.published import PairDistance
from facegen.ops.consistency import downsample_area
from facegen.pipeline import FacePipeline

LOW = 96
"""Side, in pixels, that portraits are reduced to."""
OURS, BICUBIC, LANCZOS, RATIO = "facegen", "bicubic", "lanczos", "to bicubic"
COLUMNS = (OURS, BICUBIC, LANCZOS, ORIGINAL, RATIO)
LEGEND = (
    f"Columns: what {OURS} made of the reduced portraits; {BICUBIC} and {LANCZOS}: the same enlarged by interpolation; "
    f"{ORIGINAL}: the portraits before reduction; {RATIO}: {OURS} over {BICUBIC}."
)
SHOWN, SHOWN_SIDE = 12, 320
RELATIVE = tuple(NAMES[key][0] for key in ("features", "lpips", "patches", "identity", "landmarks"))
"""Names of figures whose ratio to bicubic's is given."""


def evaluate_portraits(
    pipeline: FacePipeline, files: Sequence[Path], split: str, report: Report, lpips: PairDistance | None = None
) -> Evaluation:
    """Measure the pipeline on aligned portraits.

    Args:
        files: portraits of at least 96 px times the pipeline's scale; others are passed over and reported.
        split: how they were chosen, for the protocol.
        lpips: measures LPIPS; without it there is none.
    Raises:
        UsageError: if fewer than two can be used.
    """
    meter = PortraitMeter(pipeline.device, lpips)
    shown: list[Picture] = []
    for number, file in enumerate(files, start=1):
        report(f"portrait {number} of {len(files)}: {file.name}")
        try:
            portrait = _upscale(pipeline, file)
        except ImageError as error:
            report(str(error))
            continue
        meter.add(portrait)
        if meter.count <= SHOWN:
            pictures = (portrait.results[BICUBIC], portrait.results[OURS], portrait.original)
            shown += [resize(picture, (SHOWN_SIDE, SHOWN_SIDE)) for picture in pictures]
    if meter.count < 2:
        raise UsageError(f"{meter.count} of {len(files)} portraits could be used, expected at least 2; give more.")
    how = f"{LOW} px by area mean, 8 bits, upscaled to {LOW * pipeline.scale} px"
    figures = tuple(_with_ratio(figure) for figure in meter.figures(how, split))
    sheet = Sheet("Bicubic, facegen, original", contact_sheet(shown, columns=6))
    return Evaluation("Portraits upscaled by stage 2", COLUMNS, figures, (sheet,), {}, LEGEND)


def _upscale(pipeline: FacePipeline, file: Path) -> Portrait:
    """Reduce a portrait, and upscale it in every way.

    Raises:
        ImageError: if it cannot be read, is not square, or is too small.
    """
    side = LOW * pipeline.scale
    original = read_portrait(file, side)
    low_rgb = to_picture(downsample_area(to_tensor(original), (LOW, LOW)))
    low = to_tensor(low_rgb)
    upscaled = pipeline(low, side)
    bicubic = F.interpolate(low[None], size=(side, side), mode="bicubic", align_corners=False)[0]
    results = {
        OURS: to_picture(upscaled.image),
        BICUBIC: to_picture(bicubic),
        LANCZOS: resize(low_rgb, (side, side)),
    }
    return Portrait(low, original, results, upscaled.plan)


def _with_ratio(figure: Figure) -> Figure:
    """The figure with ours over bicubic's, if it is one of `RELATIVE`."""
    ours, bicubic = figure.values[OURS], figure.values[BICUBIC]
    if figure.name not in RELATIVE or ours is None or bicubic is None:
        return figure
    return replace(figure, values={**figure.values, RATIO: ratio(ours, bicubic)})
