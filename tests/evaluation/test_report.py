"""The protocol, the table, the JSON and the page."""

from __future__ import annotations

import base64
import json
import re
from html import escape
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from facegen.errors import FileError
from facegen.evaluation import report
from facegen.evaluation.report import (
    Evaluation,
    Figure,
    Protocol,
    Sheet,
    best_of,
    format_value,
    least_width,
    ratio,
    to_html,
    to_json,
    to_table,
    write_evaluation,
)


def test_a_protocols_text_has_every_field() -> None:
    protocol = Protocol("Lite2", 200, "128 px", "400 held out", seed=3)
    assert str(protocol) == "Lite2; N = 200; 128 px; 400 held out; seed 3"
    assert str(Protocol("pixels", 2, "as they are", "all")) == "pixels; N = 2; as they are; all"


def test_a_ratio_needs_a_positive_base() -> None:
    assert ratio(3, 2) == 1.5
    assert ratio(3, 0) is None
    assert ratio(3, -1) is None


SEEN = Protocol("Lite2 <maps>", 200, "128 px", "400 held out", 3)
PIXELS = Protocol("pixels", 60, "768 px", "60 held out")
EVALUATION = Evaluation(
    title="Ours & theirs",
    columns=("ours", "theirs"),
    figures=(
        Figure("Distance", {"ours": 1.23456, "theirs": None}, SEEN, "lower"),
        Figure("PSNR", {"ours": float("inf"), "theirs": 30.0}, PIXELS, "higher"),
        Figure("Other", {"ours": 2.0}, SEEN),
    ),
    sheets=(Sheet("What was drawn", np.full((8, 12, 3), 200, np.uint8)),),
    facts={"weights": "mine", "data": "a <b>"},
    legend="Columns: ours & theirs.",
)


def test_json_carries_a_protocol_with_every_figure() -> None:
    content = json.loads(to_json(EVALUATION))
    assert (content["title"], content["weights"]) == ("Ours & theirs", "mine")
    assert [figure["protocol"]["count"] for figure in content["figures"]] == [200, 60, 200]
    assert content["figures"][0]["protocol"] == {
        "features": "Lite2 <maps>", "count": 200, "resize": "128 px", "split": "400 held out", "seed": 3,
    }  # fmt: skip
    assert content["figures"][0]["values"] == {"ours": 1.23456, "theirs": None}
    assert content["figures"][1]["values"] == {"ours": None, "theirs": 30.0}  # JSON knows no infinity


def test_table_numbers_the_protocols_in_its_caption() -> None:
    written = StringIO()
    Console(file=written, width=120).print(to_table(EVALUATION))
    text = " ".join(written.getvalue().split())  # the caption is broken into lines
    assert "Distance [1]" in text
    assert "PSNR [2]" in text
    assert "Other [1]" in text
    assert f"[1] {SEEN}" in text
    assert f"[2] {PIXELS} Columns: ours & theirs." in text
    assert "1.235" in text


def test_the_page_needs_no_other_file_and_escapes_text() -> None:
    page = to_html(EVALUATION)
    assert "Ours &amp; theirs" in page
    assert "data: a &lt;b&gt;" in page
    assert f"[1] {escape(str(SEEN))}<br>[2] {PIXELS}<br>Columns: ours &amp; theirs.</caption>" in page
    assert '<th scope="col">theirs</th>' in page
    assert "<td>Distance [1]</td><td>1.235</td><td></td><td>lower</td>" in page
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    (picture,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert Image.open(BytesIO(base64.b64decode(picture))).size == (12, 8)


def test_values_have_four_digits() -> None:
    assert [format_value(x) for x in (None, 0.0, 12.34567, -0.5, float("inf"))] == ["", "0", "12.35", "-0.5", "inf"]


def test_files_are_complete_or_absent(tmp_path: Path) -> None:
    written = write_evaluation(EVALUATION, tmp_path, "evaluation")
    assert [path.name for path in written] == ["evaluation.json", "evaluation.html"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evaluation.html", "evaluation.json"]
    with pytest.raises(FileError, match=r"cannot be written .* choose another --out"):
        write_evaluation(EVALUATION, tmp_path / "missing", "evaluation")


@pytest.mark.parametrize(
    ("columns", "width"),
    [
        (("facegen", "bicubic", "lanczos", "original", "to bicubic"), 80),
        (("dcgan-128", "plain-dcgan", "held-out", "dcgan-128 ratio", "plain-dcgan ratio"), 80),
        ((*"abc", "held-out", *(f"a-very-long-name-{n} ratio" for n in "abc")), 102),
    ],
)
def test_table_fits_its_width(columns: tuple[str, ...], width: int) -> None:
    figure = Figure("Feature distance (EfficientNet-Lite2)", dict.fromkeys(columns, -0.001234567), SEEN, "higher")
    evaluation = Evaluation("Title", columns, (figure,), (), {})
    written = StringIO()
    Console(file=written, width=width).print(to_table(evaluation))
    assert least_width(evaluation) == width
    assert written.getvalue().count("-0.001235") == len(columns)
    assert "…" not in written.getvalue()
    assert "wanted" in written.getvalue()
    assert "higher" in written.getvalue()


def test_charts_show_the_best_and_the_baseline() -> None:
    figures = (
        Figure("Fit <dB>", {"bicubic": 1.0, "mine": 2.0, "original": 3.0}, SEEN, "higher"),
        Figure("None", {"mine": None}, SEEN),
    )
    drawn: list[tuple[dict[str, float], str | None, float | None]] = []

    def bar_chart(values: dict[str, float], *, best: str | None, line: float | None) -> str:
        drawn.append((values, best, line))
        return "data:chart"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "bar_chart", bar_chart)
        columns = ("bicubic", "mine", "original")
        page = to_html(Evaluation("T", columns, figures, (), {}, charted=columns[:2]))
    assert drawn == [({"bicubic": 1.0, "mine": 2.0}, "mine", 1.0)]
    assert page.count('src="data:chart"') == 1
    assert "Fit &lt;dB&gt; (best: higher)" in page
    assert "The dashed line is bicubic" in page
    assert "<h2>" not in to_html(Evaluation("T", columns, figures, (), {}))


@pytest.mark.parametrize(
    ("wanted", "best"), [("higher", "c"), ("lower", "a"), ("0", "b"), ("1", "b"), ("ratio 1", None)]
)
def test_the_best_column_is_nearest_to_the_wanted_value(wanted: str, best: str | None) -> None:
    assert best_of({"a": -2.0, "b": 0.5, "c": 3.0}, wanted) == best
    assert best_of({}, wanted) is None
