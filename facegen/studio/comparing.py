"""Two ways to restore one photo, side by side, with figures."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facegen.arrays import RGB
from facegen.faces.detect import FoundHead, heads_in_photo
from facegen.faces.identity import identity, identity_distance
from facegen.faces.landmarks import Landmarks
from facegen.media.images import read_image, resize, write_image
from facegen.photo import PhotoOptions, restore_photo
from facegen.sizes import photo_scale
from facegen.studio.photos import SHOWN, fitted
from facegen.studio.work import Job, Studio

LANCZOS = "lanczos"
"""The side that is merely enlarged."""
HEAD = ("", "Seams", "Agreement", "Identity")


@dataclass(frozen=True)
class Side:
    """One way to restore: a preset and a fidelity, or `LANCZOS`."""

    preset: str
    fidelity: float = 1.0


@dataclass(frozen=True)
class Compared:
    """Two results of one size, and a row of figures for each."""

    pair: tuple[Path, Path]
    rows: Sequence[tuple[str, ...]]
    """In the order of `HEAD`."""


def compare(studio: Studio, job: Job, photo: Path, sides: Sequence[Side]) -> Compared:
    """Restore a photo in two ways at the scale of its largest head, without its background."""
    rgb = read_image(photo).rgb
    heads = heads_in_photo(rgb)
    scale = photo_scale([head.frame for head in heads])
    folder, paths, rows = studio.new_folder(), [], []
    for number, side in enumerate(sides):
        made, row = _restored(studio, job, rgb, scale, side, number / len(sides), 1 / len(sides))
        name = side.preset if side.preset == LANCZOS else f"{side.preset}, fidelity {side.fidelity:g}"
        rows.append((name, *row, _identity(rgb, made, heads, scale)))
        paths.append(write_image(folder / f"{'ab'[number]}.jpg", fitted(made, SHOWN)))
    return Compared((paths[0], paths[1]), rows)


def _restored(
    studio: Studio, job: Job, rgb: RGB, scale: int, side: Side, start: float, span: float
) -> tuple[RGB, tuple[str, str]]:
    """The result, and its seams and agreement as text."""
    if side.preset == LANCZOS:
        job.tell(start, "Lanczos")
        return resize(rgb, (scale * rgb.shape[1], scale * rgb.shape[0])), ("", "")
    pipeline = studio.pipeline(side.preset, (f"fidelity={json.dumps(side.fidelity)}",))
    pipeline.progress = lambda done, of: job.tell(start + span * done / of, f"{side.preset} · {done} of {of} tiles")
    try:
        done = restore_photo(pipeline, rgb, PhotoOptions(scale=scale))
    finally:
        pipeline.progress = None
    agreement = "exact" if math.isinf(done.fit) else f"{done.fit:.1f} dB"
    return done.rgb, ("" if done.seams is None else f"{done.seams.mean:.2f}", agreement)


def _identity(before: RGB, after: RGB, heads: Sequence[FoundHead], scale: int) -> str:
    """How far the largest face has moved from its person, as text; empty if there is none with landmarks."""
    points = next((head.landmarks for head in heads if head.landmarks is not None), None)
    if points is None:
        return ""
    landmarks = Landmarks(points.astype(np.float64), detected=True)
    seen, made = identity(before, landmarks), identity(after, landmarks.scaled(scale))
    return f"{identity_distance(seen, made):.2f}"
