"""Smoothing what was measured in every frame by itself, such as landmarks, without lagging behind motion."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.errors import ShapeError, UsageError
from facegen.faces.align import HeadFrame
from facegen.faces.landmarks import Landmarks

Points = NDArray[np.float64]


class OneEuroFilter:
    """A low-pass whose cutoff rises with speed: steady at rest, quick in motion.

    G. Casiez, N. Roussel, D. Vogel, "1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive
    Systems", CHI 2012. Every number of an array is filtered by itself. With `beta` 0 it is a plain low-pass.

    Args:
        fps: measurements per second.
        cutoff: in Hz, of what stands still: lower is steadier.
        beta: how much the cutoff rises, in Hz per unit of speed (units of the values per second): higher lags less.
        speed_cutoff: in Hz, of the speed that decides.
    Raises:
        UsageError: if a number is not positive (`beta`: negative).
    """

    def __init__(self, fps: float, *, cutoff: float = 1.0, beta: float = 0.0, speed_cutoff: float = 1.0) -> None:
        if not min(fps, cutoff, speed_cutoff) > 0 or not beta >= 0:
            given = f"fps {fps}, cutoff {cutoff}, beta {beta}, speed_cutoff {speed_cutoff}"
            raise UsageError(f"OneEuroFilter: {given}; expected positive numbers, beta 0 or more.")
        self.fps, self.cutoff, self.beta, self.speed_cutoff = fps, cutoff, beta, speed_cutoff
        self.reset()

    def reset(self) -> None:
        """Forget what was measured; the next values are returned as they are."""
        self.values: Points | None = None
        """The latest smoothed values; None before the first."""
        self._speed: Points | None = None

    def __call__(self, measured: Points) -> Points:
        """Smooth the next measurement.

        Args:
            measured: of any shape, the same at every call; a frame without one repeats the latest `values` instead.
        Returns:
            the smoothed values.
        Raises:
            ShapeError: if the shape changes.
        """
        if self.values is None or self._speed is None:
            self.values, self._speed = measured.astype(np.float64), np.zeros(measured.shape)
            return self.values
        if measured.shape != self.values.shape:
            raise ShapeError(f"OneEuroFilter: got shape {measured.shape}, expected {self.values.shape} as before.")
        speed = (measured - self.values) * self.fps
        self._speed = self._speed + self._share(self.speed_cutoff) * (speed - self._speed)
        share = self._share(self.cutoff + self.beta * np.abs(self._speed))
        self.values = self.values + share * (measured - self.values)
        return self.values

    def _share(self, cutoff: float | Points) -> Points:
        """Share of the new value that a low-pass of this cutoff in Hz takes: 1 / (1 + fps / (2 pi cutoff))."""
        return np.asarray(1 / (1 + self.fps / (2 * math.pi * np.asarray(cutoff))))

    def state(self) -> dict[str, NDArray[np.float64]]:
        """All that the next measurement is smoothed with; empty before the first."""
        if self.values is None or self._speed is None:
            return {}
        return {"values": self.values, "speed": self._speed}

    def restore(self, state: dict[str, NDArray[np.float64]]) -> None:
        """Go on where `state` was taken."""
        self.reset()
        if state:
            self.values, self._speed = state["values"], state["speed"]


Arrays = Mapping[str, NDArray[Any]]

SAME = 0.3
"""Overlap, intersection over union of the upright boxes, from which heads of two frames are one."""
BRIDGED = 0.25
"""Seconds for which a head that is not found stays where it was."""
CUTOFF, BETA = 1.0, 20.0
"""Of the filters: Hz, and Hz per head side and second, so that a head at rest is still and a moving one not late."""


class TrackedHead:
    """One head in the frames of a clip.

    Args:
        fps: frames a second.
        unit: the head's side when it was first seen, in photo pixels; speed counts in it.
    """

    def __init__(self, fps: float, unit: float) -> None:
        self.unit, self.missed = unit, 0
        self.place = OneEuroFilter(fps, cutoff=CUTOFF, beta=BETA)
        """Of the frame's centre and its `right`, in units."""
        self.points = OneEuroFilter(fps, cutoff=CUTOFF, beta=BETA)
        """Of the landmarks, as shares of the aligned head's side."""

    def move(self, found: HeadFrame) -> None:
        """Tell where the head was found in the next frame."""
        self.missed = 0
        self.place(np.array([found.center, found.right]) / self.unit)

    @property
    def frame(self) -> HeadFrame:
        """Where the head is now, smoothed; once it was found."""
        (x, y), (right, down) = (np.asarray(self.place.values) * self.unit).tolist()
        return HeadFrame((x, y), (right, down), (-down, right))

    def steady(self, found: Landmarks, side: int) -> Landmarks:
        """Landmarks of the head cut out and aligned at this side, smoothed; the latest ones if these were not seen."""
        if found.detected or self.points.values is None:
            self.points(found.points / side)
        return Landmarks(np.asarray(self.points.values) * side, found.detected)


