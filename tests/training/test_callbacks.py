"""Callbacks: the files that they write, and when they warn."""

from __future__ import annotations

import io
import json
import math
import re
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.figure
import numpy as np
import pytest
import torch
from rich.console import Console
from tensorboardX.proto.event_pb2 import Event

from facegen.arrays import RGB
from facegen.media.images import read_image
from facegen.training.callbacks import (
    DPI,
    INCHES,
    PANELS,
    STATS,
    Samples,
    StatsFile,
    TensorBoard,
    TrainingProgress,
    Watchdog,
    curves_of,
    draw_curves,
    read_stats,
    zoom_from,
)
from facegen.training.config import RunConfig

CONFIG = RunConfig(batch=2, log_images=4, preview_images=8)
SHEET = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
NAN, INF = math.nan, math.inf


def trainer_in(folder: Path, images: int = 0) -> Any:
    """The parts of a trainer that callbacks use."""
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
        StatsFile().on_start(trainer_in(tmp_path, 0))  # begun anew
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
            sheet: RGB = SHEET + np.uint8(images % 7)
            Samples().on_validation(trainer_in(tmp_path, images), sheet, {"score": 1.0})
            assert np.array_equal(read_image(tmp_path / "samples" / f"{images:09d}.png").rgb, sheet)
        assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["000000008.png", "012345678.png"]

    def test_curves_at_every_tenth_log_and_at_the_end(
        self, drawings: list[tuple[list[int], Path]], tmp_path: Path
    ) -> None:
        Samples().on_end(trainer_in(tmp_path))
        assert not drawings  # nothing was logged
        callbacks = StatsFile(), Samples()
        for images in range(4, 93, 4):
            for callback in callbacks:
                callback.on_log(trainer_in(tmp_path, images), log(images))
        Samples().on_validation(trainer_in(tmp_path, 92), SHEET, {"score": 1.0})
        Samples().on_end(trainer_in(tmp_path, 92))
        assert [images[-1] for images, _ in drawings] == [40, 80, 92]
        assert all(images == list(range(4, images[-1] + 1, 4)) for images, _ in drawings)
        assert {path for _, path in drawings} == {tmp_path / "losses.png"}

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
    def test_warns_of_a_discriminator_that_is_too_good(self, loss: float, warnings: list[str], tmp_path: Path) -> None:
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
        assert "No checkpoint before was better" in warning

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


Stats = list[dict[str, Any]]
VALIDATION = {"step": 3, "images": 6, "validation/score": 12.0, "validation/diversity": 0.9}


