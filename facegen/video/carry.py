"""Carrying detail from frame to frame, so that it moves with what it is on instead of being made anew every time.

An upscaled picture is its low-res picture enlarged plus detail, which the low-res picture leaves free. Two frames'
detail agree little even where the low-res pictures do: that is flicker. Here the previous frame's detail is moved along
the flow of the low-res pictures, which do not flicker, and mixed with the fresh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from facegen.errors import ShapeError
from facegen.ops.flow import Flow, flow_between, resize_flow, trust, warp

Plane = NDArray[np.float32]
FLOW_SIDE = 256
"""Smaller low-res pictures are enlarged to this longest side before flow is looked for: it is finer than a pixel."""
CHANGE = 10 / 255
"""Change of the low-res picture along the flow at which carried detail counts half."""
FINE = 1.5
"""Deviation, in pixels, of the Gaussian that tells fine detail, which mixing blurs, from the rest."""
NEAR = 16
"""Deviation, in pixels, of the neighbourhood that local sharpness is averaged over."""
COARSE = 8
"""Local sharpness is averaged on a grid this many times coarser."""
GAIN = (0.8, 1.6)
"""Least and most that fine detail is amplified."""


@dataclass(frozen=True)
class Carried:
    """The previous frame's detail, moved to where this frame shows things."""

    detail: Plane
    """(H, W, 3), to be added to the low-res picture enlarged."""
    trust: Plane
    """(H, W) in [0, 1]."""


class DetailCarrier:
    """Carries detail through a sequence of frames of one size; each frame is `carry`d once, in order.

    Args:
        strength: share of the carried detail where it is fully trusted, 0..1.
    """

    def __init__(self, strength: float = 0.85) -> None:
        self.strength = strength
        self.reset()

    def reset(self) -> None:
        """Forget the previous frame, as at a cut."""
        self._low_res: NDArray[np.uint8] | None = None
        self._detail: NDArray[np.float16] | None = None

    def carry(self, low_res: NDArray[np.uint8], upscaled: Plane) -> Plane:
        """Steady the next frame.

        Args:
            low_res: (h, w, 3), what was upscaled.
            upscaled: (H, W, 3) in [0, 1], what became of it, at least as large.
        Returns:
            (H, W, 3) in [0, 1]; shrunk again it may differ a little from `low_res`, see
            `facegen.ops.consistency.back_project`.
        Raises:
            ShapeError: if the sizes differ from the previous frame's.
        """
        carried = self.carried(low_res, upscaled.shape[:2])
        base = enlarge(low_res, upscaled.shape[:2])
        mixed = upscaled if carried is None else mix(carried, upscaled, base, self.strength)
        self.keep(low_res, mixed)
        return mixed

    def carried(self, low_res: NDArray[np.uint8], size: tuple[int, ...]) -> Carried | None:
        """The previous frame's detail moved to the next frame, (height, width) in size; None before the first."""
        if self._low_res is None or self._detail is None:
            return None
        if low_res.shape != self._low_res.shape or self._detail.shape[:2] != size:
            shapes = f"{low_res.shape} upscaled to {size}, expected {self._low_res.shape} to {self._detail.shape[:2]}"
            raise ShapeError(f"DetailCarrier: got {shapes} as before; reset() it at a cut.")
        flow, believed = motion(self._low_res, low_res)
        wide = (size[1], size[0])
        detail = warp(self._detail.astype(np.float32), resize_flow(flow, wide))
        return Carried(detail, np.asarray(cv2.resize(believed, wide, interpolation=cv2.INTER_LINEAR)))

    def keep(self, low_res: NDArray[np.uint8], image: Plane) -> None:
        """Remember a finished frame, (H, W, 3) in [0, 1], for the next."""
        self._low_res, self._detail = low_res, (image - enlarge(low_res, image.shape[:2])).astype(np.float16)

    def state(self) -> dict[str, NDArray[np.uint8] | NDArray[np.float16]]:
        """All that the next frame needs; empty before the first."""
        return (
            {} if self._low_res is None or self._detail is None else {"low_res": self._low_res, "detail": self._detail}
        )

    def restore(self, state: Mapping[str, NDArray[np.uint8] | NDArray[np.float16]]) -> None:
        """Go on where `state` was taken."""
        self.reset()
        if state:
            self._low_res, self._detail = state["low_res"].astype(np.uint8), state["detail"].astype(np.float16)


def enlarge(low_res: NDArray[np.uint8], size: tuple[int, ...]) -> Plane:
    """Bicubic, (h, w, 3) uint8 to (H, W, 3) in [0, 1]; size is (H, W)."""
    large = cv2.resize(low_res.astype(np.float32) / 255, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large.clip(0, 1), dtype=np.float32)


def motion(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> tuple[Flow, Plane]:
    """Flow between two low-res pictures, (h, w, 3), and how far it is to be trusted.

    Returns:
        (H, W, 2) flow and (H, W) trust in [0, 1], at the pictures' size or at `FLOW_SIDE`, whichever is larger. Trust
        falls where there and back differ and where the picture itself changes along the flow.
    """
    factor = max(FLOW_SIDE / max(before.shape[:2]), 1.0)
    earlier, later = (_scaled(picture, factor) for picture in (before, after))
    flow = flow_between(earlier, later)
    believed = trust(flow, flow_between(later, earlier))
    moved = warp(earlier, flow, cv2.INTER_LINEAR).astype(np.float32)
    change = cv2.GaussianBlur(np.abs(later - moved).mean(-1) / 255, (0, 0), 2)
    return flow, np.asarray(believed * np.exp2(-np.square(change / CHANGE)), dtype=np.float32)


def _scaled(picture: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    large = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, dtype=np.uint8)


def mix(carried: Carried, upscaled: Plane, base: Plane, strength: float) -> Plane:
    """Mix carried and fresh detail, as sharp as the fresh.

    Where two details differ their mean is weaker than either, and every warp blurs a little. So the fine part is
    amplified to the fresh one's local sharpness.

    Args:
        carried: of the previous frame.
        upscaled: (H, W, 3) in [0, 1], the fresh picture.
        base: (H, W, 3) in [0, 1], the low-res picture enlarged.
        strength: share of the carried detail where it is fully trusted.
    Returns:
        (H, W, 3) in [0, 1].
    """
    share = (strength * carried.trust)[..., None]
    fresh = upscaled - base
    mixed = fresh + share * (carried.detail - fresh)
    smooth = cv2.GaussianBlur(mixed, (0, 0), FINE)
    gain = np.sqrt(_sharpness(fresh) / _sharpness(mixed)).clip(*GAIN)[..., None]
    return np.asarray((base + smooth + gain * (mixed - smooth)).clip(0, 1), dtype=np.float32)


def _sharpness(detail: Plane) -> Plane:
    """Mean square of the Laplacian around each pixel, above 0: (H, W, 3) -> (H, W)."""
    height, width = detail.shape[:2]
    energy = np.square(cv2.Laplacian(detail, cv2.CV_32F)).mean(-1) + 1e-8
    small = (max(width // COARSE, 1), max(height // COARSE, 1))
    near = cv2.GaussianBlur(cv2.resize(energy, small, interpolation=cv2.INTER_AREA), (0, 0), NEAR / COARSE)
    return np.asarray(cv2.resize(near, (width, height), interpolation=cv2.INTER_LINEAR))
