"""An evaluation as a table, as JSON, and as one HTML page that needs no other file."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import asdict
from html import escape
from io import BytesIO
from pathlib import Path
from textwrap import wrap

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.markup import escape as plain
from rich.table import Table

from facegen.errors import ImageError
from facegen.evaluation.result import Evaluation
from facegen.files import replacing
from facegen.images import to_pillow
from facegen.metrics.protocol import Figure

JSON_FILE, HTML_FILE = "evaluation.json", "evaluation.html"
_HEADER = 9
"""Characters in a line of a column's header in the terminal, as wide as a value can be."""
_STYLE = """body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
div { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption, figcaption { text-align: left; color: #555; font-size: 85%; } caption { caption-side: bottom; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid #ddd; text-align: right; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; } li { overflow-wrap: anywhere; }
figure { margin: 2rem 0; } img { max-width: 100%; }"""


def write_evaluation(evaluation: Evaluation, out: Path) -> list[Path]:
    """Write evaluation.json and evaluation.html into a folder, each complete or not at all.

    Returns:
        the files written.
    Raises:
        ImageError: if the folder cannot be written.
    """
    texts = {JSON_FILE: to_json(evaluation), HTML_FILE: to_html(evaluation)}
    return [_replace(out / name, text) for name, text in texts.items()]


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
    sheets = "".join(
        f'<figure><img alt="{escape(sheet.caption)}" src="{_data_url(sheet.picture)}">'
        f"<figcaption>{escape(sheet.caption)}</figcaption></figure>\n"
        for sheet in evaluation.sheets
    )
    title = escape(evaluation.title)
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{title}</title>\n<style>{_STYLE}</style>\n'
        f"<h1>{title}</h1>\n<ul>{facts}</ul>\n<div>{_html_table(evaluation)}</div>\n{sheets}</html>\n"
    )


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


def _data_url(picture: NDArray[np.uint8]) -> str:
    content = BytesIO()
    to_pillow(picture).save(content, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


def _replace(path: Path, text: str) -> Path:
    try:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror}); choose another --out.") from None
    return path
