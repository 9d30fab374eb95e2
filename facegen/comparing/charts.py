"""Bar charts of an evaluation's figures, as inline SVG for a page of `facegen.pages`, whose style colours them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from facegen.evaluation.report import format_value
from facegen.metrics.protocol import Figure

BASELINE = "bicubic"
"""Column whose value a line marks."""
PALE = 0.4
"""Opacity of all bars but the best one's."""
_LABEL, _BARS, _VALUE = 112, 160, 58
"""Width of the three parts of a chart, from the left, in CSS pixels: names, bars, values."""
_THICK, _STEP = 13, 19
"""Of a bar, and from bar to bar."""
_CHARACTERS = 18
"""Of a name that have room."""


def bar_charts(figures: Sequence[Figure], columns: Sequence[str]) -> str:
    """A chart for each figure, side by side as far as there is room.

    Args:
        columns: which have a bar, from the top.
    """
    return f'<div class="row">{"".join(bar_chart(figure, columns) for figure in figures)}</div>'


def bar_chart(figure: Figure, columns: Sequence[str]) -> str:
    """One figure: bars that start at 0, the best in full colour, each with its value, if that is finite."""
    values = {c: v for c in columns if (v := figure.values.get(c)) is not None and math.isfinite(v)}
    low, high = min([0.0, *values.values()]), max([0.0, *values.values()])
    pixels = _BARS / ((high - low) or 1)
    best = best_of(values, figure.wanted)
    bars = "".join(
        _bar(row * _STEP, column, value, left=(min(value, 0) - low) * pixels, width=abs(value) * pixels,
             opacity=1 if column == best else PALE)
        for row, (column, value) in enumerate(values.items())
    )  # fmt: skip
    height = len(values) * _STEP
    line = _line((values[BASELINE] - low) * pixels, height) if BASELINE in values else ""
    name, width = escape(figure.name), _LABEL + _BARS + _VALUE
    return (
        f'<figure style="width: {width}px"><figcaption>{name} (best: {escape(figure.wanted)})</figcaption>'
        f'<svg role="img" aria-label="{name}" width="{width}" height="{height}">{bars}{line}</svg></figure>\n'
    )


def best_of(values: Mapping[str, float], wanted: str) -> str | None:
    """The column whose value is nearest to what is wanted: "higher", "lower", or a number; None for anything else."""
    if not values:
        return None
    if wanted in ("higher", "lower"):
        return (max if wanted == "higher" else min)(values, key=values.__getitem__)
    try:
        target = float(wanted)
    except ValueError:
        return None
    return min(values, key=lambda column: abs(values[column] - target))


def _bar(top: float, column: str, value: float, *, left: float, width: float, opacity: float) -> str:
    name = column if len(column) <= _CHARACTERS else column[: _CHARACTERS - 1] + "…"
    base = top + _THICK - 3  # of the text
    return (
        f'<text x="{_LABEL - 6}" y="{base}" text-anchor="end"><title>{escape(column)}</title>{escape(name)}</text>'
        f'<rect x="{_LABEL + left:.1f}" y="{top}" width="{width:.1f}" height="{_THICK}" opacity="{opacity}"/>'
        f'<text x="{_LABEL + _BARS + _VALUE}" y="{base}" text-anchor="end">{format_value(value)}</text>'
    )


def _line(left: float, height: float) -> str:
    x = _LABEL + left
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}" stroke-dasharray="3"/>'
