"""What an evaluation finds, and what it tells while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegen.metrics.protocol import Figure

Report = Callable[[str], None]
"""Takes a line on what is being done."""


@dataclass(frozen=True)
class Sheet:
    """Pictures to be looked at beside the figures."""

    caption: str
    picture: NDArray[np.uint8]
    """(H, W, 3)."""


@dataclass(frozen=True)
class Evaluation:
    """Figures of one weight folder, or of several side by side, and sheets of what was measured."""

    title: str
    columns: tuple[str, ...]
    """Of the table; each a key of every figure's values, or missing there."""
    figures: tuple[Figure, ...]
    sheets: tuple[Sheet, ...]
    facts: dict[str, str]
    """What was measured: weights, hash, data, command."""
    legend: str = ""
    """What the columns are."""
