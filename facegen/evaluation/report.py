"""An evaluation as a table, as JSON, and as one HTML page that needs no other file."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from html import escape
from pathlib import Path
from textwrap import wrap

from rich.box import SIMPLE
from rich.markup import escape as plain
from rich.table import Table

from facegen.evaluation.result import Evaluation
from facegen.metrics.protocol import Figure
from facegen.pages import page, picture, write_page

_HEADER = 9
"""Characters in a line of a column's header in the terminal, as wide as a value can be."""


def write_report(evaluation: Evaluation, html: str, out: Path, name: str) -> list[Path]:
    """Write NAME.json, its facts and figures, and NAME.html into a folder, each complete or not at all.

    Args:
        html: the page.
    Returns:
        the files written.
    Raises:
        ImageError: if the folder cannot be written.
    """
    texts = {f"{name}.json": to_json(evaluation), f"{name}.html": html}
    return [write_page(out / file, text) for file, text in texts.items()]


def to_table(evaluation: Evaluation) -> Table:
    """For the terminal; the caption has the protocols, numbered as in the first column, and the legend."""
    numbers = _protocols(evaluation)
    caption = "\n".join(_notes(evaluation))
    table = Table(
        title=plain(evaluation.title), caption=plain(caption), caption_justify="left", box=SIMPLE, padding=(0, 1, 0, 0)
    )
    table.add_column("figure", overflow="fold", min_width=16)
    for column in evaluation.columns:
        table.add_column(plain("\n".join(wrap(column, _HEADER))), justify="right", no_wrap=True)
    table.add_column("wanted", overflow="fold")
    for figure in evaluation.figures:
        table.add_row(*map(plain, _row(evaluation, figure, numbers)))
    return table


def least_width(evaluation: Evaluation) -> int:
    """Characters that a line must have for no value of the table to be cut."""
    return 25 + (_HEADER + 2) * len(evaluation.columns)


def to_json(evaluation: Evaluation) -> str:
    """Facts and figures, each with its protocol; what is not a finite number becomes null."""
    figures = []
    for figure in evaluation.figures:
        entry = asdict(figure)
        entry["values"] = {column: _finite(value) for column, value in figure.values.items()}
        figures.append(entry)
    content = {"title": evaluation.title, **evaluation.facts, "figures": figures}
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_html(evaluation: Evaluation) -> str:
    """A page with the table, its protocols, and the sheets as embedded JPEGs; it links to nothing."""
    facts = "".join(f"<li>{escape(key)}: {escape(value)}</li>" for key, value in evaluation.facts.items())
    sheets = "\n".join(picture(sheet.picture, sheet.caption) for sheet in evaluation.sheets)
    return page(evaluation.title, f"<ul>{facts}</ul>\n<div>{_html_table(evaluation)}</div>\n{sheets}")


def format_value(value: float | None) -> str:
    """Four significant digits; nothing where there is no value."""
    return "" if value is None else f"{value:.4g}"


def _row(evaluation: Evaluation, figure: Figure, numbers: dict[str, int]) -> tuple[str, ...]:
    """A figure's cells: name and protocol, a value for each column, what is wanted."""
    values = [format_value(figure.values.get(column)) for column in evaluation.columns]
    return (f"{figure.name} [{numbers[str(figure.protocol)]}]", *values, figure.wanted)


def _html_table(evaluation: Evaluation) -> str:
    numbers = _protocols(evaluation)
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in ("figure", *evaluation.columns, "wanted"))
    rows = []
    for figure in evaluation.figures:
        cells = (f"<td>{escape(cell)}</td>" for cell in _row(evaluation, figure, numbers))
        rows.append(f"<tr>{''.join(cells)}</tr>")
    caption = "<br>".join(map(escape, _notes(evaluation)))
    return f"<table><caption>{caption}</caption>\n<tr>{head}</tr>\n{chr(10).join(rows)}\n</table>"


def _protocols(evaluation: Evaluation) -> dict[str, int]:
    """Each protocol's text -> its number, in order of appearance, from 1 on."""
    texts = dict.fromkeys(str(figure.protocol) for figure in evaluation.figures)
    return {text: number for number, text in enumerate(texts, start=1)}


def _notes(evaluation: Evaluation) -> list[str]:
    """What stands below the table, line by line."""
    notes = [f"[{number}] {text}" for text, number in _protocols(evaluation).items()]
    return [*notes, evaluation.legend] if evaluation.legend else notes


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