def logged(images: int, **figures: float) -> dict[str, Any]:
    """A line of stats.jsonl; "__" stands for the slash."""
    named = {name.replace("__", "/"): value for name, value in figures.items()}
    return {"step": images // 2, "images": images, "images_per_second": 3.5, "data_share": 0.1, **named}


class TestPoints:
    def test_a_panel_s_figures_by_name_in_the_order_of_the_run(self) -> None:
        stats = [logged(2, generator__total=5.0, discriminator__total=1.0), logged(4, generator__total=4.0), VALIDATION]
        assert curves_of(stats, PANELS["total"]) == {
            "discriminator/total": [(2, 1.0)],
            "generator/total": [(2, 5.0), (4, 4.0)],
        }
        others = {"images": 4, "total": 9.0, "generator/subtotal": 3.0}
        assert curves_of([*stats, others], PANELS["total"]) == curves_of(stats, PANELS["total"])
        assert curves_of(stats, PANELS["validation"]) == {
            "validation/diversity": [(6, 0.9)],
            "validation/score": [(6, 12.0)],
        }

    def test_the_last_fifth(self) -> None:
        stats = [logged(images, generator__total=float(images)) for images in range(10, 101, 10)]
        assert (zoom_from(stats), zoom_from([])) == (80, 0)
        zoomed = curves_of(stats, ("total",), zoom_from(stats))
        assert zoomed == {"generator/total": [(80, 80.0), (90, 90.0), (100, 100.0)]}

    @pytest.mark.parametrize("broken", [float("nan"), float("inf"), float("-inf")])
    def test_figures_that_are_not_finite_are_passed_over(self, broken: float) -> None:
        stats = [logged(2, generator__total=1.0), logged(4, generator__total=broken), logged(6, generator__total=3.0)]
        assert curves_of(stats, ("total",)) == {"generator/total": [(2, 1.0), (6, 3.0)]}
        assert curves_of(stats[1:2], ("total",)) == {}

def drawn(monkeypatch: pytest.MonkeyPatch) -> list[matplotlib.figure.Figure]:
    """The figures made from now on."""
    made: list[matplotlib.figure.Figure] = []
    save = matplotlib.figure.Figure.savefig

    def keep(figure: matplotlib.figure.Figure, *args: Any, **options: Any) -> None:
        made.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", keep)
    return made


class TestPicture:
    def test_whole_run_above_and_its_end_below(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        figures = drawn(monkeypatch)
        stats = [logged(n, generator__total=-2.0 * n, generator__adversarial=1.0) for n in range(10, 101, 10)]
        draw_curves(stats, tmp_path / "losses.png")
        picture = read_image(tmp_path / "losses.png").rgb
        assert picture.shape == (INCHES[1] * DPI, INCHES[0] * DPI, 3)
        assert 0.01 < (picture < 128).mean() < 0.5  # dark lines on white
        assert list(tmp_path.iterdir()) == [tmp_path / "losses.png"]
        axes = {axis.get_title(): axis for axis in figures[0].axes}
        assert set(axes) == {title + note for title in PANELS for note in ("", ", last fifth")}
        assert [line.get_xdata().tolist() for line in axes["total"].lines] == [list(range(10, 101, 10))]  # type: ignore[union-attr]
        (zoomed,) = axes["total, last fifth"].lines
        assert np.asarray(zoomed.get_xdata()).tolist() == [80, 90, 100]
        assert np.asarray(zoomed.get_ydata()).tolist() == [-0.8, -0.9, -1.0]  # divided by the largest magnitude
        assert zoomed.get_label() == "generator/total / 200"
        assert not axes["validation"].lines

    @pytest.mark.parametrize("stats", [[], [logged(4, generator__total=0.0)]], ids=["empty", "one line of zeros"])
    def test_little_to_draw(self, stats: Stats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("facegen.training.callbacks.INCHES", (4, 2))
        draw_curves(stats, tmp_path / "losses.png")
        assert read_image(tmp_path / "losses.png").rgb.shape == (200, 400, 3)

    def test_validation_alone_and_a_single_point_can_be_seen(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr("facegen.training.callbacks.INCHES", (4, 2))
        figures = drawn(monkeypatch)
        draw_curves([VALIDATION], tmp_path / "losses.png")
        seen = {axis.get_title(): [line.get_marker() for line in axis.lines] for axis in figures[0].axes if axis.lines}
        assert seen == {"validation": [".", "."], "validation, last fifth": [".", "."]}
        assert read_image(tmp_path / "losses.png").rgb.std() > 0

LOGGED = {
    "step": 1234567,
    "images": 4,
    "images_per_second": 2.5,
    "data_share": 0.0125,
    "discriminator/total": 1.23456789,
    "generator/total": -0.5,
    "generator/adversarial": 1e-7,
}
ODD = "/data/[old]/a :smile: [/b].png: 12x34 is not square; [red]aligned head crops[/red] are expected. " + "x" * 80


def trainer(images: int, of: int = 8) -> Any:
    return SimpleNamespace(images_seen=images, config=RunConfig(images=of, batch=2))


def terminal(width: int = 160, kind: str = "xterm-256color") -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, _environ={"TERM": kind})


def file() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=40, _environ={})


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def frames(console: Console) -> list[str]:
    """The states of the redrawn line, without colours."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown(console))
    return [line.strip() for line in re.split(r"[\r\n]", plain) if line.strip()]


class TestFile:
    @pytest.mark.parametrize("make", [file, lambda: terminal(kind="dumb")], ids=["file", "dumb terminal"])
    def test_a_line_of_figures_for_each_log_counts_whole(self, make: Callable[[], Console]) -> None:
        console = make()
        progress = TrainingProgress(console)
        progress.on_start(trainer(0))
        progress.on_log(trainer(4), LOGGED)
        progress.on_log(trainer(8), LOGGED | {"images": 8})
        progress.on_end(trainer(8))
        figures = "images_per_second 2.5  data_share 0.0125  discriminator/total 1.23457  generator/total -0.5"
        assert shown(console) == "".join(
            f"step 1234567  images {images}  {figures}  generator/adversarial 1e-07\n" for images in (4, 8)
        )

    def test_warnings_are_printed_as_they_are(self) -> None:
        console = file()
        TrainingProgress(console).warn(ODD)
        assert shown(console) == ODD + "\n"


class TestTerminal:
    def test_one_line_with_speed_losses_and_what_is_left(self) -> None:
        console = terminal()
        progress = TrainingProgress(console)
        progress.on_start(trainer(0))
        progress.on_log(trainer(4), LOGGED)
        progress.on_end(trainer(6))
        assert re.search(r" 0/8 images +[-:]+ left", frames(console)[0])
        assert frames(console)[-1].endswith(" left 2.5/s  discriminator 1.235  generator -0.5")
        assert " 6/8 images " in frames(console)[-1]
        assert "step" not in shown(console)
        assert shown(console).count("\n") == 1  # the last state stays, and nothing else

    def test_a_narrow_one_cuts_the_losses_alone(self) -> None:
        console = terminal(width=60)
        progress = TrainingProgress(console)
        progress.on_start(trainer(0, of=1_000_000))
        progress.on_log(trainer(123_456, of=1_000_000), LOGGED)
        progress.on_end(trainer(123_456, of=1_000_000))
        assert re.search(r" 123456/1000000 images +[-:0-9]+ left 2\.5/s .*…$", frames(console)[-1])
        assert shown(console).count("\n") == 1

    def test_resumed_run_begins_where_it_was(self) -> None:
        console = terminal()
        progress = TrainingProgress(console)
        progress.on_start(trainer(6))
        progress.on_end(trainer(6))
        assert all(" 6/8 " in frame for frame in frames(console))

    def test_warnings_stay_above_the_line_as_they_are(self) -> None:
        console = terminal(width=400)
        progress = TrainingProgress(console)
        progress.on_start(trainer(0))
        progress.warn(ODD)
        progress.on_end(trainer(8))
        assert ODD in shown(console)
        assert " 8/8 " in frames(console)[-1]

    def test_redrawing_ends_with_the_run(self) -> None:
        before = set(threading.enumerate())
        console = terminal()
        progress = TrainingProgress(console)
        progress.on_start(trainer(0))
        (redrawing,) = set(threading.enumerate()) - before
        progress.on_end(trainer(0))
        redrawing.join(60)
        assert not redrawing.is_alive()
        assert shown(console).endswith("\x1b[?25h")  # the cursor is shown again
