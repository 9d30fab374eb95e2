"""The benchmark of photos compares restored ones with their originals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.photos import FIGURES, SHOWN, bicubic, compare_all, lanczos, measure, shrinkable, ways
from facegen.arrays import RGB
from facegen.media.images import write_image
from facegen.models.efficientnet import load_efficientnet
from tests import tiny


def test_every_way_is_compared(tmp_path: Path, astronaut: RGB) -> None:
    write_image(tmp_path / "photo.png", astronaut[:301, 90:390])
    write_image(tmp_path / "empty.png", np.full((60, 60, 3), 128, np.uint8))
    named = {"bicubic": bicubic, "lanczos": lanczos} | {
        name: way for name, way in ways(tiny.save_all(tmp_path / "weights"), []).items() if name == "64 px, lanczos"
    }
    table, sheet = compare_all([tmp_path / "empty.png", tmp_path / "photo.png"], 2, named)
    assert table.columns[0]._cells == list(named)
    assert table.caption == "Heads found in 1 of 2 photos."
    assert [column.header for column in table.columns[1:]] == list(FIGURES)
    assert sheet is not None
    assert sheet.shape == (SHOWN, 4 * SHOWN, 3)  # one photo has a face
    originals, enlarged = sheet[:, 3 * SHOWN :].astype(int), sheet[:, :SHOWN]
    assert 0 < np.abs(originals - enlarged).mean() < 12


def test_the_original_is_the_best_result(tmp_path: Path, astronaut: RGB) -> None:
    write_image(tmp_path / "photo.png", astronaut[:300, 90:390])
    found = shrinkable(tmp_path / "photo.png", 2)
    assert found is not None
    original, small, frame = found
    network = load_efficientnet("lite2")
    itself = measure(network, original, original, small, frame)
    enlarged = measure(network, lanczos(small, 2), original, small, frame)
    assert itself[0] == float("inf")
    assert itself[1] == pytest.approx(0, abs=1e-6)
    assert itself[3] > 50
    assert enlarged[1] > itself[1]
    assert enlarged[2] < 0
