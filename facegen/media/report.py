"""HTML reports that need no other file: Jinja2 templates, embedded pictures, and charts by matplotlib."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import ArrayLike

from facegen.arrays import RGB
from facegen.errors import MissingExtraError
from facegen.media.images import to_pillow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TEMPLATES = Path(__file__).parent / "templates"
BLUE, PALE, RED, GREY = "#4a78b5", "#b4c6e0", "#cc3333", "#555555"
"""Colours of bars, of bars other than the best, of lines, and of text."""
NAME_LENGTH = 18
"""Longest name of a bar, in characters; longer ones are cut."""
_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "facegen",
    "ytick.left": False,
    **{f"axes.spines.{side}": False for side in ("top", "right", "left")},
    **dict.fromkeys(("text.color", "xtick.color", "ytick.color", "axes.edgecolor"), GREY),
}
"""Settings of matplotlib: text stays text, dollar signs do not start formulas, equal charts are equal files."""


def render(template: str, **context: object) -> str:
    """Fill a template in `TEMPLATES`; every value is escaped."""
    loader = FileSystemLoader(TEMPLATES)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(template).render(**context) + "\n"


def picture_url(rgb: RGB) -> str:
    """Encode a picture, (H, W, 3) uint8, as a JPEG in a data URL."""
    content = BytesIO()
    to_pillow(rgb).save(content, "JPEG", quality=90)
    return _data_url("image/jpeg", content.getvalue())


def need_charts() -> None:
    """Raise MissingExtraError if matplotlib is not installed; to be called before long work that ends in a chart."""
    if find_spec("matplotlib") is None:
        raise MissingExtraError("The report's charts are drawn by matplotlib: pip install matplotlib")


def histogram(values: ArrayLike, *, mark: float | None = None) -> str:
    """Draw a histogram of finite values, with a red line at `mark`, as an SVG of 330 x 110 px in a data URL."""
    numbers = np.asarray(values, dtype=np.float64).ravel()
    ends = [float(numbers.min()), float(numbers.max())] + ([] if mark is None else [mark])
    low, high = min(ends), max(ends)
    high = high if high > low else low + 1
    bins = int(np.clip(2 * np.sqrt(numbers.size), 10, 40))

    def draw(axes: Axes) -> None:
        axes.hist(numbers, bins, range=(low, high), rwidth=0.9, color=BLUE)
        axes.set_yticks([])
        axes.margins(x=0.01)
        if mark is not None:
            axes.axvline(mark, color=RED, linewidth=1.5)

    return _chart(draw, 330, 110)


def bar_chart(values: Mapping[str, float], *, best: str | None = None, line: float | None = None) -> str:
    """Draw a horizontal bar from 0 for each value, as an SVG of 330 px width in a data URL.

    Args:
        values: name -> finite number, from top to bottom, at least one; the number is written after its bar.
        best: the bar in full colour; the others are pale.
        line: the value of a dashed line.
    """
    names = [name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…" for name in values]
    colors = [BLUE if name == best else PALE for name in values]

    def draw(axes: Axes) -> None:
        bars = axes.barh(range(len(values)), list(values.values()), 0.7, color=colors)
        axes.bar_label(bars, [f"{value:.4g}" for value in values.values()], padding=3)
        axes.set_yticks(range(len(values)), names)
        axes.set_xticks([])
        axes.invert_yaxis()
        axes.margins(x=0.2)
        axes.spines["bottom"].set_visible(False)
        if line is not None:
            axes.axvline(line, color=RED, linewidth=1.5, linestyle=(0, (2, 2)))

    return _chart(draw, 330, 19 * len(values) + 6)


def _chart(draw: Callable[[Axes], None], width: int, height: int) -> str:
    """Draw on axes of width x height CSS pixels; equal calls give equal bytes."""
    need_charts()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    content = BytesIO()
    with rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the browser's fonts have it
        figure = Figure(figsize=(width / 96, height / 96), layout="constrained")
        draw(figure.add_subplot())
        figure.savefig(content, format="svg", metadata={"Date": None})
    return _data_url("image/svg+xml", content.getvalue())


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
