"""Estimate the strength of a picture's damage, and remove the damage from references.

The estimate is a quadratic regression on the picture's side, and on its noise and differences at several distances.
`python -m benchmarks.strength` fits its coefficients, which are in strength.npz.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facegen.arrays import RGB, to_rgb
from facegen.ops.consistency import downsample_area
from facegen.ops.damage import blur

Array = NDArray[np.float64]
AVERAGED = 4.0
"""Standard deviation in pixels of the blur with which light and colours must agree, at strength 1."""
COEFFICIENTS = Path(__file__).with_suffix(".npz")
LATTICE = np.outer((1, -2, 1), (1, -2, 1)).astype(np.float32) / 4
"""A kernel that passes noise and suppresses edges (Immerkaer, "Fast Noise Variance Estimation", 1996)."""
CELL = 16
"""Side of the squares in which noise is measured, in pixels; smooth ones show it best."""
LEAST = 1e-4
"""Added before the logarithm; a fortieth of an 8-bit step."""
SEEN = 256
"""Side of the middle part of a larger picture that is measured."""
CLEAN = 0.2
"""Smaller estimates become 0; so do those of nine in ten undamaged portraits."""


def strength_of(picture: Tensor, wanted: float | Literal["auto"]) -> float:
    """Return the strength wanted, or for "auto" the estimate for a (3, H, W) picture in [0, 1]."""
    return estimate_strength(to_rgb(picture)) if wanted == "auto" else wanted


def without_damage(image: Tensor, reference: Tensor, strength: float, *, pixel: float = 1.0) -> Tensor:
    """Replace the fine detail of a damaged input by that of its upscaled picture; light and colours stay.

    Args:
        image: (3, s*h, s*w) in [0, 1], the upscaled picture.
        reference: (3, h, w) in [0, 1], the input.
        strength: of the damage; 0 returns the input.
        pixel: side of a pixel of the damaged input, in pixels of the reference.
    Returns:
        (3, h, w): the area-downsampled picture with the local averages of the input.
    """
    if not strength:
        return reference
    shrunk = downsample_area(image, (reference.shape[-2], reference.shape[-1]))
    residual = np.asarray((reference - shrunk).permute(1, 2, 0).cpu().numpy(), np.float32)
    light = torch.from_numpy(blur(residual, AVERAGED * strength * pixel)).permute(2, 0, 1)
    return (shrunk + light.to(shrunk)).clamp(0, 1)


def undamaged(images: Tensor, references: Tensor, low_res: Tensor, strengths: Sequence[float]) -> Tensor:
    """Apply `without_damage` to the references of B pictures.

    Args:
        images: (B, 3, s*H, s*W) in [0, 1].
        references: (B, 3, n*H, n*W), the inputs, where n divides s.
        low_res: (B, 3, H, W), the inputs at the size at which they are damaged.
        strengths: of the damage of each input.
    """
    if not any(strengths):
        return references
    pixel = references.shape[2] / low_res.shape[2]
    rows = zip(images, references, strengths, strict=True)
    return torch.stack([without_damage(*row, pixel=pixel) for row in rows])


def estimate_strength(picture: RGB) -> float:
    """Estimate the strength of a picture's damage, 0 to 1, as in `facegen.ops.damage.damage`.

    Args:
        picture: (H, W, 3), at the low-res size, both sides at least 16 px.
    """
    mean, spread, weights = _coefficients()
    values = (features(picture) - mean) / spread
    return float(to_strengths(expanded(values[None]) @ weights)[0])


def to_strengths(estimates: Array) -> Array:
    """Clip the values of the regression to 0..1, and set those of undamaged pictures to 0."""
    return np.where(estimates < CLEAN, 0, estimates.clip(max=1))


@cache
def _coefficients() -> tuple[Array, Array, Array]:
    with np.load(COEFFICIENTS) as found:
        return found["mean"], found["spread"], found["weights"]


def features(picture: RGB) -> Array:
    """Compute (15,) logarithms: of noise and of differences at 1, 2 and 4 px in luma and in chroma, and of the side."""
    top, left = (max(side - SEEN, 0) // 2 for side in picture.shape[:2])
    middle = np.ascontiguousarray(picture[top : top + SEEN, left : left + SEEN])
    planes = np.asarray(cv2.cvtColor(middle.astype(np.float32) / 255, cv2.COLOR_RGB2YCrCb), np.float32)
    strengths = np.concatenate([_strengths(planes[..., :1]), _strengths(planes[..., 1:])]) + LEAST
    return np.log([*strengths, min(middle.shape[:2])])


def _strengths(planes: NDArray[np.float32]) -> Array:
    noise = np.abs(cv2.filter2D(planes, -1, LATTICE, borderType=cv2.BORDER_REFLECT_101))
    noise = noise.reshape(*planes.shape[:2], -1).mean(axis=2)
    rows, columns = (side // CELL for side in noise.shape)
    cells = noise[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL).mean(axis=(1, 3))
    apart = [np.abs(planes[:, n:] - planes[:, :-n]).mean() + np.abs(planes[n:] - planes[:-n]).mean() for n in (1, 2, 4)]
    quiet, loud = np.quantile(cells, (0.1, 0.9))
    return np.array([noise.mean(), np.median(noise), quiet, loud, *apart], np.float64)


def expanded(values: Array) -> Array:
    """Expand (N, F) values to (N, 1 + F + F (F + 1) / 2): one, the values, and their products."""
    first, second = np.triu_indices(values.shape[1])
    return np.concatenate([np.ones((len(values), 1)), values, values[:, first] * values[:, second]], axis=1)
