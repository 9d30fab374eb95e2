"""The film benchmark measures every way on the same walk."""

from __future__ import annotations

import pytest
from rich.console import Console

from benchmarks.video import LOW_RES, WAYS, faces, measure, seconds_table, steadiness_table
from facegen.pipeline import FacePipeline
from tests.tiny import save_all


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> FacePipeline:
    return FacePipeline.load(save_all(tmp_path_factory.mktemp("weights")))


def test_every_way_is_measured(pipeline: FacePipeline) -> None:
    figures, shown = measure(pipeline, faces(pipeline, 0, frames=3, paced=48), 256, fps=12)
    assert set(figures) == {*WAYS, LOW_RES}
    assert set(shown) == set(WAYS)
    assert all(walk.frames == 3 and walk.flicker is not None for walk in figures.values())
    console = Console(width=140, record=True)
    console.print(steadiness_table([figures, figures], "two walks"))
    assert "(1.00)" in console.export_text()


def test_seconds_are_shared_out() -> None:
    console = Console(width=140, record=True)
    console.print(seconds_table({"one by one": {"draw": 1.0}, "all": {"draw": 1.0, "carry": 3.0}}, "seconds"))
    text = console.export_text()
    assert "3.000 (75%)" in text
    assert "0.000 (0%)" in text
