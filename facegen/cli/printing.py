"""Print text for people. File names, records and errors in it cannot control the terminal or forge lines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facegen.errors import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

WIDE = 10_000
"""Width without a terminal, in characters: no line is wrapped or cut."""


def say(*lines: object, err: bool = True) -> None:
    """Print lines, escaped by `printable`, to standard error or to standard output."""
    click.echo("\n".join(map(printable, lines)), err=err)


def say_error(error: object, trace: str = "") -> None:
    """Print an error, after its traceback if there is one; both may have several lines."""
    say(*trace.splitlines(), *f"Error: {error}".splitlines())


def print_path(path: Path) -> None:
    """Print a path to standard output: escaped on a terminal, unchanged for another program."""
    click.echo(printable(path) if sys.stdout.isatty() else path)


def console(*, stderr: bool = False) -> Console:
    """Return rich's console for standard output or standard error."""
    from rich.console import Console

    made = Console(stderr=stderr)
    return made if made.is_terminal else Console(stderr=stderr, width=WIDE)


def cells(*values: object) -> list[Text]:
    """Make the cells of a table's row; brackets in them are not markup."""
    from rich.text import Text

    return [Text(printable(value)) for value in values]
