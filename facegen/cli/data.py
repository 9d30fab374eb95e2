"""`facegen data`: prepare, clean, curate, stats."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facegen.cli.options import Size, make_folder
from facegen.cli.printing import cells, print_path, say, say_error
from facegen.errors import MissingExtraError

if TYPE_CHECKING:
    from facegen.data.clean.judge import Detector
    from facegen.data.manifest import Entry
    from facegen.data.prepare import Preparation
    from facegen.jobs import Outcome

_SET = click.argument("folder", metavar="SET", type=click.Path(path_type=Path, exists=True, file_okay=False))


def _cores() -> int:
    """Cores that this process may use; on macOS and Windows, all there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@click.group
def data() -> None:
    """Make a training set from photos, clean it, look through it, describe it."""


@data.command(short_help="Cut every face out of a folder of photos.")
@click.argument("raw", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the set; made, or added to.")
@click.option(
    "--size", type=Size(), default=768, help="Side of the crops; smaller heads are omitted."
)
@click.option(
    "--format", "file_format", type=click.Choice(["png", "webp"]), default="png",
    help="Format of the crops: png loses nothing, webp (quality 95) takes a fifth of the space.",
)  # fmt: skip
@click.option(
    "--jobs", type=click.IntRange(min=1), default=lambda: _cores(),
    show_default="one for each core", help="Photos cut at a time.",
)  # fmt: skip
def prepare(raw: Path, out: Path, size: int, file_format: str, jobs: int) -> None:
    """Cut every face out of the photos below RAW, upright, into a set that facegen train reads.

    Only new and changed photos are cut; after Ctrl-C or a crash, the same command continues. Photos removed from RAW
    keep their crops.
    """
    from facegen.data.cutting import PhotoCutter
    from facegen.data.prepare import Preparation
    from facegen.files import sole_writer

    make_folder(out)
    with sole_writer(out):
        preparation = Preparation(PhotoCutter(raw, out, size, ".webp" if file_format == "webp" else ".png"))
        try:
            with _steps("looked at", len(preparation.tasks)) as seen:
                todo = preparation.find_changes(seen)
            outcomes = _follow("photos", len(todo), preparation.cut(todo, jobs))
        except KeyboardInterrupt:
            say("", "Stopped; finished work is saved. To continue, run the same command again.")
            sys.exit(130)
        _print_totals(preparation, outcomes)


@data.command(short_help="Measure every crop, and mark what to drop.")
@_SET
@click.option(
    "--threshold", "settings", multiple=True, metavar="NAME=NUMBER", help="Set a detector's threshold: blurred=1.3."
)
@click.option(
    "--per-person", type=click.IntRange(min=1),
    help="Keep at most so many crops of one person; takes longer the first time.  [default: all]",
)  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=1), default=1, help="Processes that measure.")
def clean(folder: Path, settings: tuple[str, ...], per_person: int | None, jobs: int) -> None:
    """Measure every crop of SET and mark in its manifest what to drop, and why.

    SET is a folder made by `facegen data prepare`, or any folder of aligned square crops. Nothing is deleted. Crops are
    measured once: the next run, with other thresholds, only decides again. See clean.html in SET.
    """
    _need("clean", "imagehash", "matplotlib")
    from facegen.data.clean.judge import with_thresholds
    from facegen.files import sole_writer

    detectors = with_thresholds(settings)
    with sole_writer(folder):
        failed = _clean(folder, detectors, per_person, jobs)
    if failed:
        sys.exit(1)


@data.command(short_help="Look through the crops on a web page, and decide.")
@click.argument("folder", metavar="SET", type=click.Path(path_type=Path))
@click.option("--rater", default=None, metavar="NAME", help="Who labels.  [default: the page asks]")
@click.option("--host", default="127.0.0.1", help="Address to listen on; another needs --token.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8642, help="Port; 0 takes a free one."
)
@click.option(
    "--token", default=None, envvar="FACEGEN_TOKEN", show_envvar=True, help="Word without which nobody is let in."
)
@click.option("--export", "only_export", is_flag=True, help="Write the labels into the manifest, and open no page.")
def curate(folder: Path, rater: str | None, host: str, port: int, token: str | None, only_export: bool) -> None:
    """Look through the faces of SET on a web page for a phone, a tablet or a keyboard, and keep or drop each.

    SET is a folder made by `facegen data prepare`, or any folder of face crops. Labels are kept in SET/labels, one file
    for each rater, and are on the disk after every swipe. --export, or a button on the page, writes the majority's
    labels into SET/manifest.csv.
    """
    if only_export:
        from facegen.data.curate.labels import export

        done = export(folder)
        counts = f"{done.keep} keep, {done.drop} drop, {done.ties} ties, {done.unlabelled} unlabelled"
        say(f"{folder / done.manifest}: {counts}", err=False)
        return
    _need("curate", "fastapi", "uvicorn")
    from facegen.data.curate.curation import opened_set
    from facegen.data.curate.labels import log_path
    from facegen.data.curate.server import create_app
    from facegen.web import access_for, address_of, listen, serve

    access = access_for(host, token, "facegen data curate")
    if rater is not None:
        log_path(folder, rater)  # refuses a wrong name now rather than at the first swipe
    with listen(host, port) as listener, opened_set(folder) as curation:
        say(f"Open {address_of(listener, host, token)}", err=False)
        say("Ctrl-C ends it; every label is on the disk already.")
        with suppress(KeyboardInterrupt):
            serve(create_app(curation, access, rater), listener)
    for name, progress in curation.summary().raters.items():
        say(f"{name}: {progress.keep} keep, {progress.drop} drop of {progress.total}", err=False)


