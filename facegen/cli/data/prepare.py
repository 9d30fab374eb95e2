"""`facegen data prepare`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facegen.cli.options import Size, make_folder

if TYPE_CHECKING:
    from facegen.data.prepare import Preparation
    from facegen.jobs import Outcome, Task


@click.command()
@click.argument("raw", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the set; made, or added to.")
@click.option(
    "--size", type=Size(), default=768, show_default=True, help="Side of the crops; smaller heads are left out."
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["png", "webp"]),
    default="png",
    show_default=True,
    help="Of the crops: png loses nothing, webp (quality 95) takes a fifth of the room.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=lambda: len(os.sched_getaffinity(0)),
    show_default="one for each core",
    help="Photos cut at a time.",
)
def prepare(raw: Path, out: Path, size: int, file_format: str, jobs: int) -> None:
    """Cut every face out of the photos below RAW, upright, into a set that facegen train reads.

    Only photos that are new or changed are done; after Ctrl-C or a crash, the same command goes on. Photos taken away
    from RAW keep their crops.
    """
    from facegen.data.cutting import PhotoCutter
    from facegen.data.prepare import Preparation
    from facegen.files import sole_writer

    make_folder(out)
    with sole_writer(out):
        preparation = Preparation(PhotoCutter(raw, out, size, f".{file_format}"))
        try:
            todo = _look(preparation)
            outcomes = _cut(preparation, todo, jobs)
        except KeyboardInterrupt:
            click.echo("\nStopped; what was done is saved. To go on, run the same command again.", err=True)
            sys.exit(130)
        _report(preparation, outcomes)


def _look(preparation: Preparation) -> list[Task]:
    """What is to be done, with the time left on a terminal while the photos are looked at."""
    from facegen.cli.summary import error_console, time_left

    with time_left(error_console()) as progress:
        line = progress.add_task("looked at", total=len(preparation.tasks))
        return preparation.look(lambda: progress.advance(line))


def _cut(preparation: Preparation, todo: Sequence[Task], jobs: int) -> list[Outcome]:
    """Cut them, telling at once of each that fails."""
    from facegen.cli.summary import error_console, time_left

    outcomes: list[Outcome] = []
    with time_left(error_console()) as progress, closing(preparation.cut(todo, jobs)) as coming:
        for outcome in progress.track(coming, len(todo), description="photos"):
            outcomes.append(outcome)
            if outcome.error:
                click.echo(f"{outcome.trace}Error: {outcome.error}", err=True)
    return outcomes


def _report(preparation: Preparation, outcomes: Sequence[Outcome]) -> None:
    """What the set is made of now; exit 1 if a photo failed."""
    from rich.table import Table

    from facegen.cli.summary import error_console
    from facegen.data.ledger import LEFT_OUT
    from facegen.data.manifest import MANIFEST

    failed = sum(bool(outcome.error) for outcome in outcomes)
    totals = preparation.totals(failed)
    table = Table(*totals, box=None, pad_edge=False, title=f"{len(outcomes) - failed} photos cut in this run")
    table.add_row(*map(str, totals.values()))
    error_console().print(table)
    if totals["faces"] > totals["written"]:
        click.echo(f"The faces left out are listed in {preparation.out / LEFT_OUT}.", err=True)
    click.echo(preparation.out / MANIFEST)
    if failed:
        sys.exit(1)
