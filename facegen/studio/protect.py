"""The brush: what it paints on a photo's preview becomes the mask of what is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facegen.arrays import RGB
from facegen.media.images import read_image, write_image
from facegen.studio.photos import Photo

PAINT = (255, 176, 59)
"""The brush's colour."""


def painted(photo: Photo, layers: Sequence[RGB], folder: Path) -> None:
    """Make a photo's mask of what was painted, or none if nothing was.

    Args:
        layers: (H, W, 4), transparent where nothing was painted.
        folder: for the mask's file.
    """
    opaque = [layer[..., 3] > 127 for layer in layers if layer.ndim == 3]
    if not any(layer.any() for layer in opaque):
        photo.mask = None
        return
    white = np.logical_or.reduce(opaque).astype(np.uint8) * 255
    photo.mask = write_image(folder / f"{photo.path.stem}-mask.png", np.repeat(white[..., None], 3, axis=2))


def to_paint_on(photo: Photo) -> dict[str, Any]:
    """Return what an editor shows: the preview, and what was painted on it before."""
    assert photo.preview is not None
    layers = []
    if photo.mask is not None:
        white = read_image(photo.mask).rgb[..., :1]
        layers = [np.concatenate([np.full((*white.shape[:2], 3), PAINT, np.uint8), white], axis=2)]
    return {"background": str(photo.preview), "layers": layers, "composite": None}
