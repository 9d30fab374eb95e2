"""Two ways to restore one photo, side by side, with figures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from facegen.arrays import RGB
from facegen.canvas import back_project_photo, blank_canvas, enlarge, upscale_blocks
from facegen.evaluation.upscalers import Setting, load_upscalers
from facegen.faces.align import crop_head, frame_matrix, transform_points
from facegen.faces.detect import FoundHead, heads_in_photo
from facegen.faces.identity import identity_change
from facegen.faces.landmarks import Landmarks
from facegen.files import WEIGHTS
from facegen.media.images import read_image, write_image
from facegen.photo import PhotoOptions, restore_photo
from facegen.recipe import assignment
from facegen.sizes import photo_scale
from facegen.studio.photos import SHOWN, fitted
from facegen.studio.upscalers import LANCZOS, kind_of
from facegen.studio.work import Job, Studio

HEAD = ("", "Seams", "Agreement", "Identity")
BLOCK = 128
"""Side of the blocks in which upscalers other than the J-net get a photo, in its pixels."""
Report = Callable[[int, int], None]
"""Is called with the number of tiles or blocks done, and of all."""


class Way(Protocol):
    """Restores a photo at a scale; returns the result and its seams as text, "" if it has none."""

    def __call__(self, rgb: RGB, heads: Sequence[FoundHead], scale: int, report: Report) -> tuple[RGB, str]: ...


@dataclass(frozen=True)
class Side:
    """A way to restore: `LANCZOS`, a preset, shipped weights, or weights that were dropped."""

    name: str
    fidelity: float = 1.0
    """Used by presets and J-nets only."""
    dropped: Path | None = None


@dataclass(frozen=True)
class Compared:
    """Two results of the same size, and a row of figures for each."""

    pair: tuple[Path, Path]
    rows: Sequence[tuple[str, ...]]
    """Cells in the order of `HEAD`."""


def compare(studio: Studio, job: Job, photo: Path, sides: Sequence[Side]) -> Compared:
    """Restore a photo in two ways at the scale of its largest head; presets enlarge its background by Lanczos."""
    job.report(0, "Looking for faces")
    rgb = read_image(photo).rgb
    heads = heads_in_photo(rgb)
    scale = photo_scale([head.frame for head in heads], rgb.shape[0] * rgb.shape[1])
    folder, paths, rows = studio.new_folder(), [], []
    for number, side in enumerate(sides):
        label, way = _way(studio, side)
        made, seams = way(rgb, heads, scale, partial(_report, job, number / len(sides), 1 / len(sides), label))
        job.report((number + 1) / len(sides), "Figures")
        rows.append((label, seams, _agreement(made, rgb), _identity(rgb, made, heads, scale)))
        paths.append(write_image(folder / f"{'ab'[number]}.jpg", fitted(made, SHOWN)))
    return Compared((paths[0], paths[1]), rows)


def _report(job: Job, start: float, span: float, label: str, done: int, of: int) -> None:
    job.report(start + span * done / of, f"{label} · {done} of {of}")


def _way(studio: Studio, side: Side) -> tuple[str, Way]:
    """Return the name of a side for the table, and its way to restore."""
    if side.name == LANCZOS:
        return LANCZOS, _enlarged
    fidelity = f"fidelity={json.dumps(side.fidelity)}"
    if side.name in studio.recipes:
        pipeline = studio.pipeline(side.name, (fidelity,))
    else:
        weights = side.dropped or WEIGHTS / side.name
        if weights.is_file() or kind_of(weights) != "jnet":
            return side.name, _by_network(str(weights), studio.device)
        named = assignment("weights.upscaler", str(weights))
        pipeline = studio.pipeline(studio.recipe, (fidelity, named))

    def way(rgb: RGB, heads: Sequence[FoundHead], scale: int, report: Report) -> tuple[RGB, str]:
        pipeline.progress = report
        try:
            done = restore_photo(pipeline, rgb, PhotoOptions(scale=scale), known=[head.frame for head in heads])
        finally:
            pipeline.progress = None
        return done.rgb, "" if done.seams is None else f"{done.seams.mean:.2f}"

    return f"{side.name}, fidelity {side.fidelity:g}", way


def _enlarged(rgb: RGB, heads: Sequence[FoundHead], scale: int, report: Report) -> tuple[RGB, str]:
    canvas = blank_canvas(scale * rgb.shape[0], scale * rgb.shape[1], np.uint8)
    enlarge(canvas, rgb)
    return canvas, ""


def _by_network(source: str, device: str) -> Way:
    """Upscale the whole photo by an SRGAN, a U-net or a published file."""

    def way(rgb: RGB, heads: Sequence[FoundHead], scale: int, report: Report) -> tuple[RGB, str]:
        (upscaler,) = load_upscalers([source], Setting(scale, device=device))
        canvas = blank_canvas(scale * rgb.shape[0], scale * rgb.shape[1], np.uint8)
        upscale_blocks(canvas, rgb, lambda block: upscaler.upscale_to(block, scale), BLOCK, report)
        return canvas, ""

    return way


def _agreement(made: RGB, rgb: RGB) -> str:
    _, fit = back_project_photo(made, rgb, 0, damaged=True)  # fidelity 0 only compares
    return "exact" if math.isinf(fit) else f"{fit:.1f} dB"


def _identity(before: RGB, after: RGB, heads: Sequence[FoundHead], scale: int) -> str:
    """Return the distance of the largest face to the original as text; "" without a face that has landmarks."""
    for head in heads:
        if head.landmarks is not None:
            side = round(head.frame.side)
            points = transform_points(head.landmarks, frame_matrix(head.frame, side))
            low_res = crop_head(before, head.frame, side)
            upscaled = crop_head(after, head.frame.scaled(scale), scale * side)
            change = identity_change(low_res, upscaled, Landmarks(points, detected=True))
            return "" if change is None else f"{change:.2f}"
    return ""
