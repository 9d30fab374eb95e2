"""The `facegen` command: finds the subcommand asked for and imports that one alone."""

from __future__ import annotations

import io
import sys
from typing import Any

import click

from facegen import __version__
from facegen.cli.lazy import LazyGroup
from facegen.errors import FacegenError

COMMANDS = {
    "sample": "Draw faces from seeds.",
    "upres": "Upscale photographs, head crops, or films.",
    "video": "Walk from face to face, as a film.",
    "grid-walk": "Let a grid of faces walk, as a film.",
    "project": "Find the latent of a photo's face.",
    "inspect": "Say what a picture is: how made, how sharp, how visible its seams.",
    "replay": "Make a picture again from the record in it.",
    "data": "From photos to a clean training set: prepare, clean, curate, stats.",
    "train": "Train a network on your own pictures.",
    "evaluate": "Measure weights on pictures kept out of training.",
    "compare": "Show upscalers side by side on the same pictures.",
    "publish": "Turn a run's average into a weight folder.",
    "doctor": "Say what is installed, and test it.",
}


class MainGroup(LazyGroup):
    """Reports errors of ours."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of ours becomes one line on stderr and its exit status."""
        try:
            return super().invoke(ctx)
        except FacegenError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_status)


@click.group(
    cls=MainGroup, package="facegen.cli", helps=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="facegen")
def cli() -> None:
    """High-resolution faces: drawn from seeds, or upscaled from your photos."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # file names that are not text go out as they came in


def main() -> None:
    """Run the command line."""
    cli()
