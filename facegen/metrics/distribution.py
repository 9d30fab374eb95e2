"""Distances between two sets of pictures, on their features, (N, D) float64 arrays; the order of rows never matters."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from facegen.errors import ShapeError, UsageError
from facegen.metrics.features import Features


def frechet_distance(a: Features, b: Features) -> float:
    """Frechet distance of the Gaussians fitted to two sets (Heusel et al. 2017, eq. 6), squared as they state it.

    It falls as N grows, so only figures of equal N are comparable.

    Args:
        a, b: (N, D) and (M, D), N and M at least 2.
    """
    _check("frechet_distance", a, b, least=2)
    return frechet_of_moments(a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False))


def frechet_of_moments(mean_a: Features, cov_a: Features, mean_b: Features, cov_b: Features) -> float:
    """|mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)), for means (D,) and covariances (D, D).

    tr (A B)^(1/2) is the sum of the roots of the eigenvalues of A^(1/2) B A^(1/2), which is symmetric: no imaginary
    parts and no failure where a covariance is singular, as with fewer pictures than features.
    """
    values, vectors = np.linalg.eigh(np.atleast_2d(cov_a))
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    product = root @ np.atleast_2d(cov_b) @ root
    cross = np.sqrt(np.linalg.eigvalsh((product + product.T) / 2).clip(0)).sum()
    traces = np.trace(np.atleast_2d(cov_a)) + np.trace(np.atleast_2d(cov_b))
    return float(np.square(mean_a - mean_b).sum() + traces - 2 * cross)


def kernel_distance(a: Features, b: Features, *, block: int = 1000, blocks: int = 10, seed: int = 0) -> float:
    """Squared maximum mean discrepancy with the kernel (x.y / D + 1)^3, unbiased (Binkowski et al. 2018, "KID").

    Being unbiased it can come out below 0, and N does not shift it.

    Args:
        a, b: (N, D) and (M, D), N and M at least 2.
        block: rows compared at once; the mean over `blocks` random choices of that many is returned. Sets no larger
            than a block are compared whole, once.
    """
    _check("kernel_distance", a, b, least=2)
    if len(a) <= block and len(b) <= block:
        return _squared_mmd(a, b)
    rng = np.random.default_rng(seed)
    drawn = [[x[rng.permutation(len(x))[:block]] for x in (a, b)] for _ in range(blocks)]
    return float(np.mean([_squared_mmd(x, y) for x, y in drawn]))


def _squared_mmd(a: Features, b: Features) -> float:
    def within(x: Features) -> float:
        kernel = _kernel(x, x)
        return float((kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1)))

    return within(a) + within(b) - 2 * float(_kernel(a, b).mean())


def _kernel(a: Features, b: Features) -> Features:
    return np.asarray((a @ b.T / a.shape[1] + 1) ** 3)


def precision_recall(samples: Features, real: Features, k: int = 3) -> tuple[float, float]:
    """Share of samples that lie among the real pictures, and of real ones among the samples (Kynkaanniemi et al. 2019).

    A set's region is the union of balls around its members, each reaching to its k-th nearest fellow.

    Args:
        samples, real: (N, D) and (M, D), N and M more than k.
    Returns:
        (precision, recall), both 0..1.
    """
    _check("precision_recall", samples, real, least=k + 1)
    across = distances(samples, real)  # (N, M)
    precision = (across <= _radii(real, k)[None, :]).any(axis=1).mean()
    recall = (across <= _radii(samples, k)[:, None]).any(axis=0).mean()
    return float(precision), float(recall)


def _radii(x: Features, k: int) -> Features:
    """Distance of each row to its k-th nearest other row: (N,)."""
    return np.asarray(np.sort(distances(x, x), axis=1)[:, k])  # column 0 is the row itself


def diversity(x: Features) -> float:
    """Mean Euclidean distance of two different rows."""
    _check("diversity", x, x, least=2)
    return float(distances(x, x).sum() / (len(x) * (len(x) - 1)))


def nearest_neighbours(x: Features, reference: Features) -> tuple[Features, NDArray[np.int64]]:
    """How far each row is from its nearest reference picture, and which one that is.

    Samples that copy training pictures lie nearer to them than real pictures kept out of training do: compare low
    percentiles of both.

    Args:
        x, reference: (N, D) and (M, D).
    Returns:
        (N,) distances and (N,) rows of `reference`.
    """
    _check("nearest_neighbours", x, reference, least=1)
    far = distances(x, reference)
    nearest = far.argmin(axis=1)
    return np.asarray(far[np.arange(len(x)), nearest]), nearest


def distances(a: Features, b: Features) -> Features:
    """Euclidean distances of all pairs of rows: (N, D), (M, D) -> (N, M); equal rows are exactly 0 apart."""
    pairs = torch.cdist(torch.from_numpy(a), torch.from_numpy(b), compute_mode="donot_use_mm_for_euclid_dist")
    return np.asarray(pairs.numpy())


def _check(caller: str, a: Features, b: Features, least: int) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ShapeError(f"{caller}: features have shapes {a.shape} and {b.shape}, expected (N, D) and (M, D).")
    if min(len(a), len(b)) < least:
        raise UsageError(f"{caller}: {len(a)} and {len(b)} pictures, expected at least {least} each; give more.")
