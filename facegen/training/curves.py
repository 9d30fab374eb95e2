"""Loss curves as a picture: whole above, the last fifth below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facegen.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = {
    "adversarial": ("real", "fake", "adversarial", "projected", "projected_real", "projected_fake"),
    "content and penalties": (
        "pixel",
        "pooled_l1",
        "feature",
        "feature_matching",
        "historical",
        "gradient_penalty",
        "penalty",
    ),
    "total": ("total",),
    "validation": ("score", "bicubic", "diversity"),
}
"""Panel -> the last parts of the figures' names that it shows."""
ZOOM = 0.2
"""Share of the run, at its end, that the lower row shows."""
INCHES, DPI = (16, 7), 100
MARGINS = {"left": 0.035, "right": 0.99, "bottom": 0.075, "top": 0.95, "wspace": 0.2, "hspace": 0.3}

Curve = list[tuple[int, float]]
"""(images seen, value)"""


def draw_curves(stats: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw every loss of stats.jsonl over the images seen.

    Each curve is divided by its largest magnitude, given in the legend, as losses differ by powers of ten.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, dpi=DPI)
    FigureCanvasAgg(figure)
    rows = figure.subplots(2, len(PANELS), gridspec_kw=MARGINS)
    for row, since, note in zip(rows, (0, zoom_from(stats)), ("", ", last fifth"), strict=True):
        for axis, (title, parts) in zip(row, PANELS.items(), strict=True):
            axis.set_title(title + note)
            _draw(axis, curves_of(stats, parts, since))
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def curves_of(stats: Sequence[dict[str, Any]], parts: Sequence[str], since: float = 0) -> dict[str, Curve]:
    """The curves of the figures whose names end in one of `parts`, from `since` images on, sorted by name.

    Figures that are not finite are passed over, and names that nothing is left of.
    """
    names = sorted({name for line in stats for name in line if "/" in name and name.rpartition("/")[2] in parts})
    found = {
        name: [
            (line["images"], line[name])
            for line in stats
            if line["images"] >= since and math.isfinite(line.get(name, math.nan))
        ]
        for name in names
    }
    return {name: curve for name, curve in found.items() if curve}


def zoom_from(stats: Sequence[dict[str, Any]]) -> float:
    """The images seen from which on the lower row shows the run."""
    return stats[-1]["images"] * (1 - ZOOM) if stats else 0.0


def _draw(axis: Axes, curves: dict[str, Curve]) -> None:
    from matplotlib.ticker import EngFormatter

    for name, curve in curves.items():
        largest = max(abs(value) for _, value in curve) or 1.0
        images, values = zip(*curve, strict=True)
        dot = "." if len(curve) == 1 else ""
        axis.plot(images, [value / largest for value in values], marker=dot, label=f"{name} / {largest:.3g}")
    axis.set_xlabel("images")
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))  # 20k
    if curves:
        axis.legend(fontsize="x-small")
