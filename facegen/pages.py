"""HTML pages that need no other file: their frame, tables, embedded pictures, and histograms as inline SVG."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facegen.errors import ImageError
from facegen.files import replacing
from facegen.media.images import to_pillow

STYLE = """body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
div { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption, figcaption { text-align: left; color: #555; font-size: 85%; } caption { caption-side: bottom; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid #ddd; text-align: right; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; } li { overflow-wrap: anywhere; }
figure { margin: 2rem 0; } img { max-width: 100%; }
.row { display: flex; flex-wrap: wrap; gap: 0 2rem; } .row figure { margin: 1rem 0; }
svg { font: 11px system-ui, sans-serif; fill: #555; } rect { fill: #4a78b5; } line { stroke: #c33; stroke-width: 2; }"""
_WIDTH, _HEIGHT, _LABEL = 330, 110, 16
"""Of a histogram, and of the line of text below it, in CSS pixels."""


def page(title: str, body: str) -> str:
    """A whole page around HTML; it links to nothing."""
    name = escape(title)
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{name}</title>\n<style>{STYLE}</style>\n'
        f"<h1>{name}</h1>\n{body}\n</html>\n"
    )


def write_page(path: Path, text: str) -> Path:
    """Write a page, complete or not at all.

    Raises:
        ImageError: if it cannot be written.
    """
    try:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror}); choose another --out.") from None
    return path


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of text; all but the first column is set flush right."""
    lines = [f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows]
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    return f"<div><table>\n<tr>{top}</tr>\n{chr(10).join(lines)}\n</table></div>"


def picture(rgb: NDArray[np.uint8], caption: str) -> str:
    """A picture, embedded as JPEG, with a line of text below.

    Args:
        rgb: (H, W, 3) uint8.
    """
    name = escape(caption)
    return f'<figure><img alt="{name}" src="{data_url(rgb)}"><figcaption>{name}</figcaption></figure>'


def data_url(rgb: NDArray[np.uint8]) -> str:
    """A picture, (H, W, 3) uint8, as JPEG in an address."""
    content = BytesIO()
    to_pillow(rgb).save(content, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


def histogram(values: ArrayLike, caption: str, *, mark: float | None = None) -> str:
    """How often each value occurs, as inline SVG with its range below.

    Args:
        values: finite numbers, one at least.
        mark: where a red line stands, as at a threshold.
    """
    numbers = np.asarray(values, dtype=np.float64).ravel()
    low, high = float(numbers.min()), float(numbers.max())
    if mark is not None:
        low, high = min(low, mark), max(high, mark)
    high = high if high > low else low + 1
    bins = int(np.clip(2 * np.sqrt(numbers.size), 10, 40))
    counts, _ = np.histogram(numbers, bins, (low, high))
    step, tall = _WIDTH / bins, (_HEIGHT - _LABEL) / counts.max()
    bars = "".join(
        f'<rect x="{index * step:.1f}" y="{_HEIGHT - _LABEL - count * tall:.1f}" width="{step - 1:.1f}" '
        f'height="{count * tall:.1f}"/>'
        for index, count in enumerate(counts.tolist())
        if count
    )
    place = None if mark is None else (mark - low) / (high - low) * _WIDTH
    line = "" if place is None else f'<line x1="{place:.1f}" x2="{place:.1f}" y1="0" y2="{_HEIGHT - _LABEL}"/>'
    labels = (
        f'<text x="0" y="{_HEIGHT - 3}">{low:.3g}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT - 3}" text-anchor="end">{high:.3g}</text>'
    )
    name = escape(caption)
    return (
        f'<figure><svg role="img" aria-label="{name}" width="{_WIDTH}" height="{_HEIGHT}">{bars}{line}{labels}</svg>'
        f"<figcaption>{name}</figcaption></figure>"
    )
