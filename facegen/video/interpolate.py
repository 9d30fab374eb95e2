"""Interpolate frames: both neighbours are moved along the optical flow to the time in between, and mixed.

Where the flow cannot be trusted, as where only one of them shows something, they are cross-faded in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from facegen.arrays import RGB
from facegen.errors import UsageError
from facegen.ops.flow import flow_between, trust, warp

FACTORS = (2, 4)


def interpolate(frames: Iterable[RGB], factor: int, *, loop: bool = False) -> Iterator[RGB]:
    """Insert factor - 1 frames between each two neighbours, with only two frames in memory at a time.

    Args:
        frames: N of (H, W, 3) uint8, all of one size.
        factor: 2 or 4.
        loop: the first frame follows the last, so frames are inserted between them too.
    Returns:
        factor * (N - 1) + 1 frames, or factor * N for a loop; the input frames are among them, unchanged.
    """
    if factor not in FACTORS:
        raise UsageError(f"frames cannot be interpolated {factor} times; expected 2 or 4.")
    return _interpolated(iter(frames), [step / factor for step in range(1, factor)], loop)


def _interpolated(frames: Iterator[RGB], times: list[float], loop: bool) -> Iterator[RGB]:
    first = latest = next(frames, None)
    if first is None or latest is None:
        return
    yield first
    for following in frames:
        yield from _between(latest, following, times)
        yield following
        latest = following
    if loop:
        yield from _between(latest, first, times)


def _between(before: RGB, after: RGB, times: Iterable[float]) -> Iterator[RGB]:
    """Make the frames at some times between 0 (`before`) and 1 (`after`).

    The flow at these times follows H. Jiang et al., "Super SloMo" (CVPR 2018), eq. 4.
    """
    to_before, to_after = flow_between(before, after), flow_between(after, before)
    trust_before, trust_after = trust(to_after, to_before), trust(to_before, to_after)  # in that frame's pixels
    first, last = before.astype(np.float32), after.astype(np.float32)
    for time in times:
        rest = 1 - time
        flow_before = rest * time * -to_after + time * time * to_before
        flow_after = rest * rest * to_after - time * rest * to_before
        share_before = rest * warp(trust_before, flow_before, cv2.INTER_LINEAR)[..., None]
        share_after = time * warp(trust_after, flow_after, cv2.INTER_LINEAR)[..., None]
        faded = rest * first + time * last
        mixed = share_before * warp(first, flow_before) + share_after * warp(last, flow_after)
        mixed = mixed + np.maximum(1 - share_before - share_after, 0) * faded
        yield np.asarray(np.rint(mixed.clip(0, 255)), dtype=np.uint8)
