"""Find the square of a head in a photo from its landmarks, as in FFHQ, and crop and paste the head.

Points are continuous pixel coordinates: pixel i covers [i, i + 1] and its centre is i + 0.5, so a crop of `size` pixels
spans 0 to `size`. (Detectors such as dlib return pixel indices; add 0.5.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from facegen.arrays import Pixels, Points, Sample, check_picture
from facegen.errors import ImageError, ShapeError, UsageError

Numbers = NDArray[np.floating | np.integer]
FEATHER = 0.1
"""Width of the fade of a pasted head, as a share of its side."""
MARGIN = 8
"""Photo pixels around a frame that are passed to OpenCV with it; interpolation needs fewer."""


@dataclass(frozen=True)
class HeadFrame:
    """FFHQ's oriented square around a head, in photo pixels; its corners are `center` +- `right` +- `down`."""

    center: tuple[float, float]
    """(x, y)."""
    right: tuple[float, float]
    """(x, y) from the centre to the middle of the right edge, as seen when the head is upright."""
    down: tuple[float, float]
    """(x, y) from the centre to the middle of the edge below the chin: `right` rotated by 90 degrees."""

    @property
    def side(self) -> float:
        """Length of an edge in photo pixels."""
        return 2 * math.hypot(*self.right)

    @property
    def corners(self) -> Points:
        """(4, 2): the corners (x, y), clockwise from the top left of the upright head."""
        center, right, down = np.array(self.center), np.array(self.right), np.array(self.down)
        return np.stack([center - right - down, center + right - down, center + right + down, center - right + down])

    def scaled(self, factor: float) -> HeadFrame:
        """Return the frame of the same head in a photo `factor` times as large."""

        def grow(vector: tuple[float, float]) -> tuple[float, float]:
            return (vector[0] * factor, vector[1] * factor)

        return HeadFrame(grow(self.center), grow(self.right), grow(self.down))


def head_frame(landmarks: Points) -> HeadFrame:
    """Find the square of a head from the eyes and the corners of the mouth, as FFHQ was aligned.

    Source: Karras et al., "A Style-Based Generator Architecture for GANs" (2019), appendix A, and
    `recreate_aligned_images` in github.com/NVlabs/ffhq-dataset.

    Args:
        landmarks: (68, 2) points (x, y) in dlib's order, in photo pixels.
    Raises:
        ShapeError: if `landmarks` is not (68, 2).
        ImageError: if the points are not finite, or eyes and mouth are too close together to show a direction.
    """
    if landmarks.shape != (68, 2):
        raise ShapeError(f"head_frame: landmarks have shape {landmarks.shape}, expected (68, 2).")
    if not np.isfinite(landmarks).all():
        raise ImageError("head_frame: landmarks are not all finite; check the detector, or leave this face out.")
    eye_left, eye_right = landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)
    eyes, mouth = (eye_left + eye_right) / 2, (landmarks[48] + landmarks[54]) / 2
    eye_to_eye, eye_to_mouth = eye_right - eye_left, mouth - eyes
    right = eye_to_eye - _rot90(eye_to_mouth)
    half = max(np.hypot(*eye_to_eye) * 2.0, np.hypot(*eye_to_mouth) * 1.8)
    length = np.hypot(*right)
    if half < 1 or length < 1e-3 * half:
        raise ImageError(
            f"head_frame: no head to align: left eye {_text(eye_left)}, right eye {_text(eye_right)}, mouth "
            f"{_text(mouth)}; expected distinct points. Check the landmarks, or leave this face out."
        )
    right = right * (half / length)
    return HeadFrame(_pair(eyes + eye_to_mouth * 0.1), _pair(right), _pair(_rot90(right)))


def frame_matrix(frame: HeadFrame, size: int) -> Points:
    """Return the (2, 3) affine matrix from photo pixels to the pixels of a crop of `size` x `size`.

    The frame's top-left corner goes to (0, 0), its bottom-right corner to (size, size).

    Raises:
        UsageError: if `size` is below 1.
    """
    if size < 1:
        raise UsageError(f"crop size is {size}, expected at least 1.")
    to_unit = np.linalg.inv(np.array([frame.right, frame.down]).T)  # photo offset -> [-1, 1] x [-1, 1]
    linear = to_unit * (size / 2)
    return np.column_stack([linear, size / 2 - linear @ frame.center])


def transform_points(points: Points, matrix: Points) -> Points:
    """Apply a (2, 3) affine matrix to (N, 2) points (x, y).

    Raises:
        ShapeError: if `points` is not (N, 2).
    """
    if points.ndim != 2 or points.shape[1] != 2:
        raise ShapeError(f"transform_points: points have shape {points.shape}, expected (N, 2).")
    return points @ matrix[:, :2].T + matrix[:, 2]


