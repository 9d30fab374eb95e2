"""What a picture is: what its file says, and what can be measured in it; the work of `facegen inspect`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facegen.errors import ImageError
from facegen.images import picture_facts, read_image
from facegen.ops.consistency import decibels, downsample_area
from facegen.ops.scoring import ScoreContext, laplacian
from facegen.ops.seams import SeamGauge, border_count, content_gauge, content_ratios, over_all, seam_gauge
from facegen.provenance import COMMAND_KEY, RECORD_KEY, Record, read_record
from facegen.tensors import to_tensor

_ROWS = 64
"""Rows of the source that are compared at a time."""


@dataclass(frozen=True)
class Agreement:
    """How near the area-downsampled picture is to its source."""

    scale: int
    psnr: float
    """dB; inf if they are equal."""
    largest: float
    """Largest difference, in steps of 255."""


@dataclass(frozen=True)
class Inspection:
    """What is known of one picture."""

    format: str
    width: int
    height: int
    command: str | None
    """The command that makes it; None in a foreign picture, as `record`."""
    record: Record | None
    source_type: str | None
    """IPTC's digital source type: "trainedAlgorithmicMedia"."""
    sharpness: float
    """Variance of the Laplacian of luma in [0, 1]; see `facegen.ops.scoring.laplacian`."""
    seams: SeamGauge | None
    """Measured here in a sample; of a photo as recorded, of the whole or over its heads. None if nothing is known."""
    content: SeamGauge | None
    """In a sample, what as many lines that are no borders measure; see `content_gauge`. None elsewhere."""
    agreement: Agreement | None
    """None if no source was given."""


def inspect_picture(path: Path, source: Path | None = None) -> Inspection:
    """Read a picture and measure it.

    Args:
        source: what it was made from, for the agreement.
    Raises:
        ImageError: if a file cannot be read, or the picture is not a whole number of times as large as the source.
    """
    facts = picture_facts(path)
    record = read_record(path) if RECORD_KEY in facts.text else None
    rgb = read_image(path, keep_profile=True).rgb
    seams, content = _seams(rgb, record) if record else (None, None)
    return Inspection(
        format=facts.format,
        width=rgb.shape[1],
        height=rgb.shape[0],
        command=facts.text.get(COMMAND_KEY),
        record=record,
        source_type=facts.source_type,
        sharpness=_sharpness(rgb),
        seams=seams,
        content=content,
        agreement=_agreement(path, rgb, source) if source else None,
    )


def _sharpness(rgb: NDArray[np.uint8]) -> float:
    if min(rgb.shape[:2]) < 3:
        return 0.0
    image = to_tensor(rgb)
    return float(laplacian(image[None, None], ScoreContext(image[None])))


def _seams(rgb: NDArray[np.uint8], record: Record) -> tuple[SeamGauge | None, SeamGauge | None]:
    """The gauge of the tiles' borders, and of other lines where it could be measured."""
    if record.seams or not record.raised:
        return record.seams, None
    plan = record.raised[0].plan.plan
    scale = rgb.shape[0] // plan.height
    if record.source is None and scale and rgb.shape[:2] == (scale * plan.height, scale * plan.width):
        image = to_tensor(rgb)
        return seam_gauge(image, plan), content_gauge(content_ratios(image, plan), border_count(plan))
    return over_all([raised.seams for raised in record.raised]), None


def _agreement(path: Path, rgb: NDArray[np.uint8], source: Path) -> Agreement:
    wanted = read_image(source, keep_profile=True).rgb
    (height, width), (tall, wide) = wanted.shape[:2], rgb.shape[:2]
    scale = tall // height
    if not scale or (tall, wide) != (scale * height, scale * width):
        raise ImageError(
            f"{path}: is {wide}x{tall}, not a whole number of times as large as {source}, {width}x{height}; "
            "choose the --source it was made from."
        )
    squares, largest = 0.0, 0.0
    for top in range(0, height, _ROWS):
        rows = wanted[top : top + _ROWS]
        shrunk = downsample_area(to_tensor(rgb[scale * top : scale * (top + len(rows))]), (len(rows), width))
        error = (shrunk - to_tensor(rows)).double()
        squares += float(error.square().sum())
        largest = max(largest, float(error.abs().max()))
    return Agreement(scale, decibels(squares / wanted.size), largest * 255)
