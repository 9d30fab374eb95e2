"""`facegen data stats`."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("folder", metavar="SET", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path), help="The page to write.  [default: SET/stats.html]")
@click.option(
    "--pictures",
    type=click.IntRange(min=1),
    default=500,
    show_default=True,
    help="Crops whose pixels are read at most, evenly spread; the manifest tells of the others.",
)
def stats(folder: Path, out: Path | None, pictures: int) -> None:
    """Show what SET is made of: a page with counts, histograms, a mean face and a contact sheet.

    SET is what facegen data prepare made, or any folder of aligned square crops.
    """
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from facegen.cli.summary import error_console, time_left
    from facegen.data.stats import SUMMARY_HEAD, measure_set, summary_rows, to_html
    from facegen.pages import write_page

    unread: list[str] = []
    with time_left(error_console()) as progress:
        line = progress.add_task("crops", total=pictures)
        found = measure_set(folder, pictures, lambda: progress.advance(line), unread.append)
    for reason in unread:
        click.echo(f"Error: {reason}", err=True)
    console = Console()
    console.width = max(console.width, 100)
    counts = Table("what", "count", box=SIMPLE)
    for name, count in found.counts.items():
        counts.add_row(escape(name), str(count))
    console.print(counts)
    figures = Table(*SUMMARY_HEAD, box=SIMPLE)
    for row in summary_rows(found):
        figures.add_row(*map(escape, row))
    console.print(figures)
    click.echo(write_page(out or folder / "stats.html", to_html(found, folder.resolve())))
    if unread:
        sys.exit(1)
