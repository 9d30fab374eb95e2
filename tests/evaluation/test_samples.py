"""Stage 1 on tiny networks and on generators whose faults are known."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

import numpy as np
import pytest

from facegen.errors import UsageError
from facegen.evaluation.pictures import Split, read_split
from facegen.evaluation.result import Evaluation
from facegen.evaluation.samples import COLUMNS, RATIO, REAL, SAMPLES, evaluate_samples
from facegen.images import read_image
from facegen.metrics.protocol import Figure
from facegen.pipeline import FacePipeline
from facegen.tensors import to_tensor


@pytest.fixture(scope="module")
def split(heads: Path) -> Split:
    return read_split(heads, heads, 8, ())


def quiet(_: str) -> None: ...


def copying(pipeline: FacePipeline, files: list[Path], monkeypatch: pytest.MonkeyPatch) -> FacePipeline:
    """The pipeline, drawing these pictures in turn."""
    pictures = cycle(to_tensor(read_image(file).rgb) for file in files)
    monkeypatch.setattr(pipeline, "draw", lambda z: next(pictures))
    return pipeline


def by_name(evaluation: Evaluation, start: str) -> Figure:
    (figure,) = (figure for figure in evaluation.figures if figure.name.startswith(start))
    return figure


def value_of(figure: Figure, column: str) -> float:
    value = figure.values[column]
    assert value is not None
    return value


@pytest.fixture(scope="module")
def found(pipeline: FacePipeline, split: Split) -> tuple[Evaluation, list[str]]:
    """Eight samples of a tiny network evaluated, and what that told."""
    told: list[str] = []
    return evaluate_samples(pipeline, split, 8, told.append), told


def test_every_figure_has_its_columns_and_protocol(found: tuple[Evaluation, list[str]]) -> None:
    evaluation, told = found
    assert len(evaluation.figures) == 7
    for figure in evaluation.figures:
        assert set(figure.values) == set(COLUMNS) == set(evaluation.columns)
        assert np.isfinite(value_of(figure, SAMPLES))
        assert "seeds 0-7, truncation 1; 8 kept out, 12 trained on: 8 held out by person" in figure.protocol.split
        assert figure.protocol.resize.startswith("128 px")
    assert by_name(evaluation, "Frechet distance (EfficientNet-Lite2)").protocol.count == 4  # half of the kept-out
    assert by_name(evaluation, "Nearest").protocol.count == 8
    assert told[0] == "drawing 8 samples of 128 px"
    assert [sheet.picture.ndim for sheet in evaluation.sheets] == [3, 3]


def test_noise_is_no_face_and_far_from_real(found: tuple[Evaluation, list[str]]) -> None:
    evaluation, _ = found
    assert by_name(evaluation, "Share with a face").values == {SAMPLES: 0.0, REAL: 1.0, RATIO: 0.0}
    assert by_name(evaluation, "Precision").values[SAMPLES] == 0
    assert value_of(by_name(evaluation, "Frechet"), RATIO) > 5


def test_copies_of_training_pictures_are_caught(
    pipeline: FacePipeline, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = evaluate_samples(copying(pipeline, split.training, monkeypatch), split, 6, quiet)
    nearest = by_name(found, "Nearest")
    assert value_of(nearest, SAMPLES) == pytest.approx(0, abs=1e-3)
    assert value_of(nearest, REAL) > 0.1


def test_collapse_is_caught(pipeline: FacePipeline, split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    found = evaluate_samples(copying(pipeline, split.training[:1], monkeypatch), split, 4, quiet)
    assert by_name(found, "Diversity").values[SAMPLES] == pytest.approx(0, abs=1e-3)
    assert by_name(found, "Recall").values[SAMPLES] == 0


def test_too_few_pictures_are_refused(pipeline: FacePipeline, heads: Path, split: Split) -> None:
    with pytest.raises(UsageError, match=r"3 samples and 8 kept-out pictures: expected at least 8 kept out, and"):
        evaluate_samples(pipeline, split, 3, quiet)
    with pytest.raises(UsageError, match=r"50 samples and 7 kept-out pictures"):
        evaluate_samples(pipeline, read_split(heads, heads, 7, ()), 50, quiet)
