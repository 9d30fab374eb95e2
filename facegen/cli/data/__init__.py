"""`facegen data`: from a heap of photos to a clean training set."""

from __future__ import annotations

import click

from facegen.cli.main import LazyGroup

COMMANDS = {
    "prepare": "Cut every face out of a folder of photos.",
    "clean": "Measure every crop, and mark what to drop.",
    "curate": "Look through the crops on a web page, and decide.",
    "stats": "Show what a set is made of.",
}


@click.group(cls=LazyGroup, package="facegen.cli.data", helps=COMMANDS)
def data() -> None:
    """Make a training set from photos, clean it, look through it, describe it."""
