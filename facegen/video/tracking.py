"""Smooth over time what was measured frame by frame: landmarks, and the heads of a clip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.arrays import Points
from facegen.errors import ShapeError, UsageError
from facegen.faces.align import HeadFrame
from facegen.faces.detect import FoundHead
from facegen.faces.landmarks import Landmarks
from facegen.video.store import State, joined, nonempty, part

SAME = 0.3
"""Heads in two frames are the same from this intersection over union of their upright boxes on."""
BRIDGED = 0.25
"""Seconds for which a head that is not found stays where it was."""
CUTOFF, BETA = 1.0, 20.0
"""Filters of landmarks and heads, in Hz, and in Hz per head side and second: a head at rest stands still, and a moving
one does not lag."""
SPEED_CUTOFF = 1.0
"""In Hz, of the low-pass on the speed."""


class OneEuroFilter:
    """A low-pass whose cutoff rises with speed: smooth at rest, quick in motion.

    G. Casiez, N. Roussel, D. Vogel, "1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive
    Systems", CHI 2012. Each number of an array is filtered separately. With `beta` 0 it is a plain low-pass.

    Args:
        fps: measurements per second.
        cutoff: in Hz, at rest; lower is smoother.
        beta: rise of the cutoff, in Hz per unit of speed (units of the values a second); higher lags less.
    """

    def __init__(self, fps: float, *, cutoff: float = 1.0, beta: float = 0.0) -> None:
        if not min(fps, cutoff) > 0 or not beta >= 0:
            given = f"fps {fps}, cutoff {cutoff}, beta {beta}"
            raise UsageError(f"OneEuroFilter: {given}; expected positive numbers, beta 0 or more.")
        self.fps, self.cutoff, self.beta = fps, cutoff, beta
        self.values: Points | None = None
        """The latest smoothed values; None before the first."""
        self._speed: Points | None = None

    def __call__(self, measured: Points) -> Points:
        """Smooth the next measurement, of the same shape at every call; the first one passes unchanged."""
        if self.values is None or self._speed is None:
            self.values, self._speed = measured.astype(np.float64), np.zeros(measured.shape)
            return self.values
        if measured.shape != self.values.shape:
            raise ShapeError(f"OneEuroFilter: got shape {measured.shape}, expected {self.values.shape} as before.")
        speed = (measured - self.values) * self.fps
        self._speed = self._speed + self._share(SPEED_CUTOFF) * (speed - self._speed)
        share = self._share(self.cutoff + self.beta * np.abs(self._speed))
        self.values = self.values + share * (measured - self.values)
        return self.values

    def _share(self, cutoff: float | Points) -> Points:
        """Weight of the new value in a low-pass of this cutoff in Hz: 1 / (1 + fps / (2 pi cutoff))."""
        return np.asarray(1 / (1 + self.fps / (2 * math.pi * np.asarray(cutoff))))

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that the next measurement is smoothed with; {} before the first."""
        return nonempty({"values": self.values, "speed": self._speed})

    def restore(self, state: State) -> None:
        self.values, self._speed = state.get("values"), state.get("speed")


def smooth_landmarks(smoother: OneEuroFilter, found: Landmarks, side: int) -> Landmarks:
    """Smooth the landmarks of the next frame; if the detector missed them, the latest ones stay.

    The smoother's values are in shares of the head's side, which is `side` pixels for the landmarks.
    """
    if found.detected or smoother.values is None:
        return Landmarks(smoother(found.points / side) * side, found.detected)
    return Landmarks(smoother.values * side, detected=False)


class TrackedHead:
    """One head in the frames of a clip; `unit` is its side in photo pixels when it was first found."""

    def __init__(self, fps: float, unit: float) -> None:
        self.unit, self.missed = unit, 0
        self.seen: Points | None = None
        """Its landmarks in the latest frame, (68, 2), in photo pixels; None if dlib did not find them."""
        self.place = OneEuroFilter(fps, cutoff=CUTOFF, beta=BETA)
        """Smooths the frame's centre and its `right`, in units."""
        self.points = OneEuroFilter(fps, cutoff=CUTOFF, beta=BETA)
        """Smooths the landmarks; see `smooth_landmarks`."""

    def move(self, found: FoundHead) -> None:
        self.missed, self.seen = 0, found.landmarks
        self.place(np.array([found.frame.center, found.frame.right]) / self.unit)

    @property
    def frame(self) -> HeadFrame:
        """The head's smoothed place, after the first `move`."""
        (x, y), (right, down) = (np.asarray(self.place.values) * self.unit).tolist()
        return HeadFrame((x, y), (right, down), (-down, right))

    def state(self) -> dict[str, NDArray[Any]]:
        filters = joined({"place": self.place.state(), "points": self.points.state()})
        return {"head": np.array([self.unit, self.missed])} | filters

    @classmethod
    def restored(cls, fps: float, state: State) -> TrackedHead:
        head = cls(fps, float(state["head"][0]))
        head.missed = int(state["head"][1])
        head.place.restore(part(state, "place"))
        head.points.restore(part(state, "points"))
        return head


class HeadTracker:
    """Follows all heads of a clip."""

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self.heads: list[TrackedHead] = []
        """Heads of the latest frame, the largest first."""

    def follow(self, found: Sequence[FoundHead]) -> list[TrackedHead]:
        """Match the heads found in the next frame with the tracked ones; return all heads in it, the largest first.

        A found head is the tracked one that it overlaps most, or a new one. A head that is not found stays for
        `BRIDGED` seconds.
        """
        for head in self.heads:
            head.missed, head.seen = head.missed + 1, None
        for seen in found:
            self._nearest(seen.frame).move(seen)
        present = [head for head in self.heads if head.missed <= BRIDGED * self.fps]
        self.heads = sorted(present, key=lambda head: -head.frame.side)
        return self.heads

    def _nearest(self, frame: HeadFrame) -> TrackedHead:
        """The unmatched head that overlaps a frame most, or a new one."""
        overlaps = [(_overlap(head.frame, frame), head) for head in self.heads if head.missed]
        overlap, nearest = max(overlaps, key=itemgetter(0), default=(0.0, None))
        if nearest is None or overlap < SAME:
            nearest = TrackedHead(self.fps, frame.side)
            self.heads.append(nearest)
        return nearest

    def forget(self) -> None:
        """Start again, as at a cut."""
        self.heads = []

    def state(self) -> dict[str, NDArray[Any]]:
        return joined({str(number): head.state() for number, head in enumerate(self.heads)})

    def restore(self, state: State) -> None:
        numbers = sorted({int(key.partition(".")[0]) for key in state})
        self.heads = [TrackedHead.restored(self.fps, part(state, str(number))) for number in numbers]


def _overlap(one: HeadFrame, other: HeadFrame) -> float:
    """Intersection over union of the upright boxes around two frames, 0..1."""
    (low, high), (other_low, other_high) = (
        (np.subtract(frame.center, frame.side / 2), np.add(frame.center, frame.side / 2)) for frame in (one, other)
    )
    shared = np.prod(np.clip(np.minimum(high, other_high) - np.maximum(low, other_low), 0, None))
    return float(shared / (one.side**2 + other.side**2 - shared))
