"""Compute the optical flow between two pictures, its reliability, and warp pictures by it.

The flow is OpenCV's DIS: T. Kroeger, R. Timofte, D. Dai, L. Van Gool, "Fast Optical Flow using Dense Inverse Search",
ECCV 2016. Its bytes do not depend on the number of OpenCV's threads.
"""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from facegen.arrays import RGB
from facegen.errors import ShapeError

Flow = NDArray[np.float32]
"""(H, W, 2): right and down, in pixels, from a pixel of the later picture to where it was in the earlier one."""
Picture = TypeVar("Picture", RGB, NDArray[np.float32])
LEAST_SIDE = 12
"""Smallest side that DIS takes, as it works at half the size with patches of 8 px."""
DOUBT, SHARE = 0.5, 0.01
"""The trust in a pixel is a half if the squared difference between the flow and the flow back is 0.5 px^2 + 1 % of both
squared lengths, the bound of N. Sundaram, T. Brox, K. Keutzer, "Dense Point Trajectories by GPU-Accelerated Large
Displacement Optical Flow", ECCV 2010, eq. 5."""


def flow_between(before: RGB, after: RGB) -> Flow:
    """Find the position of each pixel of a picture in an earlier one.

    Args:
        before, after: (H, W, 3) of one size.
    Returns:
        backward flow: `after[y, x]` corresponds to `before[y + flow[y, x, 1], x + flow[y, x, 0]]`; no motion if a side
        is below `LEAST_SIDE`.
    Raises:
        ShapeError: if the pictures are not (H, W, 3) of one size.
    """
    if before.shape != after.shape or before.ndim != 3 or before.shape[2] != 3:
        raise ShapeError(f"flow_between: pictures have shapes {before.shape} and {after.shape}, expected (H, W, 3).")
    if min(before.shape[:2]) < LEAST_SIDE:
        return np.zeros((*before.shape[:2], 2), dtype=np.float32)
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (after, before)]
    still = np.zeros((*before.shape[:2], 2), dtype=np.float32)
    return np.asarray(search.calc(grey[0], grey[1], still), dtype=np.float32)


def warp(picture: Picture, flow: Flow, interpolation: int = cv2.INTER_LANCZOS4) -> Picture:
    """Warp an earlier picture to a later one; where the flow leaves the picture, it is mirrored.

    Args:
        picture: (H, W) or (H, W, C), uint8 or float32.
        flow: (H, W, 2), from `flow_between`.
        interpolation: OpenCV's; Lanczos keeps detail over many warps, but may overshoot a little.
    Raises:
        ShapeError: if the flow is of another size than the picture.
    """
    if flow.shape != (*picture.shape[:2], 2):
        raise ShapeError(f"warp: flow has shape {flow.shape}, expected {(*picture.shape[:2], 2)}; see resize_flow.")
    x, y = _origins(flow)
    moved = cv2.remap(picture, x, y, interpolation, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(moved, dtype=picture.dtype)


def resize_flow(flow: Flow, size: tuple[int, int]) -> Flow:
    """Resize a flow, bilinearly, to the same motion in pictures of another size.

    Args:
        flow: (H, W, 2).
        size: (width, height).
    """
    height, width = flow.shape[:2]
    factors = np.array([size[0] / width, size[1] / height], dtype=np.float32)
    return np.asarray(cv2.resize(flow, size, interpolation=cv2.INTER_LINEAR) * factors, dtype=np.float32)


def trust(flow: Flow, back: Flow) -> NDArray[np.float32]:
    """Compute the reliability of a flow from its agreement with the flow back.

    Args:
        flow: (H, W, 2), `flow_between(before, after)`.
        back: (H, W, 2), `flow_between(after, before)`.
    Returns:
        (H, W) in [0, 1]: 1 where they agree, 0.5 at the bound of `DOUBT` and `SHARE`, 0 far above it and where the flow
        leaves the picture.
    """
    returned = warp(back, flow, cv2.INTER_LINEAR)
    miss = np.square(flow + returned).sum(-1)
    bound = SHARE * (np.square(flow).sum(-1) + np.square(returned).sum(-1)) + DOUBT
    x, y = _origins(flow)
    height, width = flow.shape[:2]
    inside = (x > -1) & (x < width) & (y > -1) & (y < height)
    return np.asarray(np.exp2(-miss / bound) * inside, dtype=np.float32)


def _origins(flow: Flow) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the x and y to which the flow leads from each pixel, (H, W) each."""
    down, right = np.indices(flow.shape[:2], dtype=np.float32)
    return right + flow[..., 0], down + flow[..., 1]
