"""How an upscaled picture compares with the original it was reduced from; pictures are (3, H, W) in [0, 1]."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from facegen.errors import ShapeError
from facegen.models.efficientnet import EfficientNetLite
from facegen.ops.color import luma
from facegen.ops.consistency import decibels

_ROUNDING = 1 / (12 * 255**2)
"""Variance of rounding to 8 bits: spectral energies below it are no picture's."""
NEIGHBOUR_LINES = range(3, 13)
"""Distance, in lines of the spectrum, of those that the Nyquist line is compared with."""


def psnr(image: Tensor, original: Tensor) -> float:
    """Peak signal-to-noise ratio over all RGB values, in dB; inf if they are equal."""
    _check("psnr", image, original)
    return decibels((image - original).double().square().mean().item())


def ssim(image: Tensor, original: Tensor) -> float:
    """Structural similarity of the luma (Wang et al. 2004: Gaussian window, sigma 1.5); 1 if they are equal."""
    from skimage.metrics import structural_similarity

    _check("ssim", image, original)
    planes = [luma(x).double().cpu().numpy() for x in (image, original)]
    options = {"data_range": 1.0, "gaussian_weights": True, "use_sample_covariance": False}
    return float(structural_similarity(*planes, **options))  # type: ignore[no-untyped-call]


def feature_distance(network: EfficientNetLite, image: Tensor, original: Tensor) -> float:
    """How far two pictures' feature maps are apart; see `map_distance`."""
    _check("feature_distance", image, original)
    return map_distance(feature_maps(network, image), feature_maps(network, original))


def feature_maps(network: EfficientNetLite, image: Tensor) -> list[Tensor]:
    """The network's maps of one picture, every pixel's channels normalised: (1, C, h, w) each."""
    with torch.inference_mode():
        return [F.normalize(x, dim=1) for x in network(image[None] * 2 - 1)]


def map_distance(maps: list[Tensor], originals: list[Tensor]) -> float:
    """Squared distance of normalised feature maps, averaged over pixels, summed over maps (Zhang et al. 2018).

    It is LPIPS with equal weights on another network, so not comparable with LPIPS.
    """
    pairs = zip(maps, originals, strict=True)
    return sum((x - y).square().sum(1).mean().item() for x, y in pairs)


def detail(image: Tensor, original: Tensor, scale: int) -> float:
    """log10 of the energy above the low-res Nyquist frequency, the picture's over the original's; 0 is equal.

    Below 0 the picture is too smooth, above 0 too rough. The frequency is 1 / (2 scale) cycles per pixel; what exceeds
    it along either axis counts, in the luma under a Hann window.
    """
    _check("detail", image, original)
    energies = [_energy_above(_spectrum(x), 0.5 / scale) for x in (image, original)]
    return math.log10(energies[0] / energies[1])


def nyquist_peak(image: Tensor) -> float:
    """Energy at the Nyquist frequency over that of the lines beside it in the spectrum; well above 1 is a checkerboard.

    Transposed convolutions of stride 2 leave such a pattern (Odena et al. 2016). Rows and columns are measured apart
    and the larger ratio is returned.
    """
    ratios = []
    for line in _lines(image):
        middle = len(line) // 2
        beside = [line[middle - step] for step in NEIGHBOUR_LINES if step < middle]
        ratios.append(float(line[middle] / np.mean(beside)))
    return max(ratios)


def nyquist_energy(image: Tensor, original: Tensor) -> float:
    """Energy at the Nyquist frequency over the original's, along the axis where that is more.

    A peak, see `nyquist_peak`, is a checkerboard that shows only where this is not far below 1.

    Args:
        image, original: (3, H, W) in [0, 1].
    Raises:
        ShapeError: if they are not of one such shape.
    """
    _check("nyquist_energy", image, original)
    pairs = zip(_lines(image), _lines(original), strict=True)
    return max(float(line[len(line) // 2] / true[len(true) // 2]) for line, true in pairs)


def _lines(image: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean energy by frequency along the columns, (H,), and along the rows, (W,); sides cut to even numbers."""
    spectrum = _spectrum(image)
    return spectrum.mean(axis=1) + _ROUNDING, spectrum.mean(axis=0) + _ROUNDING


def _spectrum(image: Tensor) -> NDArray[np.float64]:
    """Power of the luma's Fourier transform under a Hann window: (H, W); white noise gives its variance everywhere.

    Sides are cut to even numbers, so that there is a line at the Nyquist frequency.
    """
    plane = luma(image).double().cpu().numpy()
    plane = plane[: plane.shape[0] // 2 * 2, : plane.shape[1] // 2 * 2]
    window = np.outer(*(np.hanning(side + 1)[:-1] for side in plane.shape))
    return np.asarray(np.abs(np.fft.fft2((plane - plane.mean()) * window)) ** 2 / np.square(window).sum())


def _energy_above(spectrum: NDArray[np.float64], frequency: float) -> float:
    """Mean power where either frequency, in cycles per pixel, exceeds the one given."""
    down, right = (np.abs(np.fft.fftfreq(side)) for side in spectrum.shape)
    high = (down[:, None] > frequency) | (right[None, :] > frequency)
    return float(spectrum[high].mean()) + _ROUNDING


def landmark_error(found: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    """Mean distance of 68 points over the distance between the eyes' outer corners (Sagonas et al. 2013, 300-W).

    Args:
        found, true: (68, 2) points (x, y), in iBUG 300-W's order.
    Raises:
        ShapeError: if the points are not (68, 2).
    """
    if found.shape != (68, 2) or true.shape != (68, 2):
        raise ShapeError(f"landmark_error: points have shapes {found.shape} and {true.shape}, expected (68, 2).")
    between_eyes = np.linalg.norm(true[36] - true[45])
    return float(np.linalg.norm(found - true, axis=1).mean() / between_eyes)


def _check(caller: str, image: Tensor, original: Tensor) -> None:
    if image.ndim != 3 or image.shape[0] != 3 or image.shape != original.shape:
        raise ShapeError(f"{caller}: pictures have shapes {tuple(image.shape)} and {tuple(original.shape)}, "
                         "expected (3, H, W) twice.")  # fmt: skip
