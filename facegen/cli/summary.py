"""Report a run over many files: the time left, a line for each file, and a table at the end."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from facegen.cli.printing import cells, console, print_path, say, say_error
from facegen.faces.identity import CHANGED
from facegen.jobs import Outcome
from facegen.results import Upscaling

FORECAST_FRAMES, FORECAST_SECONDS = 5, 3.0
"""Frames and seconds that `Forecast` measures."""
LONG = 30.0
"""Remaining seconds from which a forecast is printed."""
COLUMNS = ("file", "size", "faces", "seams", "fit", "identity", "seconds", "")
GOOD_SEAMS = 1.05
"""Mean seam gauge up to which seams are invisible."""
LEGEND = (
    f"seams: how far the borders of tiles stand out; 1 is not at all, a mean over {GOOD_SEAMS} (marked !) may show.",
    "fit: how well the result, shrunk again, matches its photo; over 45 dB the difference is invisible.",
    f"identity: distance of a face to its original for a recogniser; over {CHANGED} (marked !) perhaps another person.",
)


class _Description(ProgressColumn):
    """Shows what a progress line counts, with file names escaped."""

    def render(self, task: Task) -> Text:
        return cells(task.description)[0]


def time_left(shown_on: Console | None = None) -> Progress:
    """Return a progress display for a terminal, by default standard error; elsewhere it shows nothing."""
    shown_on = shown_on or console(stderr=True)
    return Progress(
        _Description(), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("left"),
        console=shown_on, transient=True, disable=not shown_on.is_interactive, redirect_stdout=sys.stdout.isatty(),
    )  # fmt: skip


class Forecast:
    """Prints once, after the first frames of a film, how long the others will take, if that is long."""

    def __init__(self, name: str) -> None:
        self._name, self._printed = name, False
        self._began: tuple[float, int] | None = None
        self.done = 0
        """Frames done."""

    def __call__(self, done: int, of: int | None) -> None:
        """Note the number of frames done, of all if known; call it before the first frame too."""
        now, self.done = time.monotonic(), done
        began, first = self._began = self._began or (now, done)
        if self._printed or done - first < FORECAST_FRAMES or now - began < FORECAST_SECONDS:
            return
        self._printed, each = True, (now - began) / (done - first)
        left = LONG if of is None else each * (of - done)
        if left >= LONG:
            total = "" if of is None else f"about {_rounded(left)} for {of - done} more frames, "
            say(f"{self._name}: {total}{each:.2g} s a frame.")


def _rounded(seconds: float) -> str:
    """Put a duration in words: 40 seconds, 5 minutes, 2.5 hours."""
    if seconds < 90:
        return f"{round(seconds, -1):.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 90 * 60 else f"{seconds / 3600:.1f} hours"


def report(outcome: Outcome, alone: bool) -> None:
    """Print the results of a file, or its error; for a single file also the remark that the table would contain."""
    for path in outcome.written:
        print_path(path)
    if outcome.error:
        say_error(outcome.error, outcome.trace)
    elif alone and (outcome.note or outcome.done_already):
        say(f"{outcome.source}: {outcome.note or 'done already'}.")


def report_all(outcomes: Sequence[Outcome]) -> None:
    """Print the table, the errors again, and the totals of several files; exit with status 1 if any failed."""
    if len(outcomes) > 1:
        console(stderr=True).print(summary(outcomes))
        if any(isinstance(outcome, Upscaling) and outcome.fit is not None for outcome in outcomes):
            say(*LEGEND)
        say(*(line for outcome in outcomes for line in outcome.error.splitlines()), totals(outcomes))
    if any(outcome.error for outcome in outcomes):
        sys.exit(1)


def summary(outcomes: Iterable[Outcome]) -> Table:
    """Make a table with one row for each file."""
    table = Table(box=None, pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="right" if name in ("faces", "fit", "identity", "seconds") else "left")
    for outcome in outcomes:
        table.add_row(*cells(*_row(outcome)))
    return table


def _row(outcome: Outcome) -> tuple[str, ...]:
    """Make a cell for each of `COLUMNS`; unknown values stay blank."""
    known = outcome if isinstance(outcome, Upscaling) else Upscaling(outcome.source)
    seams, fit = known.seams, known.fit
    sizes = [f"{width}x{height}" for width, height in filter(None, (known.before, known.after))]
    return (
        str(outcome.source),
        " -> ".join(sizes),
        "" if known.faces is None else str(known.faces),
        "" if seams is None else f"{seams.mean:.3f}, at most {seams.max:.3f}{' !' if seams.mean > GOOD_SEAMS else ''}",
        "" if fit is None else "exact" if math.isinf(fit) else f"{fit:.1f} dB",
        "" if known.identity is None else f"{known.identity:.2f}{' !' if known.identity > CHANGED else ''}",
        "" if outcome.done_already else f"{outcome.seconds:.1f}",
        "failed" if outcome.error else "done already" if outcome.done_already else outcome.note,
    )


def totals(outcomes: Iterable[Outcome]) -> str:
    """Count the files that were upscaled, were done already, and failed."""
    counts = {"upscaled": 0, "done already": 0, "failed": 0}
    for outcome in outcomes:
        counts["failed" if outcome.error else "done already" if outcome.done_already else "upscaled"] += 1
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) + "."
