"""What a figure was measured with; figures of different protocols must not be compared."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """What must be the same for two figures to be comparable."""

    features: str
    """The network and layer that looked at the pictures, or what was compared where there is none."""
    count: int
    """N: pictures (or patches) on each side of the comparison."""
    resize: str
    """How pictures were brought to the size they were looked at."""
    split: str
    """Which pictures were compared with which."""
    seed: int | None = None
    """Of what was drawn at random for the measurement; None if nothing was."""

    def __str__(self) -> str:
        seed = "" if self.seed is None else f"; seed {self.seed}"
        return f"{self.features}; N = {self.count}; {self.resize}; {self.split}{seed}"


@dataclass(frozen=True)
class Figure:
    """One measured quantity, for each thing measured, with its protocol."""

    name: str
    values: dict[str, float | None]
    """Column of the table -> value; None where the quantity has no meaning."""
    protocol: Protocol
    wanted: str = ""
    """What a good value is, as in "lower" or "1"."""


def ratio(value: float, base: float) -> float | None:
    """value / base; None where the base is not positive, so that the quotient would say nothing."""
    return value / base if base > 0 else None
