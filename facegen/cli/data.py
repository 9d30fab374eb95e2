"""`facegen data`: prepare, clean, curate, stats."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facegen.cli.options import FOLDER, PATH, Size, make_folder, need_packages, server_options
from facegen.cli.printing import cells, console, print_path, say, say_error

if TYPE_CHECKING:
    from facegen.data.clean.judge import Detector
    from facegen.data.manifest import Entry
    from facegen.data.prepare import Preparation
    from facegen.jobs import Outcome

_SET = click.argument("folder", metavar="SET", type=FOLDER)


def _cores() -> int:
    """Count the cores that this process may use; on macOS and Windows, all of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@click.group
def data() -> None:
    """Make a training set from photos: prepare, clean, curate, stats."""


@data.command(short_help="Cut every face out of a folder of photos.")
@click.argument("raw", type=FOLDER)
@click.option("--out", type=PATH, required=True, help="Folder of the set; made, or added to.")
@click.option("--size", type=Size(), default=768, help="Side of the crops in pixels; smaller heads are omitted.")
@click.option(
    "--format", "file_format", type=click.Choice(["png", "webp"]), default="png",
    help="Format of the crops: png is lossless, webp (quality 95) takes a fifth of the space.",
)  # fmt: skip
@click.option(
    "--jobs", type=click.IntRange(min=1), default=_cores, show_default="one for each core",
    help="Photos cut at a time.",
)  # fmt: skip
def prepare(raw: Path, out: Path, size: int, file_format: str, jobs: int) -> None:
    """Cut every face out of the photos below RAW, upright, into a set that facegen train reads.

    Only new and changed photos are cut. After Ctrl-C or a crash, run the same command again to continue. The crops of
    photos removed from RAW stay in the set.
    """
    from facegen.data.cutting import PhotoCutter
    from facegen.data.prepare import Preparation
    from facegen.files import sole_writer

    make_folder(out)
    with sole_writer(out):
        preparation = Preparation(PhotoCutter(raw, out, size, ".webp" if file_format == "webp" else ".png"))
        try:
            with _steps("photos checked", len(preparation.tasks)) as step:
                todo = preparation.find_changes(step)
            outcomes = _follow("photos cut", len(todo), preparation.cut(todo, jobs))
        except KeyboardInterrupt:
            say("", "Stopped; finished work is saved. To continue, run the same command again.")
            sys.exit(130)
        _print_totals(preparation, outcomes)


@data.command(short_help="Measure every crop, and mark what to drop.")
@_SET
@click.option(
    "--threshold", "settings", multiple=True, metavar="NAME=NUMBER",
    help="Set the threshold of a detector: blurred=1.3.",
)  # fmt: skip
@click.option(
    "--per-person", type=click.IntRange(min=1),
    help="Most crops of one person to keep; takes longer the first time.  [default: all]",
)  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=1), default=1, help="Processes that measure.")
def clean(folder: Path, settings: tuple[str, ...], per_person: int | None, jobs: int) -> None:
    """Measure every crop of SET and mark in its manifest what to drop, and why.

    SET is a folder made by `facegen data prepare`, or any folder of aligned square crops. Nothing is deleted. Crops are
    measured once; later runs with other thresholds only decide again. The results are shown in SET/clean.html.
    """
    need_packages("data", "imagehash", "matplotlib")
    from facegen.data.clean.judge import with_thresholds
    from facegen.files import sole_writer

    detectors = with_thresholds(settings)
    with sole_writer(folder):
        failed = _clean(folder, detectors, per_person, jobs)
    if failed:
        sys.exit(1)


@data.command(short_help="Look through the crops on a web page, and decide.")
@click.argument("folder", metavar="SET", type=PATH)
@click.option("--rater", metavar="NAME", help="Name of the person who labels.  [default: the page asks]")
@server_options(port=8642)
@click.option("--export", "only_export", is_flag=True, help="Only write the labels into the manifest; open no page.")
def curate(folder: Path, rater: str | None, host: str, port: int, token: str | None, only_export: bool) -> None:
    """Look through the faces of SET on a web page for a phone, a tablet or a keyboard, and keep or drop each.

    SET is a folder made by `facegen data prepare`, or any folder of face crops. Every label is saved at once in
    SET/labels, in one file for each rater. --export, or a button on the page, writes the label that most raters gave
    into SET/manifest.csv.
    """
    if only_export:
        from facegen.data.curate.labels import export

        done = export(folder)
        counts = f"{done.keep} keep, {done.drop} drop, {done.ties} ties, {done.unlabelled} unlabelled"
        say(f"{folder / done.manifest}: {counts}", err=False)
        return
    need_packages("data", "fastapi", "uvicorn")
    from facegen.data.curate.curation import opened_set
    from facegen.data.curate.labels import log_path
    from facegen.data.curate.server import create_app
    from facegen.web import access_for, address_of, listen, serve

    access = access_for(host, token, "facegen data curate")
    if rater is not None:
        log_path(folder, rater)  # refuse an invalid name now rather than at the first label
    with listen(host, port) as listener, opened_set(folder) as curation:
        say(f"Open {address_of(listener, host, token)}", err=False)
        say("Press Ctrl-C to end; every label is saved already.")
        with suppress(KeyboardInterrupt):
            serve(create_app(curation, access, rater), listener)
    for name, progress in curation.summary().raters.items():
        say(f"{name}: {progress.keep} keep, {progress.drop} drop of {progress.total}", err=False)


