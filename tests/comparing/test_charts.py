"""Bars as long as their values."""

from __future__ import annotations

import re

import pytest

from facegen.comparing.charts import PALE, bar_chart, bar_charts, best_of
from facegen.metrics.protocol import Figure, Protocol

PROTOCOL = Protocol("pixels", 4, "96 px", "all")


def bars(svg: str) -> list[tuple[float, float, float]]:
    """Left edge, width and opacity of each bar."""
    found = re.findall(r'<rect x="([-\d.]+)" y="\d+" width="([\d.]+)" height="\d+" opacity="([\d.]+)"', svg)
    return [(float(x), float(width), float(opacity)) for x, width, opacity in found]


def test_bars_are_in_proportion_and_the_best_stands_out() -> None:
    chart = bar_chart(Figure("PSNR", {"a": 10.0, "b": 20.0, "c": None}, PROTOCOL, "higher"), ["a", "b", "c"])
    (left, short, pale), (other, long, full) = bars(chart)
    assert left == other
    assert long == pytest.approx(2 * short)
    assert (pale, full) == (PALE, 1)
    assert "PSNR (best: higher)" in chart
    assert ">20<" in chart
    assert "<line" not in chart


def test_negative_bars_end_where_positive_ones_begin() -> None:
    chart = bar_chart(Figure("Detail", {"bicubic": -1.0, "b": 0.5}, PROTOCOL, "0"), ["bicubic", "b"])
    (low, width, pale), (zero, _, full) = bars(chart)
    assert low + width == pytest.approx(zero, abs=0.2)
    assert (pale, full) == (PALE, 1)
    (line,) = re.findall(r'<line x1="([\d.]+)"', chart)
    assert float(line) == pytest.approx(low)  # bicubic's value


@pytest.mark.parametrize(
    ("wanted", "best"), [("higher", "c"), ("lower", "a"), ("0", "b"), ("1", "b"), ("ratio 1", None)]
)
def test_best(wanted: str, best: str | None) -> None:
    assert best_of({"a": -2.0, "b": 0.5, "c": 3.0}, wanted) == best
    assert best_of({}, wanted) is None


def test_values_that_are_not_finite_and_strange_names_do_no_harm() -> None:
    figures = [
        Figure("Fit <dB>", {"a&b": float("inf"), "a-name-longer-than-there-is-room": 0.0}, PROTOCOL, "higher"),
        Figure("None", {"a&b": None}, PROTOCOL),
    ]
    charts = bar_charts(figures, ["a&b", "a-name-longer-than-there-is-room"])
    assert charts.count("<svg") == 2
    assert charts.count("<rect") == 1
    assert "Fit &lt;dB&gt;" in charts
    assert "a-name-longer-tha…" in charts
    assert "<title>a-name-longer-than-there-is-room</title>" in charts
