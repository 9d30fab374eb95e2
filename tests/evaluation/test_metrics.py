"""Metrics have known values for constructed images and features."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.arrays import RGB, to_tensor
from facegen.errors import ShapeError, UsageError
from facegen.evaluation.features import Features
from facegen.evaluation.metrics import (
    detail,
    diversity,
    feature_distance,
    frechet_distance,
    frechet_of_moments,
    kernel_distance,
    landmark_error,
    nearest_neighbours,
    nyquist_energy,
    nyquist_peak,
    precision_recall,
    psnr,
    ssim,
)
from facegen.models.efficientnet import EfficientNetLite
from tests.conftest import MIRROR, face_points


@pytest.fixture(scope="module")
def picture(head: RGB) -> Tensor:
    return to_tensor(head)


def noise(side: int = 128, strength: float = 0.1) -> Tensor:
    return 0.5 + strength * torch.randn(1, side, side, generator=torch.Generator().manual_seed(0)).expand(3, -1, -1)


def blurred(image: Tensor, times: int) -> Tensor:
    small = F.avg_pool2d(image, times)
    return F.interpolate(small[None], scale_factor=times, mode="bicubic", align_corners=False)[0].clamp(0, 1)


def checkerboard(side: int, strength: float) -> Tensor:
    steps = torch.arange(side)
    return strength * (((steps[:, None] + steps) % 2) * 2 - 1).float().expand(3, -1, -1)


def test_psnr_of_a_known_error_is_known(picture: Tensor) -> None:
    assert psnr(picture, picture) == math.inf
    assert psnr(torch.full((3, 4, 4), 0.6), torch.full((3, 4, 4), 0.5)) == pytest.approx(20, abs=1e-4)


def test_ssim_falls_from_one_as_a_picture_blurs(picture: Tensor) -> None:
    assert ssim(picture, picture) == pytest.approx(1)
    assert 0 < ssim(blurred(picture, 8), picture) < ssim(blurred(picture, 2), picture) < 1


def test_feature_distance_grows_as_a_picture_blurs(lite2: EfficientNetLite, picture: Tensor) -> None:
    assert feature_distance(lite2, picture, picture) == 0
    near, far = (feature_distance(lite2, blurred(picture, n), picture) for n in (2, 8))
    assert 0 < near < far


def test_detail_is_zero_for_equals_and_a_decade_for_ten_times_the_energy(picture: Tensor) -> None:
    assert detail(picture, picture, 8) == 0
    strong = noise(strength=0.1 * math.sqrt(10))
    assert detail(strong, noise(), 8) == pytest.approx(1, abs=0.01)
    assert detail(noise(), strong, 8) == pytest.approx(-1, abs=0.01)


def test_detail_sees_only_what_the_small_picture_cannot_hold(picture: Tensor) -> None:
    assert detail(blurred(picture, 8), picture, 8) < -0.5
    across = torch.arange(256) / 256
    slow, fast = (0.2 * torch.sin(2 * math.pi * n * across).expand(3, 256, -1) for n in (8, 64))  # Nyquist: 16 of 256
    assert abs(detail(noise(256) + slow, noise(256), 8)) < 0.02
    assert detail(noise(256) + fast, noise(256), 8) > 0.3


def test_detail_of_flat_pictures_is_finite() -> None:
    flat = torch.full((3, 64, 64), 0.5)
    assert detail(flat, flat, 8) == 0
    assert math.isfinite(detail(noise(64), flat, 8))


def test_nyquist_peak_is_about_one_without_a_checkerboard(picture: Tensor) -> None:
    assert nyquist_peak(noise()) == pytest.approx(1, abs=0.4)
    assert nyquist_peak(picture) < 1.5
    assert nyquist_peak(torch.full((3, 64, 64), 0.5)) == pytest.approx(1)


@pytest.mark.parametrize("side", [64, 65])
def test_nyquist_peak_sees_a_checkerboard_of_two_steps(side: int) -> None:
    rows = checkerboard(side, 1)[:, :1].expand(-1, side, -1) / 128
    for pattern in (checkerboard(side, 2 / 255), rows, rows.transpose(1, 2)):
        assert nyquist_peak(noise(side, 0.01) + pattern) > 3


def test_landmark_error_is_measured_in_eye_distances() -> None:
    points = face_points(100)
    eyes = float(np.linalg.norm(points[36] - points[45]))
    assert landmark_error(points, points) == 0
    assert landmark_error(points + np.array([3, 4]), points) == pytest.approx(5 / eyes)
    assert landmark_error(2 * (points + np.array([3, 4])), 2 * points) == pytest.approx(5 / eyes)
    mirrored = points[MIRROR] * (-1, 1) + (100, 0)
    assert landmark_error(mirrored, points) == pytest.approx(0, abs=1e-9)


def test_landmarks_of_another_number_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"shapes \(5, 2\) and \(68, 2\), expected \(68, 2\)"):
        landmark_error(np.zeros((5, 2)), face_points(1))


@pytest.mark.parametrize("figure", [psnr, ssim, lambda a, b: detail(a, b, 8)])
def test_pictures_of_two_sizes_are_refused(figure: Callable[[Tensor, Tensor], float]) -> None:
    with pytest.raises(ShapeError, match=r"\(3, 8, 8\) and \(3, 8, 9\), expected \(3, H, W\) twice"):
        figure(torch.zeros(3, 8, 8), torch.zeros(3, 8, 9))


def test_nyquist_energy_is_that_of_the_line_alone(picture: Tensor) -> None:
    """A checkerboard adds to it, along its axis; a blur of two pixels removes it."""
    rows = 0.02 * torch.tensor([1.0, -1.0]).repeat(picture.shape[-2] // 2)[:, None]
    assert nyquist_energy(picture, picture) == 1
    assert nyquist_energy(picture + rows, picture) > 10
    assert nyquist_energy((picture + rows).mT, picture.mT) > 10
    assert nyquist_energy(torch.nn.functional.avg_pool2d(picture, 2, 1)[..., :-1, :-1], picture[..., :-2, :-2]) < 0.1
    with pytest.raises(ShapeError, match="nyquist_energy"):
        nyquist_energy(picture, picture[..., 1:])


def normal(count: int, width: int = 6, seed: int = 0) -> Features:
    return np.random.default_rng(seed).normal(size=(count, width))


def test_frechet_of_equal_covariances_is_the_squared_distance_of_the_means() -> None:
    a = normal(50)
    shift = np.array([1.0, -2.0, 0, 0, 0.5, 0])
    assert frechet_distance(a, a + shift) == pytest.approx(5.25, abs=1e-6)


def test_frechet_of_diagonal_covariances_is_the_squared_distance_of_the_deviations() -> None:
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


def test_frechet_accepts_fewer_pictures_than_features() -> None:
    a = normal(5, width=20)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-5)
    assert frechet_distance(a, a + 1) == pytest.approx(20, rel=1e-5)


def test_kernel_distance_is_unbiased() -> None:
    """Over many pairs of sets of one distribution, the mean is 0 within its error."""
    found = [kernel_distance(normal(20, seed=2 * i), normal(20, seed=2 * i + 1)) for i in range(300)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))
    assert min(found) < 0


def test_kernel_distance_is_as_computed_by_hand() -> None:
    a, b = np.array([[0.0], [1.0]]), np.array([[2.0], [2.0]])
    within_a, within_b = 1.0, 125.0  # (0*1 + 1)^3 and (2*2 + 1)^3, the diagonal left out
    across = (1.0 + 1 + 27 + 27) / 4
    assert kernel_distance(a, b) == pytest.approx(within_a + within_b - 2 * across)


def test_precision_and_recall_of_a_set_with_itself_are_one() -> None:
    a = normal(30)
    assert precision_recall(a, a) == (1.0, 1.0)


def test_precision_and_recall_of_disjoint_sets_are_zero() -> None:
    assert precision_recall(normal(30), normal(30, seed=1) + 100) == (0.0, 0.0)


def test_precision_can_be_high_without_recall() -> None:
    """Samples on one of two clusters are all real, but show half of the variety; and vice versa."""
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
