"""Frames between frames: each is made from both neighbours, moved along the optical flow to the time between.

Where the flow is not to be trusted, as at what only one of the two shows, they are cross-faded where they stand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from facegen.errors import UsageError
from facegen.ops.flow import Flow, flow_between, trust, warp

Frame = NDArray[np.uint8]

FACTORS = (2, 4)


@dataclass(frozen=True)
class _Pair:
    """Two frames in float32 and the motion between them."""

    before: NDArray[np.float32]
    after: NDArray[np.float32]
    to_before: Flow
    """From a pixel of `after` to where it was."""
    to_after: Flow
    """From a pixel of `before` to where it will be."""
    trust_before: NDArray[np.float32]
    """(H, W) in [0, 1], of `to_after`, in the frame of `before`."""
    trust_after: NDArray[np.float32]


def interpolate(frames: Iterable[Frame], factor: int, *, loop: bool = False) -> Iterator[Frame]:
    """Put factor - 1 frames between each two; only two frames are held at a time.

    Args:
        frames: N of (H, W, 3) uint8, all of one size.
        factor: 2 or 4.
        loop: whether the first frame follows the last one, so that frames are put between these too.
    Returns:
        factor * (N - 1) + 1 frames, or factor * N of a loop; the given ones among them, unchanged.
    Raises:
        UsageError: if the factor is another.
        ShapeError: if the frames differ in size.
    """
    if factor not in FACTORS:
        raise UsageError(f"frames cannot be interpolated {factor} times; expected 2 or 4.")
    return _interpolated(iter(frames), factor, loop)


def between(before: Frame, after: Frame, times: Iterable[float]) -> Iterator[Frame]:
    """The frames at some times from 0, the first frame's, to 1, the second one's.

    Args:
        before, after: (H, W, 3) uint8 of one size.
    Raises:
        ShapeError: if their sizes differ.
    """
    to_before, to_after = flow_between(before, after), flow_between(after, before)
    pair = _Pair(
        before.astype(np.float32), after.astype(np.float32), to_before, to_after,
        trust(to_after, to_before), trust(to_before, to_after),
    )  # fmt: skip
    return (_at(pair, time) for time in times)


def _interpolated(frames: Iterator[Frame], factor: int, loop: bool) -> Iterator[Frame]:
    first = next(frames, None)
    if first is None:
        return
    times = [step / factor for step in range(1, factor)]
    yield first
    latest = first
    for following in frames:
        yield from between(latest, following, times)
        yield following
        latest = following
    if loop:
        yield from between(latest, first, times)


def _at(pair: _Pair, time: float) -> Frame:
    """One frame between.

    The flow at a time between is that of H. Jiang et al., "Super SloMo" (CVPR 2018), eq. 4.
    """
    rest = 1 - time
    flow_before = rest * time * -pair.to_after + time * time * pair.to_before
    flow_after = rest * rest * pair.to_after - time * rest * pair.to_before
    moved_before, moved_after = warp(pair.before, flow_before), warp(pair.after, flow_after)
    faded = rest * pair.before + time * pair.after
    share_before = rest * warp(pair.trust_before, flow_before, cv2.INTER_LINEAR)
    share_after = time * warp(pair.trust_after, flow_after, cv2.INTER_LINEAR)
    shares = np.dstack([share_before, share_after, np.maximum(1 - share_before - share_after, 0)])
    mixed = shares[..., :1] * moved_before + shares[..., 1:2] * moved_after + shares[..., 2:] * faded
    return np.asarray(np.rint(mixed.clip(0, 255)), dtype=np.uint8)
