"""Metrics of an upscaled image against its original, and distances between two sets of pictures.

Images are (3, H, W) in [0, 1]. Sets are features, (N, D) float64, in any order of rows.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from facegen.errors import ShapeError, UsageError
from facegen.evaluation.features import Features
from facegen.models.efficientnet import EfficientNetLite
from facegen.ops.color import luma
from facegen.ops.consistency import decibels

_ROUNDING = 1 / (12 * 255**2)
"""Variance of rounding to 8 bits; spectral energy below it is noise."""
NEIGHBOUR_LINES = range(3, 13)
"""The Nyquist line is compared with the lines of the spectrum at these distances from it."""


def psnr(image: Tensor, original: Tensor) -> float:
    """Measure the peak signal-to-noise ratio over all RGB values, in dB; inf if they are equal."""
    _check_pair("psnr", image, original)
    return decibels((image - original).cpu().double().square().mean().item())


def ssim(image: Tensor, original: Tensor) -> float:
    """Measure the structural similarity of the luma (Wang et al. 2004: Gaussian window, sigma 1.5); 1 if equal."""
    from skimage.metrics import structural_similarity

    _check_pair("ssim", image, original)
    planes = [luma(x).cpu().double().numpy() for x in (image, original)]
    options = {"data_range": 1.0, "gaussian_weights": True, "use_sample_covariance": False}
    return float(structural_similarity(*planes, **options))  # type: ignore[no-untyped-call]


def feature_distance(network: EfficientNetLite, image: Tensor, original: Tensor) -> float:
    """Measure the distance of two images' feature maps; see `map_distance`."""
    _check_pair("feature_distance", image, original)
    return map_distance(feature_maps(network, image), feature_maps(network, original))


def feature_maps(network: EfficientNetLite, image: Tensor) -> list[Tensor]:
    """Compute the network's maps of one image, the channels of every pixel normalised: (1, C, h, w) each."""
    with torch.inference_mode():
        return [F.normalize(x, dim=1) for x in network(image[None] * 2 - 1)]


def map_distance(maps: list[Tensor], originals: list[Tensor]) -> float:
    """Average the squared distance of normalised maps over pixels, and sum it over maps (Zhang et al. 2018).

    It is LPIPS with equal weights on another network, so it is not comparable with LPIPS.
    """
    pairs = zip(maps, originals, strict=True)
    return sum((x - y).square().sum(1).mean().item() for x, y in pairs)


def detail(image: Tensor, original: Tensor, scale: int) -> float:
    """Compare the energy above the low-res Nyquist frequency with the original's: log10 of the quotient.

    Below 0 the image is too smooth, above 0 too rough. The frequency is 1 / (2 scale) cycles per pixel; energy above
    it along either axis counts.
    """
    _check_pair("detail", image, original)
    spectra = [_spectrum(x) for x in (image, original)]
    down, right = (np.abs(np.fft.fftfreq(side)) for side in spectra[0].shape)
    high = (down[:, None] > 0.5 / scale) | (right[None, :] > 0.5 / scale)
    energies = [float(spectrum[high].mean()) + _ROUNDING for spectrum in spectra]
    return math.log10(energies[0] / energies[1])


def nyquist_peak(image: Tensor) -> float:
    """Divide the energy at the Nyquist frequency by that of nearby lines of the spectrum, along the worse axis.

    Well above 1 is a checkerboard, as transposed convolutions of stride 2 leave it (Odena et al. 2016).
    """
    ratios = []
    for line in _lines(image):
        middle = len(line) // 2
        nearby = [line[middle - step] for step in NEIGHBOUR_LINES if step < middle]
        ratios.append(float(line[middle] / np.mean(nearby)))
    return max(ratios)


