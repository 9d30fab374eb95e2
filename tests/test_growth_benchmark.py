"""The benchmark of growing photos measures real processes and says how far they are off a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.commands import Usage
from benchmarks.growth import draw, line, table
from facegen.media.images import read_image


def test_what_lies_on_a_line_is_said_to_and_drawn(tmp_path: Path) -> None:
    sizes = [1.0, 4.0, 16.0]
    usage = [Usage(seconds=9.0, processor_seconds=3 + 2 * size, peak=700.0) for size in sizes]
    assert line(sizes, [used.processor_seconds for used in usage]) == pytest.approx((3, 2))
    found = table(sizes, usage)
    assert found.caption == "3.0 s and 2.00 s for each megapixel"
    assert all(abs(float(str(cell).rstrip("%"))) == 0 for cell in found.columns[2]._cells)
    draw(tmp_path / "growth.png", sizes, usage)
    assert read_image(tmp_path / "growth.png").rgb.shape == (300, 800, 3)


def test_what_bends_is_off_the_line() -> None:
    sizes = [1.0, 4.0, 16.0]
    found = table(sizes, [Usage(seconds=9.0, processor_seconds=size**2, peak=700.0) for size in sizes])
    assert max(abs(float(str(cell).rstrip("%"))) for cell in found.columns[2]._cells) > 5
