"""Measures crops, in several processes if asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray

from facegen.data.clean.detectors import PICTURE_WISE
from facegen.data.clean.view import View, look
from facegen.data.cutting import sharpness
from facegen.faces.identity import identity
from facegen.faces.landmarks import Landmarks, landmarks_in_head
from facegen.files import sha256_of
from facegen.jobs import Outcome, Task
from facegen.media.images import read_image, to_pillow

HASH_SIDE = 16
"""The perceptual hash has so many bits a side: 256 in all."""
Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Measured(Outcome):
    """What was measured of a crop."""

    sha256: str = ""
    """Of its file."""
    size: int = 0
    """Its side in pixels."""
    sharpness: float = 0
    """See facegen.data.cutting."""
    landmarks: Points = ()
    """dlib's 68, in pixels of the crop."""
    measures: dict[str, float] = field(default_factory=dict)
    """One for each of `PICTURE_WISE`."""
    hashed: NDArray[np.uint8] | None = None
    """(32,): the bits of its perceptual hash."""


@dataclass(frozen=True)
class Embedded(Outcome):
    """Whose face a crop shows."""

    embedding: NDArray[np.float64] | None = None
    """(128,), see facegen.faces.identity."""


@dataclass(frozen=True)
class CropMeasurer:
    """Reads a crop and measures it."""

    known: Mapping[Path, Points]
    """Landmarks that need not be found again, by file."""

    def __call__(self, task: Task) -> Measured:
        rgb = read_image(task.source).rgb
        points = _points(rgb, self.known.get(task.source, ()))
        view = look(rgb, points)
        return Measured(
            task.source,
            sha256=sha256_of(task.source),
            size=len(rgb),
            sharpness=sharpness(rgb),
            landmarks=tuple((round(x, 2), round(y, 2)) for x, y in points.tolist()),
            measures={name: float(f"{measure(view):.5g}") for name, measure in PICTURE_WISE.items()},
            hashed=perceptual_hash(view),
        )


@dataclass(frozen=True)
class CropEmbedder:
    """Reads a crop and says whose face it shows."""

    known: Mapping[Path, Points]
    """Landmarks by file, of every crop."""

    def __call__(self, task: Task) -> Embedded:
        rgb = read_image(task.source).rgb
        view = look(rgb, _points(rgb, self.known[task.source]))
        return Embedded(task.source, embedding=identity(view.rgb, Landmarks(view.points, True)))


def perceptual_hash(view: View) -> NDArray[np.uint8]:
    """The signs of the lowest 16 x 16 cosine components of the crop's luma (imagehash.phash), packed into (32,)."""
    return np.packbits(imagehash.phash(to_pillow(view.rgb), hash_size=HASH_SIDE).hash)


def _points(rgb: NDArray[np.uint8], known: Points) -> NDArray[np.float64]:
    return np.array(known, dtype=np.float64) if len(known) == 68 else landmarks_in_head(rgb).points
