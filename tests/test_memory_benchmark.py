"""The crowd holds every photo; growth is fitted by a line, with the distance from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.commands import Usage
from benchmarks.memory import crowd, draw, growth_table, line
from facegen.media.images import read_image


def test_photos_stand_in_the_cells_of_a_grid() -> None:
    photos = [np.full((20, 30, 3), shade, np.uint8) for shade in (10, 20, 30)]
    picture = crowd(photos, (100, 80))
    assert picture.shape == (80, 100, 3)
    for photo, (top, left) in zip(photos, [(10, 10), (10, 60), (50, 10)], strict=True):
        np.testing.assert_array_equal(picture[top : top + 20, left : left + 30], photo)
    assert picture[50:70, 60:90].std() > 1  # a ground that is no flat colour


def test_what_does_not_fit_is_cut_around_its_middle() -> None:
    photo = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    np.testing.assert_array_equal(crowd([photo], (100, 80)), photo[5:85, 10:110])


def test_linear_growth_is_recognised_and_drawn(tmp_path: Path) -> None:
    sizes = [1.0, 4.0, 16.0]
    usage = [Usage(seconds=9.0, processor_seconds=3 + 2 * size, peak=700.0) for size in sizes]
    assert line(sizes, [used.processor_seconds for used in usage]) == pytest.approx((3, 2))
    found = growth_table(sizes, usage)
    assert found.caption == "3.0 s and 2.00 s for each megapixel"
    assert all(abs(float(str(cell).rstrip("%"))) == 0 for cell in found.columns[4]._cells)
    draw(tmp_path / "growth.png", sizes, usage)
    assert read_image(tmp_path / "growth.png").rgb.shape == (300, 800, 3)


def test_nonlinear_growth_is_off_the_line() -> None:
    sizes = [1.0, 4.0, 16.0]
    found = growth_table(sizes, [Usage(seconds=9.0, processor_seconds=size**2, peak=700.0) for size in sizes])
    assert max(abs(float(str(cell).rstrip("%"))) for cell in found.columns[4]._cells) > 5
