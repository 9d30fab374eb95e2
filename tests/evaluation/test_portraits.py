"""Stage 2 evaluated on tiny networks, from 32 px so that it takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor

from facegen.evaluation import compare
from facegen.evaluation import portraits as measuring
from facegen.evaluation.compare import LANCZOS, OURS, RATIO, evaluate_portraits
from facegen.evaluation.portraits import NAMES
from facegen.evaluation.report import BASELINE, ORIGINAL, Evaluation
from facegen.pipeline import FacePipeline

COLUMNS = (OURS, BASELINE, LANCZOS, ORIGINAL, RATIO)


@pytest.fixture(scope="module")
def found(pipeline: FacePipeline, portraits: Path) -> Evaluation:
    """Two portraits, and three files that cannot be used."""
    reported: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "LOW", 32)
        patch.setattr(measuring, "PATCHES", 4)
        files = sorted(portraits.rglob("*.png"))
        (evaluation,) = evaluate_portraits(pipeline, files, "all of them", reported.append, lpips)
    assert reported[0] == f"portrait 1 of 5: {files[0].name}"
    return evaluation


def lpips(a: Tensor, b: Tensor) -> float:
    """Stands in for LPIPS."""
    assert a.shape == b.shape == (3, 256, 256)
    return float((a - b).abs().mean())


def values(found: Evaluation, key: str) -> dict[str, float]:
    """Column -> value of a figure, where it has one."""
    (figure,) = (figure for figure in found.figures if figure.name == NAMES[key][0])
    return {column: value for column, value in figure.values.items() if value is not None}


def test_every_figure_has_facegens_column_and_the_interpolations(found: Evaluation) -> None:
    assert [figure.name for figure in found.figures] == [name for name, _, _ in NAMES.values()]
    for figure in found.figures:
        assert set(figure.values) <= set(COLUMNS) == set(found.columns)
        assert all(figure.values[column] is not None for column in ("facegen", "bicubic", "lanczos"))
        assert figure.protocol.split == "all of them"
        assert "32 px by area mean, 8 bits, upscaled to 256 px" in figure.protocol.resize
    counts = {figure.name: figure.protocol.count for figure in found.figures}
    assert counts["PSNR, dB"] == 2
    assert counts[NAMES["patches"][0]] == 2 * 4


def test_facegen_fits_the_small_picture_better_than_bicubic(found: Evaluation) -> None:
    fit = values(found, "fit")
    assert fit[OURS] > max(45, fit[BASELINE])


def test_the_original_has_the_figures_that_need_no_original(found: Evaluation) -> None:
    with_original = {key for key in NAMES if ORIGINAL in values(found, key)}
    assert with_original == {"nyquist", "seams"}
    assert values(found, "detail")[BASELINE] < 0


def test_the_ratio_is_facegens_value_over_bicubics(found: Evaluation) -> None:
    distance = values(found, "features")
    assert distance[RATIO] == pytest.approx(distance[OURS] / distance[BASELINE])
    assert RATIO not in values(found, "psnr")


def test_lpips_is_measured_where_it_is_installed(found: Evaluation) -> None:
    (figure,) = (figure for figure in found.figures if figure.name == "LPIPS")
    assert set(figure.values) == {"facegen", "bicubic", "lanczos", RATIO}
    assert "torchmetrics" in figure.protocol.features


def test_sheets_show_every_column(found: Evaluation) -> None:
    assert found.charted == (OURS, BASELINE, LANCZOS)
    about, *others = (sheet.caption for sheet in found.sheets)
    assert about == "Portraits, 32 px by area mean, 8 bits, upscaled to 256 px"
    assert len(others) == 2
    assert found.sheets[0].picture.shape[1] == 5 * 292 - 4