@data.command(short_help="Show what a set is made of.")
@_SET
@click.option("--out", type=click.Path(path_type=Path), help="The page to write.  [default: SET/stats.html]")
@click.option(
    "--pictures", type=click.IntRange(min=1), default=500,
    help="Crops whose pixels are read at most, evenly spread; the manifest describes the others.",
)  # fmt: skip
def stats(folder: Path, out: Path | None, pictures: int) -> None:
    """Show what SET, or any folder of aligned crops, is made of: counts, histograms, a mean face, a contact sheet."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from facegen.data.stats import SUMMARY_HEAD, measure_set, summary_rows, write_page

    _need("stats", "matplotlib")
    out = out or folder / "stats.html"
    make_folder(out.parent)
    unread: list[str] = []

    def warn(reason: str) -> None:
        unread.append(reason)
        say_error(reason)

    with _steps("crops", pictures) as seen:
        found = measure_set(folder, pictures, seen, warn)
    console = Console()
    console.width = max(console.width, 100)
    rows = [(name, str(count)) for name, count in found.counts.items()]
    for head, lines in ((("what", "count"), rows), (SUMMARY_HEAD, summary_rows(found))):
        table = Table(*head, box=SIMPLE)
        for row in lines:
            table.add_row(*cells(*row))
        console.print(table)
    print_path(write_page(out, found, folder.resolve()))
    if unread:
        sys.exit(1)


def _need(command: str, *modules: str) -> None:
    """Check that packages of the extra "data" are installed."""
    if not all(map(find_spec, modules)):
        raise MissingExtraError(f"facegen data {command} needs more packages; pip install 'facegen[data]'")


@contextmanager
def _steps(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show the time left; the body calls the function it is given after each step."""
    from facegen.cli.summary import error_console, time_left

    with time_left(error_console()) as progress:
        line = progress.add_task(what, total=total)
        yield lambda: progress.advance(line)


def _follow(what: str, total: int, coming: Generator[Outcome, None, None]) -> list[Outcome]:
    """Collect outcomes, reporting each failure at once."""
    outcomes: list[Outcome] = []
    with _steps(what, total) as seen, closing(coming):
        for outcome in coming:
            outcomes.append(outcome)
            if outcome.error:
                say_error(outcome.error, outcome.trace)
            seen()
    return outcomes


def _print_totals(preparation: Preparation, outcomes: Sequence[Outcome]) -> None:
    """Print the set's totals; exit 1 if a photo failed."""
    from rich.table import Table

    from facegen.cli.summary import error_console
    from facegen.data.manifest import MANIFEST
    from facegen.data.prepare import LEFT_OUT

    failed = sum(bool(outcome.error) for outcome in outcomes)
    totals = preparation.totals(failed)
    table = Table(*totals, box=None, pad_edge=False, title=f"{len(outcomes) - failed} photos cut in this run")
    table.add_row(*map(str, totals.values()))
    error_console().print(table)
    if totals["faces"] > totals["written"]:
        say(f"The omitted faces are listed in {preparation.out / LEFT_OUT}.")
    print_path(preparation.out / MANIFEST)
    if failed:
        sys.exit(1)


def _clean(folder: Path, detectors: dict[str, Detector], per_person: int | None, jobs: int) -> set[Path]:
    """Measure, decide and report; returns the files that failed."""
    from facegen.data.clean.cleaning import Cleaning
    from facegen.data.clean.report import write_page

    cleaning = Cleaning(folder)
    with _steps("looking", len(cleaning.entries)) as seen:
        todo = cleaning.unmeasured(seen)
    outcomes = _follow("measuring", len(todo), cleaning.measure(todo, jobs))
    pairs = cleaning.near_pairs()
    faces = cleaning.unembedded(pairs, everybody=per_person is not None)
    outcomes += _follow("comparing", len(faces), cleaning.embed(faces, jobs))
    failed = {outcome.source for outcome in outcomes if outcome.error}
    entries = cleaning.decide(pairs, detectors, per_person)
    _print_decisions(entries, detectors, len(failed))
    print_path(write_page(folder, entries, detectors))
    return failed


def _print_decisions(entries: list[Entry], detectors: dict[str, Detector], failed: int) -> None:
    """Print a row for each reason: crops, crops with no other reason, threshold; and the totals."""
    from rich.console import Console
    from rich.table import Column, Table

    from facegen.data.clean.report import counts

    numbers = (Column(name, justify="right") for name in ("crops", "it alone"))
    table = Table("reason", *numbers, "dropped", box=None, pad_edge=False)
    for reason, count, alone in counts(entries):
        limit = f"{detectors[reason].worse} {detectors[reason].threshold:g}" if reason in detectors else "--per-person"
        table.add_row(*cells(reason, count, alone, limit))
    Console().print(table, highlight=False)
    dropped = sum(entry.decision == "drop" for entry in entries)
    totals = {"measured": len(entries), "to keep": len(entries) - dropped, "to drop": dropped, "failed": failed}
    say(", ".join(f"{count} {name}" for name, count in totals.items() if count or name != "failed") + ".", err=False)
