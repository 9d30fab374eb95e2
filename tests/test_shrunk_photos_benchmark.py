"""The benchmark that restores shrunk photos compares what it says, where it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.shrunk_photos import (
    SHOWN,
    Figures,
    beside,
    bicubic,
    compare_all,
    lanczos,
    shrinkable,
    ways,
)
from facegen.data.cutting import turn as turn_of
from facegen.faces.align import HeadFrame
from facegen.media.images import resize, write_image
from tests import tiny

Picture = NDArray[np.uint8]


def test_every_way_is_compared(tmp_path: Path, astronaut: Picture) -> None:
    write_image(tmp_path / "photo.png", astronaut[:301, 90:390])
    write_image(tmp_path / "empty.png", np.full((60, 60, 3), 128, np.uint8))
    named = {"bicubic": bicubic, "lanczos": lanczos} | {
        name: way for name, way in ways(tiny.save_all(tmp_path / "weights"), []).items() if name == "64 px, lanczos"
    }
    table, sheet = compare_all([tmp_path / "empty.png", tmp_path / "photo.png"], 2, named)
    assert table.columns[0]._cells == list(named)
    assert str(table.caption).startswith("Heads found in 1 of 2 photos, turned by ")
    assert sheet is not None
    assert sheet.shape == (SHOWN, 4 * SHOWN, 3)  # one photo has a face
    originals, enlarged = sheet[:, 3 * SHOWN :].astype(int), sheet[:, :SHOWN]
    assert 0 < np.abs(originals - enlarged).mean() < 12


@pytest.mark.parametrize("turn", [-30.0, 20.0])
def test_photos_are_turned(tmp_path: Path, astronaut: Picture, turn: float) -> None:
    write_image(tmp_path / "photo.png", astronaut[:300, 90:390])
    (upright, _, straight), (turned, small, frame) = (
        found for degrees in (0.0, turn) if (found := shrinkable(tmp_path / "photo.png", 2, degrees))
    )
    assert turned.shape == upright.shape
    assert small.shape == (150, 150, 3)
    assert turn_of(straight) - turn_of(frame) == pytest.approx(turn, abs=3)  # it counts clockwise
    assert frame.side == pytest.approx(straight.side, rel=0.05)


def test_a_result_is_measured_in_each_place(astronaut: Picture) -> None:
    figures = Figures(2)
    head, around = HeadFrame((225, 125), (50, 0), (0, 50)), HeadFrame((64, 64), (40, 0), (0, 40))
    spoilt = astronaut.copy()
    spoilt[75:175, 175:275] = resize(resize(astronaut[75:175, 175:275], (25, 25)), (100, 100))
    figures.compare("spoilt", spoilt, astronaut, [head, around], 1.5)
    figures.compare("spoilt", spoilt, astronaut, [head, None], 2.5)
    first, second = figures.rows["spoilt"]
    assert first[0] < 35 < first[3]
    assert first[1] > first[4]
    assert first[2] < -0.3
    assert np.isnan(second[3:6]).all()
    assert figures.table().columns[-1]._cells == ["2.000"]


@pytest.mark.parametrize(
    ("center", "side", "expected"),
    [
        ((100, 100), 100, ((275, 100), 200)),  # right of the head
        ((200, 150), 300, None),  # less than 64 px on every side
        ((350, 100), 100, ((150, 100), 200)),
    ],
)
def test_beside(center: tuple[float, float], side: float, expected: tuple[tuple[float, float], float] | None) -> None:
    found = beside(HeadFrame(center, (side / 2, 0.0), (0.0, side / 2)), np.zeros((200, 400, 3), np.uint8))
    assert (None if found is None else (found.center, found.side)) == expected
