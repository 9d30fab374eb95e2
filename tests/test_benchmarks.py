"""The benchmarks measure what they say."""

import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.choice import FIGURES, WAYS, Original, cells, measure_way
from benchmarks.speed import shares, tile_seconds, timed
from facegen.arrays import RGB, to_tensor
from facegen.media.images import resize
from facegen.ops.consistency import downsample_area
from facegen.pipeline import FacePipeline
from tests.tiny import save_all


def test_timed_leaves_the_first_run_out() -> None:
    naps = iter([0.2, 0.01, 0.01])
    seconds = timed(lambda: time.sleep(next(naps)), runs=2)
    assert len(seconds) == 2
    assert all(0.01 <= s < 0.2 for s in seconds)


def test_shares_name_every_step(tmp_path: Path) -> None:
    steps = shares(FacePipeline.load(save_all(tmp_path)), runs=1)
    assert set(steps) == {"draw", "landmarks", "guide", "candidates", "score", "choose", "blend", "back_project"}
    assert all(seconds > 0 for seconds in steps.values())


def test_tiles_are_timed_in_every_precision(tmp_path: Path) -> None:
    found = tile_seconds(FacePipeline.load(save_all(tmp_path)), runs=1)
    assert list(found) == ["bfloat16", "float32"]
    assert all(0 < seconds < 10 for seconds in found.values())


def test_every_way_to_choose_is_measured(
    tmp_path: Path, head: RGB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.choice.SIDE", 256)
    monkeypatch.setattr("benchmarks.choice.LOW", 32)
    picture = to_tensor(resize(head, (256, 256)))
    original = Original(picture, downsample_area(picture, (32, 32)), np.zeros((2, 2), np.int64))
    recipe = save_all(tmp_path)
    for override in WAYS.values():
        row, shown = measure_way(FacePipeline.load(recipe, [override]), [original], "way")
        assert shown.shape == picture.shape
        (figures,) = row.figures
        assert len(figures) == len(FIGURES)
        assert np.isfinite(figures).all()
        assert row.patches[0].shape[0] == 2
        assert len(cells(row, row.patches[0])) == len(FIGURES)
