"""Carry detail from frame to frame, so that it moves with the face instead of being invented again.

An upscaled picture is the enlarged low-res picture plus detail that the low-res picture does not determine. The detail
of two frames differs even where their low-res pictures agree: that is flicker. So the previous frame's detail is moved
along the flow of the low-res pictures, which do not flicker, and mixed with the fresh detail.
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
from facegen.video.store import State

Plane = NDArray[np.float32]

STRENGTH = 0.95
"""Share of the carried detail where the flow is fully trusted."""
FLOW_SIDE = 256
"""Smaller low-res pictures are enlarged to this longer side to find flow of less than a pixel."""
CHANGE = 10 / 255
"""Change of the low-res picture along the flow at which carried detail has half its share."""
FINE = 1.5
"""Standard deviation, in pixels, of the Gaussian that separates fine detail, which mixing blurs, from the rest."""
NEAR = 16
"""Standard deviation, in pixels, of the neighbourhood that local sharpness is averaged over."""
COARSE = 8
"""Local sharpness is averaged on a grid this many times coarser."""
MEAN = np.full((1, 3), 1 / 3, dtype=np.float32)
"""Takes the mean of three channels."""
GAIN = (0.8, 1.6)
"""Least and largest gain on fine detail."""


@dataclass(frozen=True)
class Motion:
    """Motion between two low-res pictures, at their size or at that of `FLOW_SIDE`, whichever is larger."""

    flow: Flow  # (h, w, 2), see `flow_between`
    trust: Plane  # (h, w) in [0, 1]; low where flows forth and back differ, or the picture changes along the flow


@dataclass(frozen=True)
class Kept:
    """The parts of a finished frame that the next one uses."""

    low_res: RGB  # (h, w, 3), before it was upscaled
    detail: NDArray[np.float16]  # (H, W, 3): the finished frame minus its enlarged low-res picture

    @classmethod
    def of(cls, low_res: RGB, image: Plane, base: Plane | None = None) -> Kept:
        """Keep a finished frame, (H, W, 3) in [0, 1]; `base` is the enlarged `low_res`, if it exists already."""
        base = enlarge(low_res, image.shape[:2]) if base is None else base
        return cls(low_res, (image - base).astype(np.float16))

    def state(self) -> dict[str, NDArray[Any]]:
        return {"low_res": self.low_res, "detail": self.detail}

    @classmethod
    def restored(cls, state: State) -> Kept | None:
        """None if the state is empty, as before the first frame."""
        return cls(state["low_res"], state["detail"]) if state else None


@dataclass(frozen=True)
class Carried:
    """The previous frame's detail, moved to where this frame shows the same things."""

    base: Plane  # (H, W, 3) in [0, 1]: this frame's enlarged low-res picture
    detail: Plane  # (H, W, 3), to be added to `base`
    trust: Plane  # (H, W) in [0, 1]

    @step("facegen.carry")
    def mix(self, fresh: Plane, strength: float = STRENGTH) -> Plane:
        """Mix the carried detail into a fresh picture, (H, W, 3) in [0, 1], without loss of sharpness.

        The mean of two different details is weaker than either, and every warp blurs a little. So the fine part is
        amplified to the local sharpness of the fresh picture. That must agree with its low-res picture as the carried
        one does; otherwise frames would become ever sharper.
        """
        share = (strength * self.trust)[..., None]
        detail = fresh - self.base
        mixed = detail + share * (self.detail - detail)
        smooth = cv2.GaussianBlur(mixed, (0, 0), FINE)
        gain = np.sqrt(_sharpness(detail) / _sharpness(mixed)).clip(*GAIN)[..., None]
        return np.asarray((self.base + smooth + gain * (mixed - smooth)).clip(0, 1), dtype=np.float32)


@step("facegen.warp")
def carried(kept: Kept, low_res: RGB, moved: Motion) -> Carried:
    """Move the previous frame's detail to the next frame.

    Args:
        low_res: (h, w, 3), the next frame before it is upscaled.
        moved: the motion from `kept.low_res` to it.
    Raises:
        ShapeError: if the two low-res pictures differ in shape.
    """
    size = kept.detail.shape[:2]
    if low_res.shape != kept.low_res.shape:
        raise ShapeError(
            f"carried: low-res picture has shape {low_res.shape}, expected {kept.low_res.shape} as before."
        )
    wide = (size[1], size[0])
    detail = warp(kept.detail.astype(np.float32), resize_flow(moved.flow, wide))
    trusted = np.asarray(cv2.resize(moved.trust, wide, interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    return Carried(enlarge(low_res, size), detail, trusted)


def enlarge(low_res: RGB, size: tuple[int, ...]) -> Plane:
    """Enlarge (h, w, 3) uint8 by bicubic interpolation to (H, W, 3) in [0, 1]; size is (H, W)."""
    large = cv2.resize(low_res.astype(np.float32) / 255, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large.clip(0, 1), dtype=np.float32)


@step("facegen.flow")
def motion(before: RGB, after: RGB) -> Motion:
    """Find the motion between two low-res pictures, (h, w, 3) of one size, and how far to trust it."""
    factor = max(FLOW_SIDE / max(before.shape[:2]), 1.0)
    enlarged = (cv2.resize(x, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC) for x in (before, after))
    earlier, later = (np.asarray(picture, dtype=np.uint8) for picture in enlarged)
    flow = flow_between(earlier, later)
    believed = trust(flow, flow_between(later, earlier))
    moved = warp(earlier, flow, cv2.INTER_LINEAR).astype(np.float32)
    change = cv2.GaussianBlur(np.abs(later - moved).mean(-1) / 255, (0, 0), 2)
    return Motion(flow, np.asarray(believed * np.exp2(-np.square(change / CHANGE)), dtype=np.float32))


def _sharpness(detail: Plane) -> Plane:
    """Mean square of the Laplacian around each pixel, above 0: (H, W, 3) -> (H, W)."""
    height, width = detail.shape[:2]
    energy = cv2.transform(np.square(cv2.Laplacian(detail, cv2.CV_32F)), MEAN) + 1e-8
    small = (max(width // COARSE, 1), max(height // COARSE, 1))
    near = cv2.GaussianBlur(cv2.resize(energy, small, interpolation=cv2.INTER_AREA), (0, 0), NEAR / COARSE)
    return np.asarray(cv2.resize(near, (width, height), interpolation=cv2.INTER_LINEAR))
