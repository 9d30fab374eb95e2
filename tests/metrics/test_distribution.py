"""Distances between sets, against what is known of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from facegen.errors import ShapeError, UsageError
from facegen.metrics.distribution import (
    diversity,
    frechet_distance,
    frechet_of_moments,
    kernel_distance,
    nearest_neighbours,
    precision_recall,
)
from facegen.metrics.features import Features


def normal(count: int, width: int = 6, seed: int = 0) -> Features:
    return np.random.default_rng(seed).normal(size=(count, width))


def test_frechet_of_equal_covariances_is_the_squared_distance_of_the_means() -> None:
    a = normal(50)
    shift = np.array([1.0, -2.0, 0, 0, 0.5, 0])
    assert frechet_distance(a, a + shift) == pytest.approx(5.25, abs=1e-6)


def test_frechet_of_diagonal_covariances() -> None:
    """tr(A + B - 2 (A B)^(1/2)) is the sum of (a - b)^2 over standard deviations a, b."""
    a, b = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 0.5])
    zero = np.zeros(3)
    found = frechet_of_moments(zero, np.diag(a**2), zero, np.diag(b**2))
    assert found == pytest.approx(np.square(a - b).sum())


def test_frechet_agrees_with_the_matrix_root() -> None:
    from scipy.linalg import sqrtm

    a, b = normal(40), normal(30, seed=1) @ normal(6, seed=2)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = sqrtm(cov_a @ cov_b)
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a + cov_b - 2 * root.real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_frechet_bears_fewer_pictures_than_features() -> None:
    a = normal(5, width=20)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-5)
    assert frechet_distance(a, a + 1) == pytest.approx(20, rel=1e-5)


def test_kernel_distance_is_unbiased() -> None:
    """Over many pairs of sets of one distribution, the mean is 0 within its error."""
    found = [kernel_distance(normal(20, seed=2 * i), normal(20, seed=2 * i + 1)) for i in range(300)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))
    assert min(found) < 0


def test_kernel_distance_by_hand() -> None:
    a, b = np.array([[0.0], [1.0]]), np.array([[2.0], [2.0]])
    within_a, within_b = 1.0, 125.0  # (0*1 + 1)^3 and (2*2 + 1)^3, the diagonal left out
    across = (1.0 + 1 + 27 + 27) / 4
    assert kernel_distance(a, b) == pytest.approx(within_a + within_b - 2 * across)


def test_kernel_distance_of_blocks_estimates_that_of_the_whole() -> None:
    a, b = normal(400), normal(400, seed=1) + 1
    whole, blocks = kernel_distance(a, b), kernel_distance(a, b, block=100, blocks=20)
    assert blocks == pytest.approx(whole, rel=0.2)
    assert blocks == kernel_distance(a, b, block=100, blocks=20)
    assert whole > 1


def test_precision_and_recall_of_a_set_with_itself_are_one() -> None:
    a = normal(30)
    assert precision_recall(a, a) == (1.0, 1.0)


def test_precision_and_recall_of_disjoint_sets_are_zero() -> None:
    assert precision_recall(normal(30), normal(30, seed=1) + 100) == (0.0, 0.0)


def test_precision_without_recall() -> None:
    """Samples on one of two clusters are all real, but show half of what there is; and the other way round."""
    left, right = normal(40), normal(40, seed=1) + 100
    both = np.concatenate([left, right])
    precision, recall = precision_recall(left, both)
    assert precision == 1.0
    assert recall == 0.5
    assert precision_recall(both, left) == (recall, precision)


def test_diversity_is_the_mean_distance_of_pairs() -> None:
    assert diversity(np.array([[0.0, 0], [3, 4], [0, 0]])) == pytest.approx(10 / 3)
    assert diversity(np.zeros((4, 2))) == 0
    assert diversity(2 * normal(20)) == pytest.approx(2 * diversity(normal(20)))


def test_nearest_neighbours_find_the_copy() -> None:
    reference = normal(20)
    x = np.stack([reference[7], reference[3] + 0.01])
    distances, rows = nearest_neighbours(x, reference)
    assert rows.tolist() == [7, 3]
    assert distances[0] == 0
    assert distances[1] == pytest.approx(0.01 * np.sqrt(6))


@pytest.mark.parametrize(
    "distance",
    [frechet_distance, kernel_distance, lambda a, b: precision_recall(a, b)[0], lambda a, b: precision_recall(a, b)[1],
     lambda a, b: nearest_neighbours(a, b)[0].sum(), lambda a, b: diversity(a)],
)  # fmt: skip
def test_the_order_of_pictures_does_not_matter(distance: Callable[[Features, Features], float]) -> None:
    a, b = normal(25), normal(30, seed=1) + 0.3
    shuffled = distance(np.random.default_rng(3).permutation(a), np.random.default_rng(4).permutation(b))
    assert shuffled == pytest.approx(distance(a, b))


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance, precision_recall, nearest_neighbours])
def test_widths_that_differ_are_refused(distance: Callable[[Features, Features], object]) -> None:
    with pytest.raises(ShapeError, match=r"shapes \(9, 3\) and \(9, 4\), expected \(N, D\) and \(M, D\)"):
        distance(normal(9, 3), normal(9, 4))


@pytest.mark.parametrize(("distance", "least"), [(frechet_distance, 2), (kernel_distance, 2), (precision_recall, 4)])
def test_too_few_pictures_are_refused(distance: Callable[[Features, Features], object], least: int) -> None:
    with pytest.raises(UsageError, match=f"expected at least {least} each; give more"):
        distance(normal(least - 1), normal(9))