def nyquist_energy(image: Tensor, original: Tensor) -> float:
    """Divide the energy at the Nyquist frequency by the original's, along the axis with the larger quotient.

    A checkerboard, see `nyquist_peak`, is visible only if this is not far below 1.
    """
    _check_pair("nyquist_energy", image, original)
    pairs = zip(_lines(image), _lines(original), strict=True)
    return max(float(line[len(line) // 2] / true[len(true) // 2]) for line, true in pairs)


def _lines(image: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average the energy by frequency along the columns, (H,), and along the rows, (W,)."""
    spectrum = _spectrum(image)
    return spectrum.mean(axis=1) + _ROUNDING, spectrum.mean(axis=0) + _ROUNDING


def _spectrum(image: Tensor) -> NDArray[np.float64]:
    """Compute the power of the luma under a Hann window: (H, W), cut to even sides to have a Nyquist line."""
    plane = luma(image).cpu().double().numpy()
    plane = plane[: plane.shape[0] // 2 * 2, : plane.shape[1] // 2 * 2]
    window = np.outer(*(np.hanning(side + 1)[:-1] for side in plane.shape))
    return np.asarray(np.abs(np.fft.fft2((plane - plane.mean()) * window)) ** 2 / np.square(window).sum())


def landmark_error(found: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    """Average the distance of 68 points, over that of the eyes' outer corners (Sagonas et al. 2013, 300-W).

    Points are (68, 2), (x, y) in dlib's order.
    """
    if found.shape != (68, 2) or true.shape != (68, 2):
        raise ShapeError(f"landmark_error: points have shapes {found.shape} and {true.shape}, expected (68, 2).")
    between_eyes = np.linalg.norm(true[36] - true[45])
    return float(np.linalg.norm(found - true, axis=1).mean() / between_eyes)


def frechet_distance(a: Features, b: Features) -> float:
    """Measure the squared Frechet distance of the Gaussians fitted to two sets (Heusel et al. 2017, eq. 6).

    It falls as N grows, so compare figures of equal N only. N and M are at least 2.
    """
    _check_sets("frechet_distance", a, b, least=2)
    return frechet_of_moments(a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False))


def frechet_of_moments(mean_a: Features, cov_a: Features, mean_b: Features, cov_b: Features) -> float:
    """Compute |mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)), for means (D,) and covariances (D, D).

    tr (A B)^(1/2) is the sum of the roots of the eigenvalues of A^(1/2) B A^(1/2), which is symmetric: so there are no
    imaginary parts, and a singular covariance, as of fewer pictures than features, does no harm.
    """
    values, vectors = np.linalg.eigh(np.atleast_2d(cov_a))
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    product = root @ np.atleast_2d(cov_b) @ root
    cross = np.sqrt(np.linalg.eigvalsh((product + product.T) / 2).clip(0)).sum()
    traces = np.trace(np.atleast_2d(cov_a)) + np.trace(np.atleast_2d(cov_b))
    return float(np.square(mean_a - mean_b).sum() + traces - 2 * cross)


def kernel_distance(a: Features, b: Features) -> float:
    """Estimate the squared maximum mean discrepancy with the kernel (x.y / D + 1)^3 (Binkowski et al. 2018, "KID").

    The estimate is unbiased, so it can be below 0, and N does not shift it. N and M are at least 2.
    """
    _check_sets("kernel_distance", a, b, least=2)

    def kernel(x: Features, y: Features) -> Features:
        return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)

    def within(x: Features) -> float:
        each = kernel(x, x)
        return float((each.sum() - np.trace(each)) / (len(x) * (len(x) - 1)))

    return within(a) + within(b) - 2 * float(kernel(a, b).mean())


def precision_recall(samples: Features, real: Features, k: int = 3) -> tuple[float, float]:
    """Measure the share of samples in the region of the real pictures, and vice versa (Kynkaanniemi et al. 2019).

    A set's region is the union of balls around its members, each as large as the distance to its k-th nearest
    neighbour. N and M are more than k; precision and recall are 0..1.
    """
    _check_sets("precision_recall", samples, real, least=k + 1)

    def radii(x: Features) -> Features:
        return np.asarray(np.sort(distances(x, x), axis=1)[:, k])  # (N,); column 0 is the row itself

    across = distances(samples, real)  # (N, M)
    precision = (across <= radii(real)[None, :]).any(axis=1).mean()
    recall = (across <= radii(samples)[:, None]).any(axis=0).mean()
    return float(precision), float(recall)


def diversity(x: Features) -> float:
    """Average the Euclidean distance over all pairs of rows."""
    _check_sets("diversity", x, x, least=2)
    return float(distances(x, x).sum() / (len(x) * (len(x) - 1)))


def nearest_neighbours(x: Features, reference: Features) -> tuple[Features, NDArray[np.int64]]:
    """Find the reference picture nearest to each row: (N,) distances and (N,) rows of `reference`.

    Samples that copy training pictures are nearer to them than held-out pictures are: compare low percentiles.
    """
    _check_sets("nearest_neighbours", x, reference, least=1)
    far = distances(x, reference)
    nearest = far.argmin(axis=1)
    return np.asarray(far[np.arange(len(x)), nearest]), nearest


def distances(a: Features, b: Features) -> Features:
    """Compute the Euclidean distance of all pairs of rows: (N, D), (M, D) -> (N, M); exactly 0 for equal rows."""
    pairs = torch.cdist(torch.from_numpy(a), torch.from_numpy(b), compute_mode="donot_use_mm_for_euclid_dist")
    return np.asarray(pairs.numpy())


def _check_pair(caller: str, image: Tensor, original: Tensor) -> None:
    if image.ndim != 3 or image.shape[0] != 3 or image.shape != original.shape:
        raise ShapeError(f"{caller}: pictures have shapes {tuple(image.shape)} and {tuple(original.shape)}, "
                         "expected (3, H, W) twice.")  # fmt: skip


def _check_sets(caller: str, a: Features, b: Features, least: int) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ShapeError(f"{caller}: features have shapes {a.shape} and {b.shape}, expected (N, D) and (M, D).")
    if min(len(a), len(b)) < least:
        raise UsageError(f"{caller}: {len(a)} and {len(b)} pictures, expected at least {least} each; give more.")
