"""`facegen data`: from a heap of photos to a clean training set."""

from __future__ import annotations

import click

from facegen.cli.lazy import LazyGroup

COMMANDS = {
    "prepare": "Cut every face out of a folder of photos.",
    "clean": "Measure every crop, and mark what to drop.",
    "curate": "Judge the crops by eye, on a web page.",
    "stats": "Show what a set is made of.",
}


@click.group(cls=LazyGroup, package="facegen.cli.data", helps=COMMANDS)
def data() -> None:
    """Training sets: made of photos, cleaned, judged, described."""