def crop_head(rgb: NDArray[Sample], frame: HeadFrame, size: int, *, antialias: bool = True) -> NDArray[Sample]:
    """Cut a head out of a photo, upright; where the frame leaves the photo, the photo is mirrored.

    Args:
        rgb: (H, W, 3) photo, uint8 or uint16.
        antialias: False takes one sample per pixel, which is enough for detectors if the frame is hardly larger than
            the crop.
    Returns:
        (size, size, 3), of the photo's type.
    Raises:
        ShapeError: if `rgb` is not (H, W, 3) uint8 or uint16.
        UsageError: if `size` is below 1.
        ImageError: if the frame lies outside the photo.
    """
    check_picture("photo", rgb)
    left, top, right, bottom = _bounds(frame, rgb.shape[1], rgb.shape[0], margin=MARGIN)
    if left >= right or top >= bottom:
        raise ImageError("crop_head: the head's frame lies outside the photo; leave this face out.")
    matrix = frame_matrix(frame, size)
    matrix[:, 2] += matrix[:, :2] @ [left, top]
    near = rgb[top:bottom, left:right]  # OpenCV cannot warp photos with more than 32,767 px a side
    warp = _warp if antialias else _warp_samples
    return warp(near, matrix, (size, size), cv2.INTER_CUBIC, cv2.BORDER_REFLECT_101).astype(rgb.dtype.type)


def soft_mask(size: int) -> NDArray[np.float32]:
    """Make a mask with rounded corners, (size, size), that fades from 1 in the middle to exactly 0 on the border.

    The fade is (1 + cos(pi d)) / 2, where d is the distance from the inner square in units of `FEATHER`.
    """
    to_border = 1 - np.abs(np.linspace(-1, 1, size))  # 0 on the border, 1 in the middle
    outside = 1 - np.clip(to_border / (2 * FEATHER), 0, 1)
    distance = np.minimum(np.hypot(outside[:, None], outside[None, :]), 1)
    return ((1 + np.cos(np.pi * distance)) / 2).astype(np.float32)


def paste_head(photo: Pixels, head: Pixels, frame: HeadFrame, mask: NDArray[np.floating]) -> None:
    """Paste a head into a photo; only pixels inside the frame change.

    Args:
        photo: (H, W, 3), uint8 or uint16, written to.
        head: (S, S, 3) for any S, of the photo's type; a head larger than its frame is shrunk with antialiasing.
        frame: place of the head; the part outside the photo is cut off.
        mask: (S, S) in [0, 1], the share of the head; see `soft_mask`.
    Raises:
        ShapeError: if an array does not have the shape and type stated.
    """
    check_picture("photo", photo)
    _check_head(head, mask)
    left, top, right, bottom = _bounds(frame, photo.shape[1], photo.shape[0])
    if left >= right or top >= bottom:
        return
    to_region = cv2.invertAffineTransform(frame_matrix(frame, len(head))).astype(np.float64)
    to_region[:, 2] -= left, top
    size = (right - left, bottom - top)
    upscaled = _warp(head, to_region, size, cv2.INTER_CUBIC, cv2.BORDER_REFLECT_101)
    share = _warp(mask.astype(np.float32), to_region, size, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT)[..., None]
    region = photo[top:bottom, left:right]
    region[:] = np.rint(region + share * (upscaled - region.astype(np.float32)))


def _warp(source: Numbers, matrix: Points, size: tuple[int, int], interpolation: int, border: int) -> Numbers:
    """Warp to `size` = (width, height) by a (2, 3) matrix; if that shrinks, oversample and take area means."""
    scale = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    fine = max(1, math.ceil(1 / scale - 0.01))  # -0.01: do not blur an aligned portrait that keeps its size
    warped = _warp_samples(source, matrix * fine, (size[0] * fine, size[1] * fine), interpolation, border)
    return warped if fine == 1 else cv2.resize(warped, size, interpolation=cv2.INTER_AREA)


def _warp_samples(source: Numbers, matrix: Points, size: tuple[int, int], interpolation: int, border: int) -> Numbers:
    """Warp as `_warp` does, but with one sample per pixel."""
    indexed = matrix.copy()
    indexed[:, 2] += indexed[:, :2] @ [0.5, 0.5] - 0.5  # OpenCV's origin is the centre of the first pixel
    return cv2.warpAffine(source, indexed, size, flags=interpolation, borderMode=border)


def _bounds(frame: HeadFrame, width: int, height: int, margin: int = 0) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of the photo's pixels in the frame, with `margin` more pixels on every side."""
    reach = np.abs([frame.right, frame.down]).sum(axis=0) + margin  # (x, y)
    low = np.floor(frame.center - reach).clip(0, (width, height)).astype(int)
    high = np.ceil(frame.center + reach).clip(0, (width, height)).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _check_head(head: Pixels, mask: NDArray[np.floating]) -> None:
    check_picture("head", head)
    if head.shape[0] != head.shape[1] or mask.shape != head.shape[:2]:
        raise ShapeError(f"paste_head: head {head.shape} and mask {mask.shape}, expected (S, S, 3) and (S, S).")


def _rot90(vector: Points) -> Points:
    return np.array([-vector[1], vector[0]])


def _pair(vector: Points) -> tuple[float, float]:
    return float(vector[0]), float(vector[1])


def _text(point: Points) -> str:
    return f"({point[0]:.1f}, {point[1]:.1f})"