@data.command(short_help="Describe a set.")
@_SET
@click.option("--out", type=PATH, help="The page to write.  [default: SET/stats.html]")
@click.option(
    "--pictures", type=click.IntRange(min=1), default=500,
    help="Most crops to read, evenly spread; the others are described by the manifest alone.",
)  # fmt: skip
def stats(folder: Path, out: Path | None, pictures: int) -> None:
    """Describe SET, or any folder of aligned crops: counts, histograms, a mean face, a contact sheet."""
    from rich.box import SIMPLE
    from rich.table import Table

    from facegen.data.stats import SUMMARY_HEAD, measure_set, summary_rows, write_page

    need_packages("data", "matplotlib")
    out = out or folder / "stats.html"
    make_folder(out.parent)
    unread: list[str] = []

    def warn(reason: str) -> None:
        unread.append(reason)
        say_error(reason)

    with _steps("crops", pictures) as step:
        found = measure_set(folder, pictures, step, warn)
    wide = console()
    wide.width = max(wide.width, 100)
    rows = [(name, str(count)) for name, count in found.counts.items()]
    for head, lines in ((("what", "count"), rows), (SUMMARY_HEAD, summary_rows(found))):
        table = Table(*head, box=SIMPLE)
        for row in lines:
            table.add_row(*cells(*row))
        wide.print(table)
    print_path(write_page(out, found, folder.resolve()))
    if unread:
        sys.exit(1)


@contextmanager
def _steps(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show the time left; give the body a function to call after each step."""
    from facegen.cli.summary import time_left

    with time_left() as progress:
        line = progress.add_task(what, total=total)
        yield lambda: progress.advance(line)


def _follow(what: str, total: int, coming: Generator[Outcome, None, None]) -> list[Outcome]:
    """Collect the outcomes; report each failure at once."""
    outcomes: list[Outcome] = []
    with _steps(what, total) as step, closing(coming):
        for outcome in coming:
            outcomes.append(outcome)
            if outcome.error:
                say_error(outcome.error, outcome.trace)
            step()
    return outcomes


def _print_totals(preparation: Preparation, outcomes: Sequence[Outcome]) -> None:
    """Print the set's totals; exit 1 if a photo failed."""
    from rich.table import Table

    from facegen.data.manifest import MANIFEST
    from facegen.data.prepare import LEFT_OUT

    failed = sum(bool(outcome.error) for outcome in outcomes)
    totals = preparation.totals(failed)
    table = Table(*totals, box=None, pad_edge=False, title=f"{len(outcomes) - failed} photos cut in this run")
    table.add_row(*map(str, totals.values()))
    console(stderr=True).print(table)
    if totals["faces"] > totals["written"]:
        say(f"The omitted faces are listed in {preparation.out / LEFT_OUT}.")
    if "too small" in totals and not totals["written"]:
        say("No head is as large as the crops; give a smaller --size, and another --out.")
    print_path(preparation.out / MANIFEST)
    if failed:
        sys.exit(1)


def _clean(folder: Path, detectors: dict[str, Detector], per_person: int | None, jobs: int) -> set[Path]:
    """Measure, decide and report; return the files that failed."""
    from facegen.data.clean.cleaning import Cleaning
    from facegen.data.clean.report import write_page

    cleaning = Cleaning(folder)
    with _steps("crops checked", len(cleaning.entries)) as step:
        todo = cleaning.unmeasured(step)
    outcomes = _follow("crops measured", len(todo), cleaning.measure(todo, jobs))
    pairs = cleaning.near_pairs()
    faces = cleaning.unembedded(pairs, everybody=per_person is not None)
    outcomes += _follow("faces compared", len(faces), cleaning.embed(faces, jobs))
    failed = {outcome.source for outcome in outcomes if outcome.error}
    entries = cleaning.decide(pairs, detectors, per_person)
    _print_decisions(entries, detectors, len(failed))
    print_path(write_page(folder, entries, detectors))
    return failed


def _print_decisions(entries: list[Entry], detectors: dict[str, Detector], failed: int) -> None:
    """Print a row for each reason: its crops, those with no other reason, its threshold; then the totals."""
    from rich.table import Column, Table

    from facegen.data.clean.report import counts

    numbers = (Column(name, justify="right") for name in ("crops", "only reason"))
    table = Table("reason", *numbers, "dropped", box=None, pad_edge=False)
    for reason, count, alone in counts(entries):
        limit = f"{detectors[reason].worse} {detectors[reason].threshold:g}" if reason in detectors else "--per-person"
        table.add_row(*cells(reason, count, alone, limit))
    console().print(table, highlight=False)
    dropped = sum(entry.decision == "drop" for entry in entries)
    totals = {"measured": len(entries), "to keep": len(entries) - dropped, "to drop": dropped, "failed": failed}
    say(", ".join(f"{count} {name}" for name, count in totals.items() if count or name != "failed") + ".", err=False)
