"""Figures of a picture against its original, on pictures made for the purpose."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from facegen.arrays import to_tensor
from facegen.errors import ShapeError
from facegen.metrics.paired import detail, feature_distance, landmark_error, nyquist_energy, nyquist_peak, psnr, ssim
from facegen.models.efficientnet import EfficientNetLite, load_efficientnet
from tests.conftest import MIRROR, face_points


@pytest.fixture(scope="module")
def lite2() -> EfficientNetLite:
    return load_efficientnet("lite2")


@pytest.fixture(scope="module")
def picture(head: NDArray[np.uint8]) -> Tensor:
    return to_tensor(head)


def noise(side: int = 128, strength: float = 0.1) -> Tensor:
    return 0.5 + strength * torch.randn(1, side, side, generator=torch.Generator().manual_seed(0)).expand(3, -1, -1)


def blurred(image: Tensor, times: int) -> Tensor:
    small = F.avg_pool2d(image, times)
    return F.interpolate(small[None], scale_factor=times, mode="bicubic", align_corners=False)[0].clamp(0, 1)


def checkerboard(side: int, strength: float) -> Tensor:
    steps = torch.arange(side)
    return strength * (((steps[:, None] + steps) % 2) * 2 - 1).float().expand(3, -1, -1)


def test_psnr_of_a_known_error(picture: Tensor) -> None:
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
    """A checkerboard adds to it, along the axis it lies on; a blur of two pixels takes all of it."""
    rows = 0.02 * torch.tensor([1.0, -1.0]).repeat(picture.shape[-2] // 2)[:, None]
    assert nyquist_energy(picture, picture) == 1
    assert nyquist_energy(picture + rows, picture) > 10
    assert nyquist_energy((picture + rows).mT, picture.mT) > 10
    assert nyquist_energy(torch.nn.functional.avg_pool2d(picture, 2, 1)[..., :-1, :-1], picture[..., :-2, :-2]) < 0.1
    with pytest.raises(ShapeError, match="nyquist_energy"):
        nyquist_energy(picture, picture[..., 1:])
