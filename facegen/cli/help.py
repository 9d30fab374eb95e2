"""`facegen help`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from facegen.cli.printing import say
from facegen.errors import UsageError, did_you_mean
from facegen.files import DOCS

PAGE_OF = {"upres": "upscaling", "sign": "upscaling", "train": "training", "compare": "comparing"}
"""Command -> its page, where their names differ."""


@click.command()
@click.argument("topic", required=False)
@click.pass_context
def help(context: click.Context, topic: str | None) -> None:
    """Show the options of a command and its page of the documentation, or just a page: facegen help training.

    Without TOPIC, list the commands and the pages.
    """
    assert context.parent is not None
    if topic is None:
        text = f"{context.parent.get_help()}\n\nPages, as in facegen help {sorted(pages())[-1]}:\n{_list_of_pages()}"
        say(*text.splitlines(), err=False)
        return
    group = context.parent.command
    assert isinstance(group, click.Group)
    command, page = group.get_command(context, topic), pages().get(PAGE_OF.get(topic, topic))
    if command is None and page is None:
        known = [*group.list_commands(context), *sorted(pages())]
        raise UsageError(f"no command or page {topic!r}{did_you_mean(topic, known)} facegen help lists them.")
    usage = command.get_help(click.Context(command, context.parent, topic)) if command else ""
    _show(usage, page.read_text(encoding="utf-8") if page else "")


def pages() -> dict[str, Path]:
    """Return the pages of the documentation by name."""
    return {path.stem: path for path in DOCS.glob("*.md")}


def _list_of_pages() -> str:
    formatter = click.HelpFormatter()
    with formatter.indentation():
        titles = {name: path.read_text(encoding="utf-8").partition("\n")[0] for name, path in sorted(pages().items())}
        formatter.write_dl([(name, title.lstrip("# ")) for name, title in titles.items()])
    return formatter.getvalue().rstrip()


def _show(usage: str, page: str) -> None:
    """Print both: formatted and in a pager on a terminal, as Markdown to other programs."""
    if not sys.stdout.isatty():
        say(*"\n\n".join(filter(None, (usage, page.rstrip()))).splitlines(), err=False)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    with console.pager():
        console.print(usage, markup=False, highlight=False)
        console.print(Markdown(page), width=min(console.width, 120))
