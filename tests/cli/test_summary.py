"""The table at the end of a run, and the time left on a terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from facegen.cli.printing import console
from facegen.cli.summary import Forecast, report_all, summary, time_left, totals
from facegen.jobs import Outcome
from facegen.ops.seams import SeamGauge
from facegen.results import Upscaling

GAUGE = SeamGauge(1.0123, 1.0567)
PHOTO = Path("in/[red]photo :smile:.jpg")
OUTCOMES = [
    Upscaling(PHOTO, (), 3.04, "1 head(s) left", False, "", "", (600, 400), (1200, 800), 2, GAUGE, 61.25),
    Upscaling(Path("same.png"), seconds=0.5, before=(8, 8), after=(8, 8), faces=0, fit=float("inf")),
    Outcome(Path("old.png"), done_already=True),
    Outcome(Path("bad.png"), seconds=0.01, error="bad.png: is empty (0 bytes)."),
]


@pytest.fixture(autouse=True)
def _no_terminal_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove variables of the shell that change the output."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def test_rows_in_a_file_are_plain_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    console(stderr=True).print(summary(OUTCOMES))
    header, *rows = [line.rstrip() for line in capsys.readouterr().err.splitlines()]
    assert header.split() == ["file", "size", "faces", "seams", "fit", "identity", "seconds"]
    assert [" ".join(row.split()) for row in rows] == [
        f"{PHOTO} 600x400 -> 1200x800 2 1.012, at most 1.057 61.2 dB 3.0 1 head(s) left",
        "same.png 8x8 -> 8x8 0 exact 0.5",
        "old.png done already",
        "bad.png 0.0 failed",
    ]


def test_visible_seams_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    console(stderr=True).print(summary([Upscaling(Path("a.png"), seams=SeamGauge(1.06, 1.2)), OUTCOMES[0]]))
    first, second = capsys.readouterr().err.splitlines()[1:]
    assert "1.060, at most 1.200 !" in first
    assert "!" not in second


def test_a_face_that_became_another_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    both = [Upscaling(Path("a.png"), identity=0.45), Upscaling(Path("b.png"), identity=0.2)]
    console(stderr=True).print(summary(both))
    first, second = capsys.readouterr().err.splitlines()[1:]
    assert "0.45 !" in first
    assert "0.20" in second
    assert "!" not in second


def test_the_table_of_photos_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    report_all(OUTCOMES[:2])
    assert "seams: how far" in capsys.readouterr().err


def test_long_names_are_never_cut_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    name = "/".join(["folder"] * 40) + "/photo.jpg"
    console(stderr=True).print(summary([Outcome(Path(name), note=f"{'reason ' * 40}end.")]))
    row = capsys.readouterr().err.splitlines()[1]
    assert name in row
    assert row.rstrip().endswith("reason end.")


def test_errors_are_listed_below_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        report_all(OUTCOMES)
    error, total = capsys.readouterr().err.splitlines()[-2:]
    assert (error, total) == ("bad.png: is empty (0 bytes).", "2 upscaled, 1 done already, 1 failed.")


def test_totals_leave_out_what_did_not_happen() -> None:
    assert totals(OUTCOMES) == "2 upscaled, 1 done already, 1 failed."
    assert totals(OUTCOMES[:2]) == "2 upscaled."


@pytest.mark.parametrize("terminal", [True, False])
def test_the_time_left_is_for_terminals(terminal: bool) -> None:
    terminal_or_file = Console(file=io.StringIO(), force_terminal=terminal, width=100, _environ={"TERM": "xterm"})
    with time_left(terminal_or_file) as progress:
        assert list(progress.track([1, 2, 3], description="pictures")) == [1, 2, 3]
    assert isinstance(terminal_or_file.file, io.StringIO)
    shown = terminal_or_file.file.getvalue()
    assert ("3/3" in shown and "left" in shown) if terminal else shown == ""


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (20, ""),
        (60, "a.mp4: about 50 seconds for 54 more frames, 1 s a frame.\n"),
        (600, "a.mp4: about 10 minutes for 594 more frames, 1 s a frame.\n"),
        (9006, "a.mp4: about 2.5 hours for 9000 more frames, 1 s a frame.\n"),
        (None, "a.mp4: 1 s a frame.\n"),
    ],
)
def test_a_long_film_prints_one_forecast(
    count: int | None, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr("facegen.cli.summary.time.monotonic", lambda: float(next(clock)))
    forecast = Forecast("a.mp4")
    for done in range(1, 15):
        forecast(done, count)
    assert capsys.readouterr().err == words
    assert forecast.done == 14
