"""Print what a person reads. Names, records and errors in it cannot command the terminal, or pretend to be lines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facegen.errors import printable

if TYPE_CHECKING:
    from rich.text import Text


def say(*lines: object, err: bool = True) -> None:
    """Print lines to standard error, or to standard output; what `printable` escapes is escaped in each."""
    click.echo("\n".join(map(printable, lines)), err=err)


def say_error(error: object, trace: str = "") -> None:
    """Print an error, after its trace if there is one; both may have several lines."""
    say(*trace.splitlines(), *f"Error: {error}".splitlines())


def print_path(path: Path) -> None:
    """Print a path to standard output: on a terminal as it can be shown, elsewhere, for the next program, as it is."""
    click.echo(printable(path) if sys.stdout.isatty() else path)


def cells(*values: object) -> list[Text]:
    """Make the cells of a table's row, in which nothing is markup."""
    from rich.text import Text

    return [Text(printable(value)) for value in values]
