"""Figures with their protocols, and an evaluation of them as a table, as JSON, and as one HTML page."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import wrap

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from facegen.arrays import RGB
from facegen.errors import printable
from facegen.files import write_text
from facegen.media.report import bar_chart, picture_url, render

BASELINE = "bicubic"
"""Column whose value is a dashed line in the charts."""
INPUT, ORIGINAL = "input", "original"
"""Columns of the reduced pictures, which only sheets have, and of the pictures before reduction."""
_HEADER = 9
"""Characters in a line of a column's header in the terminal: the width of the longest value."""


@dataclass(frozen=True)
class Protocol:
    """How a figure was measured; figures of different protocols must not be compared."""

    features: str  # the network and layer, or what else was compared
    count: int  # N: pictures (or patches) on each side of the comparison
    resize: str  # how pictures were resized before they were measured
    split: str  # which pictures were compared with which
    seed: int | None = None  # of the measurement's random choices; None if it made none

    def __str__(self) -> str:
        seed = "" if self.seed is None else f"; seed {self.seed}"
        return f"{self.features}; N = {self.count}; {self.resize}; {self.split}{seed}"


@dataclass(frozen=True)
class Figure:
    """One measured quantity, with its protocol."""

    name: str
    values: dict[str, float | None]  # column -> value; None where the quantity has no meaning
    protocol: Protocol
    wanted: str = ""  # "higher", "lower", or the best value


@dataclass(frozen=True)
class Sheet:
    """A picture on the page, with its caption."""

    caption: str
    picture: RGB  # (H, W, 3)


@dataclass(frozen=True)
class Evaluation:
    """The figures of one or several models or films, and sheets of their pictures."""

    title: str
    columns: tuple[str, ...]  # of the table; a figure may lack values
    figures: tuple[Figure, ...]
    sheets: tuple[Sheet, ...]
    facts: dict[str, str]  # weights, hash, data, command
    legend: str = ""
    charted: tuple[str, ...] = ()  # columns with a bar in the page's charts; empty for no charts


def ratio(value: float, base: float) -> float | None:
    """Divide; None if the base is not positive, as the quotient would mean nothing."""
    return value / base if base > 0 else None


def write_evaluation(evaluation: Evaluation, out: Path, name: str) -> list[Path]:
    """Write NAME.json, the facts and figures, and NAME.html into a folder, each complete or not at all.

    Raises:
        MissingExtraError: if the page has charts and matplotlib is not installed.
    """
    texts = {f"{name}.json": to_json(evaluation), f"{name}.html": to_html(evaluation)}
    return [write_text(out / file, text) for file, text in texts.items()]


def to_table(evaluation: Evaluation) -> Table:
    """Make a table of the figures for the terminal; its caption has the numbered protocols and the legend."""
    caption = _text(*_notes(evaluation))
    table = Table(
        title=_text(evaluation.title), caption=caption, caption_justify="left", box=SIMPLE, padding=(0, 1, 0, 0)
    )
    table.add_column("figure", overflow="fold", min_width=16)
    for column in evaluation.columns:
        lines = wrap(column, _HEADER, break_long_words=False)
        table.add_column(_text(*lines), justify="right", no_wrap=True)
    table.add_column("wanted", overflow="fold")
    for row in _rows(evaluation):
        table.add_row(*map(_text, row))
    return table


def _text(*lines: str) -> Text:
    """Join lines without interpreting markup; control characters are escaped."""
    return Text("\n".join(map(printable, lines)))


def least_width(evaluation: Evaluation) -> int:
    """Return how many characters a line needs so that no value of the table is cut."""
    return 25 + (_HEADER + 2) * len(evaluation.columns)


def to_json(evaluation: Evaluation) -> str:
    """Write facts and figures, each with its protocol; numbers that are not finite become null."""
    figures = []
    for figure in evaluation.figures:
        values = {c: v if v is not None and math.isfinite(v) else None for c, v in figure.values.items()}
        figures.append({**asdict(figure), "values": values})
    content = {"title": evaluation.title, **evaluation.facts, "figures": figures}
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_html(evaluation: Evaluation) -> str:
    """Make the page: facts, sheets, charts if any column is charted, and the table; it needs no other file."""
    charts = [(_chart(figure, evaluation.charted), figure) for figure in evaluation.figures]
    return render(
        "evaluation.html.j2",
        title=evaluation.title,
        evaluation=evaluation,
        sheets=[(picture_url(sheet.picture), sheet.caption) for sheet in evaluation.sheets],
        charts=[(url, f"{figure.name} (best: {figure.wanted})") for url, figure in charts if url],
        baseline=BASELINE,
        head=("figure", *evaluation.columns, "wanted"),
        rows=_rows(evaluation),
        notes=_notes(evaluation),
    )


def _chart(figure: Figure, columns: tuple[str, ...]) -> str:
    """Draw a bar chart as a data URL; "" if no column has a finite value."""
    values = {c: v for c in columns if (v := figure.values.get(c)) is not None and math.isfinite(v)}
    return bar_chart(values, best=best_of(values, figure.wanted), line=values.get(BASELINE)) if values else ""


def best_of(values: Mapping[str, float], wanted: str) -> str | None:
    """Find the column with the best value; None if `wanted` is neither "higher", "lower" nor a number."""
    if wanted in ("higher", "lower"):
        return (max if wanted == "higher" else min)(values, key=values.__getitem__, default=None)
    try:
        target = float(wanted)
    except ValueError:
        return None
    return min(values, key=lambda column: abs(values[column] - target), default=None)


def format_value(value: float | None) -> str:
    """Format with four significant digits; "" for None."""
    return "" if value is None else f"{value:.4g}"


def _rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """List the cells of each figure: the name with the protocol's number, a value for each column, `wanted`."""
    protocols, rows = _protocols(evaluation), []
    for figure in evaluation.figures:
        values = [format_value(figure.values.get(column)) for column in evaluation.columns]
        rows.append((f"{figure.name} [{protocols.index(str(figure.protocol)) + 1}]", *values, figure.wanted))
    return rows


def _protocols(evaluation: Evaluation) -> list[str]:
    """List the distinct protocols' texts in order of appearance."""
    return list(dict.fromkeys(str(figure.protocol) for figure in evaluation.figures))


def _notes(evaluation: Evaluation) -> list[str]:
    """List the lines below the table: the numbered protocols and the legend."""
    notes = [f"[{number}] {text}" for number, text in enumerate(_protocols(evaluation), start=1)]
    return [*notes, evaluation.legend] if evaluation.legend else notes
