"""The page counts every reason and shows crops of each measure."""

from __future__ import annotations

from pathlib import Path

from facegen.data.clean.judge import DETECTORS, PICTURE_WISE, decide
from facegen.data.clean.report import counts, write_page
from facegen.data.manifest import Entry

GOOD = {name: DETECTORS[name].usual for name in PICTURE_WISE}


def entries() -> list[Entry]:
    bad = GOOD | {"dark": 0.1, "noisy": 9.0}
    rows = [Entry("a.png", "", measures=GOOD), Entry("b <i>.png", "", measures=bad)]
    return decide([*rows, Entry("c.png", "", measures=GOOD | {"dark": 0.2})], [], {}, DETECTORS)


def test_reasons_are_counted() -> None:
    assert counts(entries()) == [("dark", 2, 1), ("noisy", 1, 0)]


def test_the_page_shows_each_detector_and_escapes_names(tmp_path: Path) -> None:
    text = write_page(tmp_path, entries(), DETECTORS).read_text(encoding="utf-8")
    assert "3 crops: 1 to keep, 2 to drop" in text
    assert all(f'<h2 id="{name}">' in text for name in DETECTORS)
    assert "b &lt;i&gt;.png" in text
    assert "<i>" not in text
    assert 'href="b%20%3Ci%3E.png"' in text


def test_crops_are_embedded(crops: Path) -> None:
    decided = decide([Entry("a.png", "", measures=GOOD)], [], {}, DETECTORS)
    assert "data:image/jpeg;base64," in write_page(crops, decided, DETECTORS).read_text(encoding="utf-8")
