"""The page names every reason and shows the crops it is about."""

from __future__ import annotations

from pathlib import Path

from facegen.data.clean.detectors import DETECTORS, PICTURE_WISE
from facegen.data.clean.judging import judge
from facegen.data.clean.report import counts, to_html, write_report
from facegen.data.manifest import Entry

GOOD = {name: DETECTORS[name].usual for name in PICTURE_WISE}


def entries() -> list[Entry]:
    bad = GOOD | {"dark": 0.1, "noisy": 9.0}
    rows = [Entry("a.png", "", measures=GOOD), Entry("b <i>.png", "", measures=bad)]
    return judge([*rows, Entry("c.png", "", measures=GOOD | {"dark": 0.2})], [], {}, DETECTORS)


def test_reasons_are_counted() -> None:
    assert counts(entries()) == [("dark", 2, 1), ("noisy", 1, 0)]


def test_the_page_shows_each_detector_and_escapes_names(tmp_path: Path) -> None:
    text = to_html(tmp_path, entries(), DETECTORS)
    assert "3 crops: 1 to keep, 2 to drop" in text
    assert all(f'<h2 id="{name}">' in text for name in DETECTORS)
    assert "b &lt;i&gt;.png" in text
    assert "<i>" not in text
    assert 'href="b%20%3Ci%3E.png"' in text


def test_crops_are_embedded(crops: Path) -> None:
    judged = judge([Entry("a.png", "", measures=GOOD)], [], {}, DETECTORS)
    assert "data:image/jpeg;base64," in write_report(crops, judged, DETECTORS).read_text(encoding="utf-8")
