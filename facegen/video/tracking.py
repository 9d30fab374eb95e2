"""Smoothing what was measured in every frame by itself, such as landmarks, without lagging behind motion."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from facegen.errors import ShapeError, UsageError

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
