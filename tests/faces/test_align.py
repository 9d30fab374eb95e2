"""The FFHQ crop: the frame's numbers, the coordinates' conventions, and crop -> paste == the photo."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.arrays import RGB
from facegen.errors import ImageError, ShapeError, UsageError
from facegen.faces.align import HeadFrame, crop_head, frame_matrix, head_frame, paste_head, soft_mask, transform_points


def landmarks_for(frame: HeadFrame) -> NDArray[np.float64]:
    """Return landmarks from which FFHQ's alignment finds `frame`."""
    half = frame.side / 2
    eye_to_eye, eye_to_mouth = half / 2.0, half / 1.8  # both terms of FFHQ's maximum equal the half side
    right, down = np.array(frame.right) / half, np.array(frame.down) / half
    eyes = np.array(frame.center) - down * eye_to_mouth * 0.1
    points = np.tile(eyes, (68, 1))
    points[36:42] += -right * eye_to_eye / 2
    points[42:48] += right * eye_to_eye / 2
    points[36:48] += np.tile([[-1.0, 0.5], [1.0, -0.5]], (6, 1))  # a real eye is a ring: only its mean counts
    points[48] += down * eye_to_mouth - right * eye_to_eye / 3
    points[54] += down * eye_to_mouth + right * eye_to_eye / 3
    return points


def square(center: tuple[float, float], side: float, degrees: float = 0.0) -> HeadFrame:
    x, y = math.cos(math.radians(degrees)) * side / 2, math.sin(math.radians(degrees)) * side / 2
    return HeadFrame(center, (x, y), (-y, x))


