"""What a training shows: one line on a terminal, lines of figures in a file."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from facegen.cli.progress import TrainingProgress
from facegen.training.config import RunConfig

STATS = {
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
        progress.on_log(trainer(4), STATS)
        progress.on_log(trainer(8), STATS | {"images": 8})
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
        progress.on_log(trainer(4), STATS)
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
        progress.on_log(trainer(123_456, of=1_000_000), STATS)
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
        redrawing.join(10)
        assert not redrawing.is_alive()
        assert shown(console).endswith("\x1b[?25h")  # the cursor is shown again
