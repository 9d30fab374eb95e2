"""Stage 1 on tiny networks and on generators whose faults are known."""

from __future__ import annotations

from copy import deepcopy
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import torch

from facegen.arrays import RGB, to_tensor
from facegen.data.split import Split, read_split
from facegen.errors import UsageError
from facegen.evaluation import samples
from facegen.evaluation.features import Features, pooled_features
from facegen.evaluation.report import Evaluation, Figure
from facegen.evaluation.samples import RATIO, REAL, SAMPLES, evaluate_samples
from facegen.media.images import read_image
from facegen.models.dcgan import DCGANConfig, DCGANGenerator
from facegen.models.efficientnet import EfficientNetLite
from facegen.pipeline import FacePipeline


@pytest.fixture(scope="module")
def split(heads: Path) -> Split:
    return read_split(heads, heads, 8, ())


def quiet(_: str) -> None: ...


def copying(pipeline: FacePipeline, files: list[Path], monkeypatch: pytest.MonkeyPatch) -> dict[str, FacePipeline]:
    """The pipeline, drawing these pictures in turn."""
    pictures = cycle(to_tensor(read_image(file).rgb) for file in files)
    monkeypatch.setattr(pipeline.generator, "draw", lambda z: torch.stack([next(pictures) for _ in z]))
    return {SAMPLES: pipeline}


def with_generator(pipeline: FacePipeline, generator: DCGANGenerator) -> FacePipeline:
    """The pipeline with another stage 1."""
    return FacePipeline(pipeline.recipe, generator=generator, upscaler=pipeline.upscaler, guide=pipeline.guide)


def by_name(evaluation: Evaluation, start: str) -> Figure:
    (figure,) = (figure for figure in evaluation.figures if figure.name.startswith(start))
    return figure


def value_of(figure: Figure, column: str) -> float:
    value = figure.values[column]
    assert value is not None
    return value


@pytest.fixture(scope="module")
def found(pipeline: FacePipeline, split: Split) -> tuple[Evaluation, list[str]]:
    """Eight samples of a tiny network evaluated, and what was reported."""
    reported: list[str] = []
    return evaluate_samples({SAMPLES: pipeline}, split, 8, reported.append), reported


def test_every_figure_has_its_columns_and_protocol(found: tuple[Evaluation, list[str]]) -> None:
    evaluation, reported = found
    assert len(evaluation.figures) == 7
    for figure in evaluation.figures:
        assert set(figure.values) == {SAMPLES, REAL, RATIO} == set(evaluation.columns)
        assert np.isfinite(value_of(figure, SAMPLES))
        assert "seeds 0-7, truncation 1; 8 held out, 12 trained on: 8 held out by person" in figure.protocol.split
        assert figure.protocol.resize.startswith("128 px")
    assert by_name(evaluation, "Frechet distance (EfficientNet-Lite2)").protocol.count == 4  # half of the held-out
    assert by_name(evaluation, "Nearest").protocol.count == 8
    assert reported[0] == "drawing 8 samples of 128 px"
    assert "looking at 12 pictures with EfficientNet-Lite2: training" in reported
    assert by_name(evaluation, "Frechet").protocol.seed == 0
    assert by_name(evaluation, "Nearest").protocol.seed is None
    assert [sheet.picture.ndim for sheet in evaluation.sheets] == [3, 3, 3]


def test_too_few_pictures_are_warned_of_in_the_terminal_and_on_the_page(found: tuple[Evaluation, list[str]]) -> None:
    evaluation, reported = found
    [warning] = [line for line in reported if line.startswith("Warning")]
    assert "N = 4 pictures a half are too few" in warning
    assert "standard error of up to 0.25. Hold out at least 100 pictures" in warning
    assert evaluation.legend.endswith(warning)
    assert samples._small_half_warning(samples.FEW) == ""


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


@pytest.fixture(scope="module")
def both(pipeline: FacePipeline, split: Split) -> tuple[Evaluation, list[str], list[int]]:
    """That network beside a paler one, with an Inception; what it reported, and how many pictures were looked at."""
    other = deepcopy(pipeline.generator)
    other.to_rgb.weight.data.mul_(0.2)
    reported: list[str] = []
    looked: list[int] = []

    def look(network: EfficientNetLite, pictures: RGB, side: int, device: str) -> Features:
        looked.append(len(pictures))
        return pooled_features(network, pictures, side, device=device)

    def inception(pictures: RGB) -> Features:
        return np.asarray(pictures.mean(axis=(1, 2)))  # (N, 3): mean colours

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "pooled_features", look)
        pipelines = {"tiny": pipeline, "pale": with_generator(pipeline, other)}
        return evaluate_samples(pipelines, split, 8, reported.append, inception), reported, looked


def test_several_generators_stand_side_by_side(
    found: tuple[Evaluation, list[str]], both: tuple[Evaluation, list[str], list[int]]
) -> None:
    evaluation, reported, looked = both
    assert looked == [8, 8, 8, 12]  # each generator's samples, and the real pictures once
    assert evaluation.columns == ("tiny", "pale", REAL, "tiny ratio", "pale ratio")
    captions = [sheet.caption.partition(": ")[0] for sheet in evaluation.sheets]
    assert captions == ["tiny", "tiny", "pale", "pale", "Held-out pictures"]
    assert reported[:2] == ["tiny: drawing 8 samples of 128 px", "pale: drawing 8 samples of 128 px"]
    alone = {"tiny": SAMPLES, REAL: REAL, "tiny ratio": RATIO}
    for one in found[0].figures:
        figure = by_name(evaluation, one.name)
        assert figure.protocol == one.protocol
        assert {alone[column]: figure.values[column] for column in alone} == one.values
        assert set(figure.values) == set(evaluation.columns)
    diversity = by_name(evaluation, "Diversity")
    assert value_of(diversity, "pale") < value_of(diversity, "tiny")


def test_fid_is_measured_where_inception_is_installed(both: tuple[Evaluation, list[str], list[int]]) -> None:
    fid = by_name(both[0], "FID")
    assert fid.name == "FID at N = 4 (Inception-v3)"
    assert value_of(fid, "tiny") > value_of(fid, REAL) > 0
    assert value_of(fid, "tiny ratio") == pytest.approx(value_of(fid, "tiny") / value_of(fid, REAL))
    assert (fid.protocol.count, fid.wanted) == (4, "lower")
    assert "torch-fidelity" in fid.protocol.features
    assert fid.protocol.resize.endswith("then 299 px, bilinear as TensorFlow 1")
    assert "8 held out by person" in fid.protocol.split


def test_generators_of_two_sides_are_refused(pipeline: FacePipeline, split: Split) -> None:
    small = with_generator(pipeline, DCGANGenerator(DCGANConfig(z_dim=8, widths=(8, 8, 8))))
    with pytest.raises(UsageError, match=r"must draw alike, found a 128 px at truncation 1, b 16 px at truncation 1"):
        evaluate_samples({"a": pipeline, "b": small}, split, 8, quiet)


def test_too_few_pictures_are_refused(pipeline: FacePipeline, heads: Path, split: Split) -> None:
    with pytest.raises(UsageError, match=r"3 samples and 8 held-out pictures: expected at least 8 held out, and"):
        evaluate_samples({SAMPLES: pipeline}, split, 3, quiet)
    with pytest.raises(UsageError, match=r"50 samples and 7 held-out pictures"):
        evaluate_samples({SAMPLES: pipeline}, read_split(heads, heads, 7, ()), 50, quiet)
