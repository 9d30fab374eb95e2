"""The film benchmark measures every way on the same walk, and goes on where it was stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.commands import Usage
from benchmarks.video import (
    ALONE,
    LOW_RES,
    WAYS,
    Length,
    length_table,
    seconds,
    seconds_table,
    temporal_table,
    walk_figures,
)
from facegen.evaluation.temporal import TemporalMetrics
from facegen.pipeline import FacePipeline

LENGTH = Length(frames=3, paced=48, fps=12, size=256)


@pytest.fixture(scope="module")
def whole(pipeline: FacePipeline, tmp_path_factory: pytest.TempPathFactory) -> dict[str, TemporalMetrics]:
    return walk_figures(pipeline, 0, LENGTH, tmp_path_factory.mktemp("films"))


def text(shown: object) -> str:
    console = Console(width=140, record=True)
    console.print(shown)
    return console.export_text()


def test_every_way_is_measured(whole: dict[str, TemporalMetrics]) -> None:
    assert tuple(whole) == (*WAYS, LOW_RES)
    assert all(walk.frames == 3 and walk.flicker is not None for walk in whole.values())
    assert "(1.00)" in text(temporal_table([whole, whole], "two walks"))


def test_a_walk_is_measured_once(
    pipeline: FacePipeline, whole: dict[str, TemporalMetrics], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert walk_figures(pipeline, 0, LENGTH, tmp_path) == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["walk-0.json", "walk-0.png"]
    monkeypatch.setattr("benchmarks.video.upscaled", None)  # nothing is left to do
    assert walk_figures(pipeline, 0, LENGTH, tmp_path) == whole


def test_every_step_is_timed(pipeline: FacePipeline) -> None:
    steps = seconds(pipeline, WAYS["all"], 256)
    assert {"draw", "landmarks", "candidates", "flow", "score", "choose", "carry", "keep", "encode"} <= steps.keys()
    assert min(steps.values()) > 0


def test_seconds_are_shared_out() -> None:
    shown = text(seconds_table({"one by one": {"draw": 1.0}, "all": {"draw": 1.0, "carry": 3.0}}, "seconds"))
    assert "3.000 (75%)" in shown
    assert "0.000 (0%)" in shown


def test_speed_is_of_the_frames_that_a_longer_film_has_more() -> None:
    costs = {
        "": (Usage(20.0, 30.0, 1000.0), Usage(56.0, 90.0, 1010.0)),
        ALONE: (Usage(40.0, 30.0, 1000.0), Usage(112.0, 90.0, 1010.0)),
    }
    shown = text(length_table(costs, "films"))
    assert "1000, 1010" in shown
    assert "1.01" in shown
    assert "2.00" in shown