def smooth_photo(height: int = 240, width: int = 320) -> RGB:
    y, x = np.mgrid[:height, :width] / 25.0
    waves = [np.sin(x + 0.3 * y), np.cos(0.7 * y), np.sin(0.5 * x - y)]
    return (127.5 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


def pasted_on(
    photo: RGB, head: RGB, frame: HeadFrame, mask: NDArray[np.floating]
) -> RGB:
    """A copy of the photo with the head pasted."""
    result = photo.copy()
    paste_head(result, head, frame, mask)
    return result


def assert_same_frame(actual: HeadFrame, expected: HeadFrame) -> None:
    for part in ("center", "right", "down"):
        np.testing.assert_allclose(getattr(actual, part), getattr(expected, part), atol=1e-9)


def test_aligned_portrait_has_the_identity_frame() -> None:
    frame = head_frame(landmarks_for(square((384, 384), 768)))
    assert_same_frame(frame, HeadFrame((384, 384), (384, 0), (0, 384)))
    np.testing.assert_allclose(frame_matrix(frame, 768), [[1, 0, 0], [0, 1, 0]], atol=1e-9)


def test_head_frame_matches_ffhq_formula() -> None:
    landmarks = np.random.default_rng(0).normal(size=(68, 2)) * 3 + [200, 150]
    landmarks[36:42] += [-40, -8]
    landmarks[42:48] += [35, 6]
    landmarks[48:60] += [-4, 66]
    # recreate_aligned_images of NVlabs/ffhq-dataset, kept as written there
    eye_left, eye_right = np.mean(landmarks[36:42], axis=0), np.mean(landmarks[42:48], axis=0)
    eye_avg, eye_to_eye = (eye_left + eye_right) * 0.5, eye_right - eye_left
    eye_to_mouth = (landmarks[48] + landmarks[54]) * 0.5 - eye_avg
    x = eye_to_eye - np.flipud(eye_to_mouth) * [-1, 1]
    x /= np.hypot(*x)
    x *= max(np.hypot(*eye_to_eye) * 2.0, np.hypot(*eye_to_mouth) * 1.8)
    y = np.flipud(x) * [-1, 1]
    c = eye_avg + eye_to_mouth * 0.1
    assert_same_frame(head_frame(landmarks), HeadFrame((c[0], c[1]), (x[0], x[1]), (y[0], y[1])))


@pytest.mark.parametrize("degrees", [-160, -30, 17, 90])
def test_turning_the_landmarks_turns_the_frame(degrees: float) -> None:
    turn = square((0, 0), 2, degrees)
    matrix = np.column_stack([turn.right, turn.down, (11.0, -7.0)])
    frame = head_frame(transform_points(landmarks_for(square((100, 80), 120)), matrix))
    center = transform_points(np.array([[100.0, 80.0]]), matrix)[0]
    assert_same_frame(frame, square((center[0], center[1]), 120, degrees))


def test_scaling_the_landmarks_scales_the_frame() -> None:
    frame = head_frame(3.5 * landmarks_for(square((100, 80), 120)))
    assert_same_frame(frame, square((350, 280), 420))
    assert_same_frame(frame, square((100, 80), 120).scaled(3.5))
    assert frame.side == pytest.approx(420)


def test_head_frame_refuses_a_wrong_shape() -> None:
    with pytest.raises(ShapeError, match=r"\(5, 2\), expected \(68, 2\)"):
        head_frame(np.zeros((5, 2)))


def test_head_frame_refuses_landmarks_without_direction() -> None:
    with pytest.raises(ImageError, match=r"left eye \(7.0, 7.0\).*expected distinct points"):
        head_frame(np.full((68, 2), 7.0))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_head_frame_refuses_landmarks_that_are_not_finite(value: float) -> None:
    with pytest.raises(ImageError, match="not all finite"):
        head_frame(np.full((68, 2), value))


def test_frame_matrix_sends_corners_to_corners() -> None:
    frame = square((50, 40), 60, degrees=25)
    center, right, down = np.array(frame.center), np.array(frame.right), np.array(frame.down)
    corners = np.array([center - right - down, center + right - down, center + right + down])
    expected = [[0, 0], [16, 0], [16, 16]]
    np.testing.assert_allclose(transform_points(corners, frame_matrix(frame, 16)), expected, atol=1e-9)


def test_transform_points_refuses_a_wrong_shape() -> None:
    with pytest.raises(ShapeError, match=r"expected \(N, 2\)"):
        transform_points(np.zeros(2), np.eye(2, 3))


def test_crop_on_whole_pixels_copies_them() -> None:
    photo = np.random.default_rng(1).integers(0, 256, (50, 60, 3), np.uint8)
    np.testing.assert_array_equal(crop_head(photo, square((30, 20), 16), 16), photo[12:28, 22:38])


def test_crop_of_whole_blocks_takes_their_means() -> None:
    photo = np.random.default_rng(2).integers(0, 256, (80, 80, 3), np.uint8)
    crop = crop_head(photo, square((40, 40), 64), 16)
    means = photo[8:72, 8:72].reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(crop, means, atol=0.51)


def test_crop_of_a_turned_head_stands_upright() -> None:
    frame = square((150, 120), 90, degrees=90)  # the head's right is the photo's down
    crop = crop_head(smooth_photo(), frame, 90)
    np.testing.assert_array_equal(crop, np.rot90(smooth_photo()[75:165, 105:195]))


def test_crop_of_fine_stripes_does_not_alias() -> None:
    photo = np.zeros((300, 300, 3), np.uint8)
    photo[:, ::2] = 255
    crop = crop_head(photo, square((150, 150), 200, degrees=10), 31)
    assert np.abs(crop.astype(float) - 127.5).max() < 12


def test_crop_without_antialiasing_takes_single_samples() -> None:
    photo = np.zeros((80, 80, 3), np.uint8)
    photo[:, ::2] = 255
    np.testing.assert_array_equal(
        crop_head(photo, square((40, 40), 48), 16, antialias=False), photo[17:64:3, 17:64:3]
    )  # the middle of every 3 x 3 pixels


def test_crop_mirrors_what_leaves_the_photo() -> None:
    photo = smooth_photo(60, 60)
    crop = crop_head(photo, square((10, 30), 40), 40)  # spans x from -10 to 30
    np.testing.assert_array_equal(crop[:, :10], photo[10:50, 10:0:-1])
    np.testing.assert_array_equal(crop[:, 10:], photo[10:50, :30])


def test_crop_of_a_panorama() -> None:
    """OpenCV warps no picture of more than 32,767 pixels a side."""
    photo = np.zeros((60, 40_000, 3), np.uint8)
    photo[:, 35_000:35_060] = smooth_photo(60, 60)
    crop = crop_head(photo, square((35_030, 30), 40), 40)
    np.testing.assert_array_equal(crop, photo[10:50, 35_010:35_050])


def test_crop_refuses_a_frame_outside_the_photo() -> None:
    with pytest.raises(ImageError, match="lies outside the photo"):
        crop_head(smooth_photo(), square((-900, 50), 40), 40)


def test_crop_refuses_what_is_no_photo() -> None:
    with pytest.raises(ShapeError, match=r"expected uint8 or uint16 \(H, W, 3\)"):
        crop_head(np.zeros((8, 8), np.uint8), square((4, 4), 8), 8)
    with pytest.raises(UsageError, match="crop size is 0"):
        crop_head(smooth_photo(), square((4, 4), 8), 0)


@pytest.mark.parametrize("size", [1, 2, 9, 64, 256])
def test_soft_mask_is_zero_on_the_border_and_symmetric(size: int) -> None:
    mask = soft_mask(size)
    assert mask.dtype == np.float32
    assert mask.shape == (size, size)
    assert not np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).any()
    np.testing.assert_allclose(mask, mask[::-1, ::-1], atol=1e-6)
    np.testing.assert_array_equal(mask, mask.T)


