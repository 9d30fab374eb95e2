"""A comparison as one HTML page that needs no other file."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from facegen.comparing.charts import BASELINE, bar_charts
from facegen.evaluation.measuring import ORIGINAL
from facegen.evaluation.report import format_value
from facegen.evaluation.result import Evaluation
from facegen.pages import page, picture, table


def to_html(comparison: Evaluation) -> str:
    """The page: what was compared, the pictures, and, if anything was measured, bar charts and a table."""
    parts = [
        _list(f"{key}: {value}" for key, value in comparison.facts.items()),
        *(picture(sheet.picture, sheet.caption) for sheet in comparison.sheets),
        *(_measured(comparison) if comparison.figures else ()),
    ]
    return page(comparison.title, "\n".join(parts))


def _measured(comparison: Evaluation) -> tuple[str, ...]:
    figures, columns = comparison.figures, comparison.columns
    rows = [(f.name, *(format_value(f.values.get(c)) for c in columns), f.wanted) for f in figures]
    line = f" The dashed line is {BASELINE}'s value." if BASELINE in columns else ""
    return (
        "<h2>Figures</h2>",
        f"<p>The best bar is in full colour.{line}</p>",
        bar_charts(figures, [column for column in columns if column != ORIGINAL]),
        table(("figure", *columns, "wanted"), rows),
        f"<p>{escape(comparison.legend)}</p>",
        "<h2>How they were measured</h2>",
        _list(f"{figure.name}: {figure.protocol}" for figure in figures),
    )


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