class HeadTracker:
    """Follows all heads of a clip.

    Args:
        fps: frames a second.
    """

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self.heads: list[TrackedHead] = []
        """Those of the latest frame, the largest first."""

    def follow(self, found: Sequence[HeadFrame]) -> list[TrackedHead]:
        """Tell what was found in the next frame; returns the heads in it, the largest first.

        A head found is the one it overlaps most, or a new one. One not found stays for `BRIDGED` seconds.
        """
        for head in self.heads:
            head.missed += 1
        for frame in found:
            self._nearest(frame).move(frame)
        self.heads = sorted(
            (head for head in self.heads if head.missed <= BRIDGED * self.fps), key=lambda head: -head.frame.side
        )
        return self.heads

    def _nearest(self, frame: HeadFrame) -> TrackedHead:
        """The head not found yet that overlaps a frame most, or a new one."""
        overlaps = [(_overlap(head.frame, frame), head) for head in self.heads if head.missed]
        overlap, nearest = max(overlaps, key=itemgetter(0), default=(0.0, None))
        if nearest is None or overlap < SAME:
            nearest = TrackedHead(self.fps, frame.side)
            self.heads.append(nearest)
        return nearest

    def forget(self) -> None:
        """Begin anew, as at a cut."""
        self.heads = []

    def state(self) -> dict[str, NDArray[Any]]:
        """All that the next frame needs, by name."""
        found: dict[str, NDArray[Any]] = {}
        for number, head in enumerate(self.heads):
            found[f"{number}.head"] = np.array([head.unit, head.missed])
            for name, smoother in _filters(head):
                found |= {f"{number}.{name}.{key}": values for key, values in smoother.state().items()}
        return found

    def restore(self, state: Arrays) -> None:
        """Go on where `state` was taken."""
        self.heads = []
        while (about := state.get(f"{len(self.heads)}.head")) is not None:
            head = TrackedHead(self.fps, float(about[0]))
            head.missed = int(about[1])
            for name, smoother in _filters(head):
                prefix = f"{len(self.heads)}.{name}."
                smoother.restore({key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)})
            self.heads.append(head)


def _filters(head: TrackedHead) -> Iterator[tuple[str, OneEuroFilter]]:
    yield "place", head.place
    yield "points", head.points


def _overlap(one: HeadFrame, other: HeadFrame) -> float:
    """Intersection over union of the upright boxes around two frames, 0..1."""
    boxes = [
        (np.subtract(frame.center, frame.side / 2), np.add(frame.center, frame.side / 2)) for frame in (one, other)
    ]
    (low, high), (other_low, other_high) = boxes
    shared = np.prod(np.clip(np.minimum(high, other_high) - np.maximum(low, other_low), 0, None))
    return float(shared / (one.side**2 + other.side**2 - shared))
