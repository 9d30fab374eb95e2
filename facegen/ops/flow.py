"""Optical flow between two pictures, and what it is good for: warping one to the other, and how far to believe it.

The flow is DIS: T. Kroeger, R. Timofte, D. Dai, L. Van Gool, "Fast Optical Flow using Dense Inverse Search", ECCV 2016,
in OpenCV. It gives the same bytes however many threads OpenCV runs.
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
"""Shortest side that DIS takes; its patches are 8 px, and it works at half the size."""
DOUBT, SHARE = 0.5, 0.01
"""A pixel is doubted by half where there and back differ by 0.5 px^2 + 1 % of both squared lengths, the bound of
N. Sundaram, T. Brox, K. Keutzer, "Dense Point Trajectories by GPU-Accelerated Large Displacement Optical Flow", ECCV
2010, eq. 5."""


def flow_between(before: RGB, after: RGB) -> Flow:
    """Where each pixel of a picture was in an earlier one.

    Args:
        before, after: (H, W, 3) of one size.
    Returns:
        backward flow: `after[y, x]` looks like `before[y + flow[y, x, 1], x + flow[y, x, 0]]`; no motion where the
        pictures are too small to tell (a side below `LEAST_SIDE`).
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
    """Move an earlier picture to where the later one shows things; mirrored where the flow leaves it.

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
    """The same motion in pictures of another size, bilinear.

    Args:
        flow: (H, W, 2).
        size: (width, height).
    """
    height, width = flow.shape[:2]
    factors = np.array([size[0] / width, size[1] / height], dtype=np.float32)
    return np.asarray(cv2.resize(flow, size, interpolation=cv2.INTER_LINEAR) * factors, dtype=np.float32)


def trust(flow: Flow, back: Flow) -> NDArray[np.float32]:
    """How far the flow may be believed: whether going back and forth leads to where it began.

    Args:
        flow: (H, W, 2), `flow_between(before, after)`.
        back: (H, W, 2), `flow_between(after, before)`.
    Returns:
        (H, W) in [0, 1]: 1 where they agree, a half at the bound that `DOUBT` and `SHARE` set, 0 well beyond it and
        where the flow leaves the picture.
    """
    returned = warp(back, flow, cv2.INTER_LINEAR)
    miss = np.square(flow + returned).sum(-1)
    bound = SHARE * (np.square(flow).sum(-1) + np.square(returned).sum(-1)) + DOUBT
    x, y = _origins(flow)
    height, width = flow.shape[:2]
    inside = (x > -1) & (x < width) & (y > -1) & (y < height)
    return np.asarray(np.exp2(-miss / bound) * inside, dtype=np.float32)


def _origins(flow: Flow) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where each pixel was, x and y: (H, W) each."""
    down, right = np.indices(flow.shape[:2], dtype=np.float32)
    return right + flow[..., 0], down + flow[..., 1]
