"""Carry detail from frame to frame, so that it moves with what it is on instead of being made anew.

An upscaled picture is its low-res picture, enlarged, plus detail that the low-res picture leaves open. Two frames'
detail differs even where their low-res pictures agree: that is flicker. Here the previous frame's detail moves along
the flow of the low-res pictures, which do not flicker, and is mixed with the fresh detail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from torch.profiler import record_function as step

from facegen.arrays import RGB
from facegen.errors import ShapeError
from facegen.ops.flow import Flow, flow_between, resize_flow, trust, warp
from facegen.video.store import State, nonempty

Plane = NDArray[np.float32]

STRENGTH = 0.85
"""Share of the carried detail where the flow is fully trusted."""
FLOW_SIDE = 256
"""Smaller low-res pictures are enlarged to this longest side to find flow, which is finer than a pixel."""
CHANGE = 10 / 255
"""Change of the low-res picture along the flow at which carried detail counts half."""
FINE = 1.5
"""Standard deviation, in pixels, of the Gaussian that separates fine detail, which mixing blurs, from the rest."""
NEAR = 16
"""Standard deviation, in pixels, of the neighbourhood that local sharpness is averaged over."""
COARSE = 8
"""Local sharpness is averaged on a grid this many times coarser."""
GAIN = (0.8, 1.6)
"""Least and largest gain on fine detail."""


@dataclass(frozen=True)
class Carried:
    """The previous frame's detail, moved to where this frame shows the same things."""

    base: Plane  # (H, W, 3) in [0, 1]: this frame's low-res picture, enlarged
    detail: Plane  # (H, W, 3), to be added to `base`
    trust: Plane  # (H, W) in [0, 1]

    @step("facegen.carry")
    def mix(self, fresh: Plane, strength: float = STRENGTH) -> Plane:
        """Mix the carried detail into a fresh picture, (H, W, 3) in [0, 1], and keep it as sharp.

        The mean of two different details is weaker than either, and every warp blurs a little. So the fine part is
        amplified to the local sharpness of the fresh picture.
        """
        share = (strength * self.trust)[..., None]
        detail = fresh - self.base
        mixed = detail + share * (self.detail - detail)
        smooth = cv2.GaussianBlur(mixed, (0, 0), FINE)
        gain = np.sqrt(_sharpness(detail) / _sharpness(mixed)).clip(*GAIN)[..., None]
        return np.asarray((self.base + smooth + gain * (mixed - smooth)).clip(0, 1), dtype=np.float32)


class DetailCarrier:
    """Carries detail through frames of one size: `carried` is called before a frame is finished, `keep` after."""

    def __init__(self) -> None:
        self._low_res: RGB | None = None
        self._detail: NDArray[np.float16] | None = None

    @step("facegen.flow")
    def carried(self, low_res: RGB, size: tuple[int, ...]) -> Carried | None:
        """Move the previous frame's detail to the next frame; None before the first.

        Args:
            low_res: (h, w, 3), the next frame before it is upscaled.
            size: (height, width) of the upscaled frame.
        """
        if self._low_res is None or self._detail is None:
            return None
        if low_res.shape != self._low_res.shape or self._detail.shape[:2] != size:
            shapes = f"{low_res.shape} upscaled to {size}, expected {self._low_res.shape} to {self._detail.shape[:2]}"
            raise ShapeError(f"DetailCarrier: got {shapes} as before.")
        flow, believed = motion(self._low_res, low_res)
        wide = (size[1], size[0])
        detail = warp(self._detail.astype(np.float32), resize_flow(flow, wide))
        trusted = np.asarray(cv2.resize(believed, wide, interpolation=cv2.INTER_LINEAR), dtype=np.float32)
        return Carried(enlarge(low_res, size), detail, trusted)

    def keep(self, low_res: RGB, image: Plane) -> None:
        """Remember a finished frame, (H, W, 3) in [0, 1], for the next."""
        self._low_res, self._detail = low_res, (image - enlarge(low_res, image.shape[:2])).astype(np.float16)

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that the next frame needs; {} before the first."""
        return nonempty({"low_res": self._low_res, "detail": self._detail})

    def restore(self, state: State) -> None:
        self._low_res, self._detail = state.get("low_res"), state.get("detail")


def enlarge(low_res: RGB, size: tuple[int, ...]) -> Plane:
    """Enlarge (h, w, 3) uint8 by bicubic interpolation to (H, W, 3) in [0, 1]; size is (H, W)."""
    large = cv2.resize(low_res.astype(np.float32) / 255, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large.clip(0, 1), dtype=np.float32)


def motion(before: RGB, after: RGB) -> tuple[Flow, Plane]:
    """Find the flow between two low-res pictures, (h, w, 3), and how far to trust it: (H, W, 2), (H, W) in [0, 1].

    (H, W) is the pictures' size or `FLOW_SIDE`, whichever is larger. Trust falls where the flows forth and back differ
    and where the picture itself changes along the flow.
    """
    factor = max(FLOW_SIDE / max(before.shape[:2]), 1.0)
    enlarged = (cv2.resize(x, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC) for x in (before, after))
    earlier, later = (np.asarray(picture, dtype=np.uint8) for picture in enlarged)
    flow = flow_between(earlier, later)
    believed = trust(flow, flow_between(later, earlier))
    moved = warp(earlier, flow, cv2.INTER_LINEAR).astype(np.float32)
    change = cv2.GaussianBlur(np.abs(later - moved).mean(-1) / 255, (0, 0), 2)
    return flow, np.asarray(believed * np.exp2(-np.square(change / CHANGE)), dtype=np.float32)


def _sharpness(detail: Plane) -> Plane:
    """Mean square of the Laplacian around each pixel, above 0: (H, W, 3) -> (H, W)."""
    height, width = detail.shape[:2]
    energy = np.square(cv2.Laplacian(detail, cv2.CV_32F)).mean(-1) + 1e-8
    small = (max(width // COARSE, 1), max(height // COARSE, 1))
    near = cv2.GaussianBlur(cv2.resize(energy, small, interpolation=cv2.INTER_AREA), (0, 0), NEAR / COARSE)
    return np.asarray(cv2.resize(near, (width, height), interpolation=cv2.INTER_LINEAR))
