"""Reports that need no other file."""

from __future__ import annotations

import base64
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facegen.errors import MissingExtraError
from facegen.media import report
from facegen.media.report import bar_chart, histogram, need_charts, picture_url, render

START = "data:image/svg+xml;base64,"


def svg(url: str) -> str:
    assert url.startswith(START)
    return base64.b64decode(url.removeprefix(START)).decode()


def boxes(chart: str, color: str) -> list[tuple[float, float, float, float]]:
    """Left, top, right and bottom of every filled box of a color that has a height."""
    paths = re.findall(rf'<path d="([^"]+)"[^>]* style="fill: {color}"', chart)
    corners = [np.array(re.findall(r"[ML] ([\d.]+) ([\d.]+)", path), float) for path in paths]
    return [(*c.min(0).tolist(), *c.max(0).tolist()) for c in corners if np.ptp(c, axis=0).all()]


def line_place(chart: str) -> float:
    """The red line's distance from the left."""
    style = rf'style="fill: none; stroke(?:-dasharray[^#]*stroke)?: {report.RED}'
    (path,) = re.findall(rf'<path d="M ([\d.]+) [^"]+"[^>]* {style}', chart)
    return float(path)


def test_a_page_escapes_names_and_has_no_links() -> None:
    page = render("base.html.j2", title="a<b")
    assert page.startswith("<!doctype html>\n<html")
    assert "<h1>a&lt;b</h1>" in page
    assert page.endswith("</html>\n")
    assert "http" not in page


def test_parts_escape_their_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "parts.html.j2").write_text((report.TEMPLATES / "parts.html.j2").read_text())
    (tmp_path / "page.html.j2").write_text(
        '{% from "parts.html.j2" import picture, table %}{{ table(head, rows, ("a", "b<c")) }}{{ picture("x", name) }}'
    )
    monkeypatch.setattr(report, "TEMPLATES", tmp_path)
    page = render("page.html.j2", head=("x&y", "n"), rows=[("<i>", 3)], name='the "first"')
    assert "<caption>a<br>b&lt;c</caption>" in page
    assert '<th scope="col">x&amp;y</th>' in page
    assert "<td>&lt;i&gt;</td><td>3</td>" in page
    assert 'alt="the &#34;first&#34;" src="x"' in page


def test_a_picture_is_embedded() -> None:
    url = picture_url(np.full((8, 12, 3), 200, np.uint8))
    assert Image.open(BytesIO(base64.b64decode(url.removeprefix("data:image/jpeg;base64,")))).size == (12, 8)


def test_a_histogram_shows_each_value_once() -> None:
    chart = svg(histogram([0, 0, 0, 1]))
    tall, short = sorted((bottom - top for _, top, _, bottom in boxes(chart, report.BLUE)), reverse=True)
    assert tall == pytest.approx(3 * short, rel=0.01)
    assert report.RED not in chart
    assert histogram([0, 0, 0, 1]) == histogram([0, 0, 0, 1])


def test_a_mark_beyond_the_values_is_visible() -> None:
    chart = svg(histogram([0.0, 1.0], mark=4))
    bars = boxes(chart, report.BLUE)
    assert max(right for _, _, right, _ in bars) < line_place(chart) < 330 * 0.75  # in points


def test_equal_values_make_one_bar() -> None:
    assert len(boxes(svg(histogram([768] * 9)), report.BLUE)) == 1


def test_bars_are_in_proportion_and_the_best_stands_out() -> None:
    chart = svg(bar_chart({"a": 10.0, "b": 20.0}, best="b"))
    ((left, _, right, _),), ((other, _, end, _),) = boxes(chart, report.PALE), boxes(chart, report.BLUE)
    assert left == other
    assert end - left == pytest.approx(2 * (right - left), rel=0.01)
    assert ">20</text>" in chart
    assert report.RED not in chart


def test_negative_bars_end_where_positive_ones_begin() -> None:
    chart = svg(bar_chart({"bicubic": -1.0, "b": 0.5}, best="b", line=-1.0))
    ((low, _, zero, _),), ((start, _, _, _),) = boxes(chart, report.PALE), boxes(chart, report.BLUE)
    assert zero == pytest.approx(start, abs=0.1)
    assert line_place(chart) == pytest.approx(low, abs=0.1)


def test_long_and_strange_names_do_no_harm() -> None:
    chart = svg(bar_chart({"a-name-longer-than-there-is-room": 1.0, "a&b $x$": 2.0, "名": 3.0}))
    assert "a-name-longer-tha…" in chart
    assert "a&amp;b $x$" in chart
    assert "名" in chart


def test_without_matplotlib_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pip install matplotlib"):
        need_charts()
    with pytest.raises(MissingExtraError, match="pip install matplotlib"):
        histogram([1, 2])
