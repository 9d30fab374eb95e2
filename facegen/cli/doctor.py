"""`facegen doctor`."""

from __future__ import annotations

import sys

import click


@click.command()
def doctor() -> None:
    """Print versions, device and weights, and run a tiny self-test; exit status 1 if something is wrong."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from facegen.doctor import checks

    table = Table("", "what", "found", box=None)
    results = checks()
    for check in results:
        table.add_row("[green]ok[/]" if check.ok else "[red]!![/]", escape(check.name), escape(check.found))
    Console().print(table)
    if not all(check.ok for check in results):
        sys.exit(1)
