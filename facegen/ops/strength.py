"""How damaged a picture is, and what of it a picture without the damage must agree with.

The estimate is a quadratic regression on the picture's side and the strength of its differences at several distances.
Its coefficients, in strength.npz, are fitted by `python -m benchmarks.strength`.
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
from facegen.ops.degradation import blur

Array = NDArray[np.float64]
AVERAGED = 4.0
"""Pixels over which light and colours are averaged before they must agree, at strength 1."""
COEFFICIENTS = Path(__file__).with_suffix(".npz")
LATTICE = np.outer((1, -2, 1), (1, -2, 1)).astype(np.float32) / 4
"""Noise passes this kernel, edges hardly (Immerkaer, "Fast Noise Variance Estimation", 1996)."""
CELL = 16
"""Side of the squares whose noise is compared, in pixels: the quiet ones show it best."""
LEAST = 1e-4
"""Added before logarithms are taken; a fortieth of an 8-bit step."""
SEEN = 256
"""Side of the middle of a larger picture that is looked at."""
CLEAN = 0.2
"""Estimates below it count as none: so low are nine of ten undamaged portraits, which are to stay as they are."""


def strength_of(picture: Tensor, wanted: float | Literal["auto"]) -> float:
    """The strength wanted, or for "auto" the estimate for a (3, H, W) picture in [0, 1]."""
    return estimate_strength(to_rgb(picture)) if wanted == "auto" else wanted


def without_damage(image: Tensor, reference: Tensor, strength: float, *, pixel: float = 1.0) -> Tensor:
    """Clean an input of noise and blocks as a picture made from it shows it: only its light and colours remain.

    Args:
        image: (3, s*h, s*w) in [0, 1], the picture.
        reference: (3, h, w) in [0, 1], the input.
        strength: of the damage; 0 leaves the input as it is.
        pixel: side of a pixel of the input that was damaged, in pixels of the reference.
    Returns:
        (3, h, w): the picture, area-downsampled, with the input's averages.
    """
    if not strength:
        return reference
    shrunk = downsample_area(image, (reference.shape[-2], reference.shape[-1]))
    residual = np.asarray((reference - shrunk).permute(1, 2, 0).cpu().numpy(), np.float32)
    light = torch.from_numpy(blur(residual, AVERAGED * strength * pixel)).permute(2, 0, 1)
    return (shrunk + light.to(shrunk)).clamp(0, 1)


def undamaged(images: Tensor, references: Tensor, low_res: Tensor, strengths: Sequence[float]) -> Tensor:
    """Clean the references of B pictures, where there is damage.

    Args:
        images: (B, 3, s*H, s*W) in [0, 1].
        references: (B, 3, n*H, n*W), the inputs at a size that divides the pictures'.
        low_res: (B, 3, H, W), the inputs at the size that was damaged.
        strengths: of each input's damage.
    """
    pixel = references.shape[2] / low_res.shape[2]
    three = zip(images, references, strengths, strict=True)
    return torch.stack([without_damage(*one, pixel=pixel) for one in three]) if any(strengths) else references


def estimate_strength(picture: RGB) -> float:
    """Estimate the strength of a picture's damage, as `facegen.ops.damage.damage` takes it: 0 to 1.

    Args:
        picture: (H, W, 3), at the low-res size, both sides at least 16 px.
    """
    mean, spread, weights = _coefficients()
    values = (features(picture) - mean) / spread
    return float(to_strengths(expanded(values[None]) @ weights)[0])


def to_strengths(estimates: Array) -> Array:
    """Bring the regression's values to 0..1, and those of undamaged pictures to 0."""
    return np.where(estimates < CLEAN, 0, estimates.clip(max=1))


@cache
def _coefficients() -> tuple[Array, Array, Array]:
    with np.load(COEFFICIENTS) as found:
        return found["mean"], found["spread"], found["weights"]


def features(picture: RGB) -> Array:
    """(15,) logarithms: of the noise and of differences 1, 2 and 4 px apart, in luma and in colours; of the side."""
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
    """(N, F) to (N, 1 + F + F (F + 1) / 2): one, the values, and their products."""
    first, second = np.triu_indices(values.shape[1])
    return np.concatenate([np.ones((len(values), 1)), values, values[:, first] * values[:, second]], axis=1)
