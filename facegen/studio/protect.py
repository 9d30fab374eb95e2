"""The brush: painted areas of a photo's preview become its mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facegen.arrays import RGB
from facegen.media.images import read_image, write_image
from facegen.studio.photos import Photo

PAINT = (255, 176, 59)
"""The brush's colour."""


def set_mask(photo: Photo, layers: Sequence[RGB]) -> None:
    """Write a photo's mask next to its preview, or remove it if nothing is painted.

    Args:
        layers: (H, W, 4) each, transparent where nothing is painted.
    """
    assert photo.preview is not None
    opaque = [layer[..., 3] > 127 for layer in layers if layer.ndim == 3]
    if not any(layer.any() for layer in opaque):
        photo.mask = None
        return
    white = np.logical_or.reduce(opaque).astype(np.uint8) * 255
    path = photo.preview.with_name(f"{photo.path.stem}-mask.png")
    photo.mask = write_image(path, np.repeat(white[..., None], 3, axis=2))


def editor_value(photo: Photo) -> dict[str, Any]:
    """Return the value of the editor: the preview, and its mask as a painted layer."""
    assert photo.preview is not None
    layers = []
    if photo.mask is not None:
        white = read_image(photo.mask).rgb[..., :1]
        layers = [np.concatenate([np.full((*white.shape[:2], 3), PAINT, np.uint8), white], axis=2)]
    return {"background": str(photo.preview), "layers": layers, "composite": None}
