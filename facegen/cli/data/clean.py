"""`facegen data clean`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from facegen.data.clean.detectors import Detector
    from facegen.data.manifest import Entry
    from facegen.jobs import Outcome


@click.command()
@click.argument("folder", metavar="SET", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--threshold", "settings", multiple=True, metavar="NAME=NUMBER", help="Set a detector's threshold: blurred=1.3."
)
@click.option(
    "--per-person",
    type=click.IntRange(min=1),
    help="Keep at most so many crops of one person; takes longer the first time.  [default: all]",
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that measure.")
def clean(folder: Path, settings: tuple[str, ...], per_person: int | None, jobs: int) -> None:
    """Measure every crop of SET and mark in its manifest what to drop, and why.

    SET is a folder made by `facegen data prepare`, or any folder of aligned square crops. Nothing is deleted. Crops are
    measured once: the next run, with other thresholds, only decides anew. See clean.html in SET.
    """
    from facegen.data.clean.detectors import with_thresholds
    from facegen.files import sole_writer

    detectors = with_thresholds(settings)
    with sole_writer(folder):
        failed = _clean(folder, detectors, per_person, jobs)
    if failed:
        sys.exit(1)


def _clean(folder: Path, detectors: dict[str, Detector], per_person: int | None, jobs: int) -> set[Path]:
    """Measure, judge and report; returns what failed."""
    from facegen.cli.summary import error_console, time_left
    from facegen.data.clean.cleaning import Cleaning
    from facegen.data.clean.report import write_report

    console = error_console()
    cleaning = Cleaning(folder)
    with time_left(console) as progress:
        task = progress.add_task("looking", total=len(cleaning.entries))
        todo = cleaning.unmeasured(lambda: progress.advance(task))
    failed = _follow(console, "measuring", len(todo), cleaning.measure(todo, jobs))
    pairs = cleaning.near_pairs()
    faces = cleaning.unembedded(pairs, everybody=per_person is not None)
    failed |= _follow(console, "comparing", len(faces), cleaning.embed(faces, jobs))
    entries = cleaning.judge(pairs, detectors, per_person)
    _print_summary(entries, detectors, len(failed))
    click.echo(write_report(folder, entries, detectors))
    return failed


def _follow(console: Console, what: str, total: int, outcomes: Iterable[Outcome]) -> set[Path]:
    """Show the time left while outcomes come, and each failure; returns what failed."""
    from facegen.cli.summary import time_left

    failed = set()
    with time_left(console) as progress:
        task = progress.add_task(what, total=total)
        for outcome in outcomes:
            if outcome.error:
                click.echo(f"Error: {outcome.error}", err=True)
                failed.add(outcome.source)
            progress.advance(task)
    return failed


def _print_summary(entries: list[Entry], detectors: dict[str, Detector], failed: int) -> None:
    from rich.console import Console

    dropped = sum(entry.decision == "drop" for entry in entries)
    Console().print(_table(entries, detectors), highlight=False)
    totals = {"measured": len(entries), "to keep": len(entries) - dropped, "to drop": dropped, "failed": failed}
    click.echo(", ".join(f"{count} {name}" for name, count in totals.items() if count or name != "failed") + ".")


def _table(entries: list[Entry], detectors: dict[str, Detector]) -> Table:
    """Each reason found: how often, how often alone, the threshold."""
    from rich.table import Table

    from facegen.data.clean.report import counts

    table = Table(box=None, pad_edge=False)
    for name in ("reason", "crops", "it alone", "dropped"):
        table.add_column(name, justify="right" if name in ("crops", "it alone") else "left")
    for reason, count, alone in counts(entries):
        limit = f"{detectors[reason].worse} {detectors[reason].threshold:g}" if reason in detectors else "--per-person"
        table.add_row(reason, str(count), str(alone), limit)
    return table
