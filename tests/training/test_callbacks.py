"""What happens beside the training: the files it leaves, and when it warns."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tensorboardX.proto.event_pb2 import Event

from facegen.media.images import read_image
from facegen.training.callbacks import STATS, Samples, StatsFile, TensorBoard, Watchdog, read_stats
from facegen.training.config import RunConfig

CONFIG = RunConfig(batch=2, log_images=4, preview_images=8)
SHEET = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
NAN, INF = math.nan, math.inf


def trainer_in(folder: Path, images: int = 0) -> Any:
    """As much of a trainer as callbacks look at."""
    state = {"images": images, "modules": {"line": torch.full((2,), float(images))}}
    return SimpleNamespace(folder=folder, config=CONFIG, step=images // 2, images_seen=images, state=lambda: state)


def log(images: int) -> dict[str, Any]:
    return {"step": images // 2, "images": images, "images_per_second": 2.5, "generator/total": images / 8}


class TestStatsFile:
    def written(self, folder: Path, *images: int) -> Path:
        file = StatsFile()
        for n in images:
            file.on_log(trainer_in(folder, n), log(n))
        return folder / STATS

    def test_a_line_for_each_log_and_each_validation(self, tmp_path: Path) -> None:
        file, trainer = StatsFile(), trainer_in(tmp_path, 8)
        file.on_start(trainer_in(tmp_path))
        file.on_log(trainer, log(8))
        file.on_validation(trainer, SHEET, {"score": 12.3456789, "diversity": 0.5})
        expected = [log(8), {"step": 4, "images": 8, "validation/score": 12.34568, "validation/diversity": 0.5}]
        lines = (tmp_path / STATS).read_text(encoding="utf-8").splitlines()
        assert [json.loads(line) for line in lines] == expected == read_stats(tmp_path)

    def test_lines_after_the_point_resumed_from_are_dropped(self, tmp_path: Path) -> None:
        path = self.written(tmp_path, 4, 8, 12, 16)
        StatsFile().on_validation(trainer_in(tmp_path, 16), SHEET, {"score": 1.0})
        StatsFile().on_start(trainer_in(tmp_path, 8))
        assert read_stats(tmp_path) == [log(4), log(8)]  # 8 itself: logged before the checkpoint was written
        self.written(tmp_path, 12)
        assert [line["images"] for line in read_stats(tmp_path)] == [4, 8, 12]
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize("half", ['{"step": 4, "images": 8, "gen', '{"step": 4, "ima', "{"])
    def test_half_written_last_line_is_dropped(self, half: str, tmp_path: Path) -> None:
        path = self.written(tmp_path, 4)
        with path.open("a", encoding="utf-8") as file:
            file.write(half)
        assert read_stats(tmp_path) == [log(4)]
        StatsFile().on_start(trainer_in(tmp_path, 8))
        self.written(tmp_path, 12)
        assert path.read_text(encoding="utf-8") == "".join(json.dumps(log(n)) + "\n" for n in (4, 12))

    def test_begun_anew_nothing_is_left(self, tmp_path: Path) -> None:
        self.written(tmp_path, 4, 8)
        StatsFile().on_start(trainer_in(tmp_path, 0))
        assert read_stats(tmp_path) == []

    def test_figures_that_are_not_finite_can_be_read_again(self, tmp_path: Path) -> None:
        StatsFile().on_validation(trainer_in(tmp_path, 8), SHEET, {"score": NAN, "diversity": INF})
        StatsFile().on_start(trainer_in(tmp_path, 8))
        (line,) = read_stats(tmp_path)
        assert math.isnan(line["validation/score"])
        assert line["validation/diversity"] == INF


class TestSamples:
    @pytest.fixture
    def drawings(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[int], Path]]:
        """(images of the lines, path) of the curves drawn."""
        drawn: list[tuple[list[int], Path]] = []

        def draw(stats: list[dict[str, Any]], path: Path) -> None:
            drawn.append(([line["images"] for line in stats], path))

        monkeypatch.setattr("facegen.training.callbacks.draw_curves", draw)
        return drawn

    def test_sheets_are_named_after_the_images_seen(self, tmp_path: Path) -> None:
        for images in (8, 12_345_678):
            sheet: NDArray[np.uint8] = SHEET + np.uint8(images % 7)
            Samples().on_validation(trainer_in(tmp_path, images), sheet, {"score": 1.0})
            assert np.array_equal(read_image(tmp_path / "samples" / f"{images:09d}.png").rgb, sheet)
        assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["000000008.png", "012345678.png"]

    def test_curves_at_every_tenth_log_and_at_the_end(
        self, drawings: list[tuple[list[int], Path]], tmp_path: Path
    ) -> None:
        callbacks = StatsFile(), Samples()
        for images in range(4, 93, 4):
            for callback in callbacks:
                callback.on_log(trainer_in(tmp_path, images), log(images))
        Samples().on_end(trainer_in(tmp_path, 92))
        assert [images[-1] for images, _ in drawings] == [40, 80, 92]
        assert all(images == list(range(4, images[-1] + 1, 4)) for images, _ in drawings)
        assert {path for _, path in drawings} == {tmp_path / "losses.png"}

    def test_no_curves_of_a_run_that_logged_nothing(
        self, drawings: list[tuple[list[int], Path]], tmp_path: Path
    ) -> None:
        Samples().on_end(trainer_in(tmp_path))
        assert not drawings
        assert not list(tmp_path.iterdir())


def events(folder: Path) -> Iterator[Any]:
    """The events of the one file in a TensorBoard folder: TFRecords of length, its checksum, data, its checksum."""
    (file,) = folder.iterdir()
    data = file.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        yield Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


class TestTensorBoard:
    def written(self, folder: Path, resumed_at: int = 0) -> list[Any]:
        board = TensorBoard()
        board.on_start(trainer_in(folder, resumed_at))
        board.on_log(trainer_in(folder, 20), log(20))
        board.on_validation(trainer_in(folder, 24), SHEET, {"score": 7.5})
        board.on_end(trainer_in(folder, 24))
        return list(events(folder / "tensorboard"))

    def test_scalars_and_sheets_over_the_images_seen(self, tmp_path: Path) -> None:
        values = [(event.step, value) for event in self.written(tmp_path) for value in event.summary.value]
        scalars = {(step, value.tag): value.simple_value for step, value in values if not value.HasField("image")}
        assert scalars == {
            (20, "images_per_second"): 2.5,
            (20, "generator/total"): 2.5,
            (24, "validation/score"): 7.5,
        }
        ((step, sheet),) = [(step, value) for step, value in values if value.HasField("image")]
        assert (step, sheet.tag) == (24, "samples")
        (tmp_path / "sheet.png").write_bytes(sheet.image.encoded_image_string)
        assert np.array_equal(read_image(tmp_path / "sheet.png").rgb, SHEET)

    def test_resumed_run_hides_what_came_after_the_checkpoint(self, tmp_path: Path) -> None:
        starts = [event for event in self.written(tmp_path, resumed_at=12) if event.HasField("session_log")]
        assert [event.step for event in starts] == [13]  # TensorBoard hides that step, too


class TestWatchdog:
    @pytest.fixture
    def warnings(self) -> list[str]:
        return []

    def best(self, folder: Path) -> int | None:
        path = folder / "checkpoints" / "best.pt"
        return int(torch.load(path, weights_only=True)["images"]) if path.exists() else None

    @pytest.mark.parametrize("loss", [0.0199, 0.001, 0.0])
    def test_warns_of_a_discriminator_that_knows_all(self, loss: float, warnings: list[str], tmp_path: Path) -> None:
        Watchdog(warnings.append).on_log(trainer_in(tmp_path, 8), log(8) | {"discriminator/total": loss})
        (warning,) = warnings
        assert warning.startswith(f"8 images: the discriminator's loss is {loss:.3g}: ")
        assert "loss.r1" in warning

    @pytest.mark.parametrize("figures", [{"discriminator/total": x} for x in (0.02, 1.4, NAN, INF)] + [{}])
    def test_is_silent_while_it_learns(self, figures: dict[str, float], warnings: list[str], tmp_path: Path) -> None:
        Watchdog(warnings.append).on_log(trainer_in(tmp_path, 8), log(8) | {"generator/total": 0.0} | figures)
        assert not warnings

    @pytest.mark.parametrize("loss", [0.0, -3.0, 0.01])
    def test_a_loss_without_a_least_value_says_nothing(self, loss: float, warnings: list[str], tmp_path: Path) -> None:
        watchdog = Watchdog(warnings.append, bounded=False)
        watchdog.on_log(trainer_in(tmp_path, 8), log(8) | {"discriminator/total": loss})
        assert not warnings

    def test_warns_of_faces_that_repeat(self, warnings: list[str], tmp_path: Path) -> None:
        Watchdog(warnings.append).on_validation(trainer_in(tmp_path, 8), SHEET, {"score": 9.0, "diversity": 0.4999})
        (warning,) = warnings
        assert warning.startswith("8 images: samples differ 0.50 times as much as real pictures")
        assert "best.pt" in warning

    @pytest.mark.parametrize("figures", [{"diversity": x} for x in (0.5, 1.1, NAN)] + [{}])
    def test_is_silent_while_they_differ(self, figures: dict[str, float], warnings: list[str], tmp_path: Path) -> None:
        Watchdog(warnings.append).on_validation(trainer_in(tmp_path, 8), SHEET, {"score": 9.0} | figures)
        assert not warnings

    def test_keeps_the_best_by_score(self, tmp_path: Path) -> None:
        kept = []
        for images, score in ((4, 9.0), (8, 7.0), (12, 8.0), (16, NAN), (20, -INF), (24, 6.0)):
            Watchdog(print).on_validation(trainer_in(tmp_path, images), SHEET, {"score": score})
            kept.append(self.best(tmp_path))
        assert kept == [4, 8, 8, 8, 8, 24]

    @pytest.mark.parametrize("score", [NAN, INF, -INF])
    def test_never_keeps_a_score_that_is_no_number(self, score: float, warnings: list[str], tmp_path: Path) -> None:
        Watchdog(warnings.append).on_validation(trainer_in(tmp_path, 8), SHEET, {"score": score, "diversity": 1.0})
        assert not warnings
        assert not list(tmp_path.iterdir())
