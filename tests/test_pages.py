"""Pages that need no other file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from facegen.errors import ImageError
from facegen.pages import histogram, page, picture, table, write_page


def bars(svg: str) -> list[float]:
    return [float(height) for height in re.findall(r'<rect [^>]*height="([\d.]+)"', svg)]


def test_a_page_escapes_names_and_links_to_nothing() -> None:
    rgb = np.zeros((4, 4, 3), np.uint8)
    html = page("a<b", table(("x&y", "n"), [("<i>", 3)]) + picture(rgb, 'the "first"'))
    assert "a&lt;b" in html
    assert "x&amp;y" in html
    assert "<td>&lt;i&gt;</td><td>3</td>" in html
    assert 'alt="the &quot;first&quot;" src="data:image/jpeg;base64,' in html
    assert "http" not in html


def test_a_histogram_shows_each_value_once() -> None:
    svg = histogram([0, 0, 0, 1], "n <of> values")
    assert sorted(bars(svg)) == [pytest.approx(94 / 3, abs=0.1), 94]
    assert "n &lt;of&gt; values" in svg
    assert "<line" not in svg


def test_a_mark_beyond_the_values_is_within_the_picture() -> None:
    svg = histogram([0.0, 1.0], "x", mark=4)
    [place] = re.findall(r'<line x1="([\d.]+)"', svg)
    assert float(place) == 330
    assert ">4</text>" in svg


def test_values_that_are_all_the_same() -> None:
    assert bars(histogram([768] * 9, "side")) == [94]


def test_write(tmp_path: Path) -> None:
    path = write_page(tmp_path / "page.html", "caf\udce9")
    assert path.read_text(encoding="utf-8") == "caf\\udce9"
    with pytest.raises(ImageError, match=r"none/page\.html: cannot be written \(No such file or directory\)"):
        write_page(tmp_path / "none" / "page.html", "")