def test_soft_mask_rises_smoothly_to_one() -> None:
    mask = soft_mask(101)
    assert (mask[10:91, 10:91] == 1).all()
    assert mask[50, 5] == pytest.approx(0.5)  # half-way up the ramp
    assert (np.diff(mask[50, :11]) > 0).all()
    assert mask[3, 3] < mask[50, 3]  # the corner is rounded


@pytest.mark.parametrize("degrees", [0, 20, -75])
@pytest.mark.parametrize("size", [100, 128, 300])  # head smaller than, about as large as, larger than its place
def test_pasting_the_unchanged_head_gives_the_photo_back(degrees: float, size: int) -> None:
    photo, frame = smooth_photo(), square((160.3, 118.6), 130.0, degrees)
    pasted = pasted_on(photo, crop_head(photo, frame, size), frame, soft_mask(size))
    error = np.abs(pasted.astype(float) - photo)[90:150, 130:190]  # well inside
    assert error.mean() < 1
    assert error.max() <= 4


def test_paste_on_whole_pixels_blends_by_the_mask() -> None:
    photo, mask = smooth_photo(), soft_mask(64)
    pasted = pasted_on(photo, np.full((64, 64, 3), 250, np.uint8), square((100, 90), 64), mask)
    place = photo[58:122, 68:132].astype(float)
    np.testing.assert_allclose(pasted[58:122, 68:132], place + mask[..., None] * (250 - place), atol=0.51)


@pytest.mark.parametrize("size", [40, 400])
def test_paste_changes_only_pixels_inside_the_frame(size: int) -> None:
    photo, frame = smooth_photo(), square((150, 110), 100, degrees=33)
    pasted = pasted_on(photo, np.full((size, size, 3), 255, np.uint8), frame, soft_mask(size))
    y, x = np.nonzero((pasted != photo).any(axis=-1))
    inside = transform_points(np.column_stack([x + 0.5, y + 0.5]), frame_matrix(frame, size))
    assert len(inside) > 5000
    assert (inside > 0).all()
    assert (inside < size).all()


def test_paste_without_a_soft_mask_ends_at_the_frame() -> None:
    photo = np.zeros((60, 60, 3), np.uint8)
    pasted = pasted_on(photo, np.full((32, 32, 3), 255, np.uint8), square((30, 30), 28.28, 45), np.ones((32, 32)))
    y, x = np.nonzero(pasted[..., 0])
    assert (np.abs(x + 0.5 - 30) + np.abs(y + 0.5 - 30)).max() <= 20 + 1  # a diamond of 20 px, and its soft edge


def test_paste_of_a_large_head_does_not_alias() -> None:
    head = np.zeros((512, 512, 3), np.uint8)
    head[:, ::2] = 255
    pasted = pasted_on(smooth_photo(), head, square((150, 110), 75, degrees=8), soft_mask(512))
    assert np.abs(pasted[100:120, 140:160].astype(float) - 127.5).max() < 12


def test_paste_cuts_at_the_photos_edge() -> None:
    photo = smooth_photo()
    pasted = pasted_on(photo, np.full((64, 64, 3), 255, np.uint8), square((5, 5), 64), soft_mask(64))
    assert (pasted[5, 5] == 255).all()
    beyond = pasted_on(photo, np.full((64, 64, 3), 255, np.uint8), square((-500, 9000), 64), soft_mask(64))
    np.testing.assert_array_equal(beyond, photo)


def test_paste_refuses_unlike_head_and_mask() -> None:
    head = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ShapeError, match=r"mask \(9, 9\), expected"):
        paste_head(smooth_photo(), head, square((9, 9), 8), soft_mask(9))
    with pytest.raises(ShapeError, match=r"head \(8, 7, 3\)"):
        paste_head(smooth_photo(), head[:, :7], square((9, 9), 8), soft_mask(8))
    with pytest.raises(ShapeError, match="photo is float64"):
        paste_head(np.zeros((8, 8, 3)), head, square((9, 9), 8), soft_mask(8))  # type: ignore[arg-type]
