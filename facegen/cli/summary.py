"""What a run over many pictures shows: the time left while it works, and a table of what became of each."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from facegen.jobs import Outcome

WIDE = 10_000
"""Columns of what is no terminal, so that no line is broken or cut there."""
COLUMNS = ("file", "size", "faces", "seams", "fit", "seconds", "")


def error_console() -> Console:
    """Standard error, as rich writes to it."""
    console = Console(stderr=True)
    return console if console.is_terminal else Console(stderr=True, width=WIDE)


def time_left(console: Console) -> Progress:
    """A line that is redrawn on a terminal, and nothing at all elsewhere."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("left"),
        console=console, transient=True, disable=not console.is_interactive, redirect_stdout=sys.stdout.isatty(),
    )  # fmt: skip


def summary(outcomes: Iterable[Outcome]) -> Table:
    """One row for each picture."""
    table = Table(box=None, pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="right" if name in ("faces", "fit", "seconds") else "left")
    for outcome in outcomes:
        table.add_row(*map(Text, _row(outcome)))
    return table


def _row(outcome: Outcome) -> tuple[str, ...]:
    """A cell for each of `COLUMNS`; what is not known is left blank."""
    seams, fit = outcome.seams, outcome.fit
    sizes = [f"{width}x{height}" for width, height in filter(None, (outcome.before, outcome.after))]
    return (
        str(outcome.source),
        " -> ".join(sizes),
        "" if outcome.faces is None else str(outcome.faces),
        "" if seams is None else f"{seams.mean:.3f}, at most {seams.max:.3f}",
        "" if fit is None else "exact" if math.isinf(fit) else f"{fit:.1f} dB",
        "" if outcome.done_already else f"{outcome.seconds:.1f}",
        _remark(outcome),
    )


def _remark(outcome: Outcome) -> str:
    if outcome.error:
        return outcome.error.removeprefix(f"{outcome.source}: ")
    return "done already" if outcome.done_already else outcome.note


def totals(outcomes: Iterable[Outcome]) -> str:
    """How many pictures were upscaled, were there already, and failed."""
    counts = {"upscaled": 0, "done already": 0, "failed": 0}
    for outcome in outcomes:
        counts["failed" if outcome.error else "done already" if outcome.done_already else "upscaled"] += 1
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) + "."
