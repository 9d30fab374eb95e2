"""The `facegen` command: finds the subcommand asked for and imports that one alone."""

from __future__ import annotations

import importlib
import io
import sys
from typing import Any

import click

from facegen import __version__
from facegen.errors import FacegenError

COMMANDS = {
    "sample": "Draw faces from seeds.",
    "upres": "Raise photographs or head crops.",
    "inspect": "Say what a picture is: how made, how sharp, how visible its seams.",
    "replay": "Make a picture again from the record in it.",
    "train": "Train either stage on your own pictures.",
    "evaluate": "Measure weights on pictures kept out of training.",
    "publish": "Turn a run's average into a weight folder.",
    "doctor": "Say what is installed, and test it.",
}


class LazyGroup(click.Group):
    """Knows its commands' names and one-line helps without importing them; an error of ours becomes one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"facegen.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of ours becomes one line on stderr and its exit status."""
        try:
            return super().invoke(ctx)
        except FacegenError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_status)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="facegen")
def cli() -> None:
    """High-resolution faces: drawn from seeds, or raised from your photos."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # file names that are not text go out as they came in


def main() -> None:
    """Run the command line."""
    cli()
