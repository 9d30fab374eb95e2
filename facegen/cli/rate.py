"""`facegen rate`."""

from __future__ import annotations

from pathlib import Path

import click

from facegen.cli.options import PATH, device_option, make_folder
from facegen.cli.printing import print_path, say

SHOWN, COLUMNS = 32, 8
"""Faces of each kind on the sheet, the worst first; in a row."""


@click.command()
@click.argument("weights")
@click.option("--data", required=True, type=PATH, help="Folder of the training pictures.")
@click.option("--out", type=PATH, help="Folder of weight folders.  [default: that of WEIGHTS]")
@click.option("--faces", default=32_000, show_default=True, type=click.IntRange(min=100), help="Faces to draw.")
@click.option("--sheet", type=PATH, help="Also write the faces rated worst and best, as one PNG.")
@device_option
def rate(weights: str, data: Path, out: Path | None, faces: int, sheet: Path | None, device: str) -> None:
    """Learn which latents of a generator, WEIGHTS, give poor faces.

    Its faces are compared with the pictures below --data, apart from those that its training kept out. What is learned
    goes into WEIGHTS-rating, and `facegen sample` then passes over the worst latents: the recipe's `rejection` says how
    many.
    """
    from facegen.media.images import write_image
    from facegen.media.record import check_target
    from facegen.media.sheets import contact_sheet
    from facegen.runtime import resolve_device
    from facegen.training.rating import publish_rating

    if out is not None:
        make_folder(out)
    if sheet is not None:
        make_folder(sheet.parent)
        check_target(sheet, overwrite=False)
    rated, folder = publish_rating(weights, data, out, faces, resolve_device(device), say)
    say(f"correlation with what it guesses, over faces that it did not learn from: {rated.correlation:.2f}")
    print_path(folder)
    if sheet is not None:
        shown = [*rated.ranked[:SHOWN], *rated.ranked[: -SHOWN - 1 : -1]]
        print_path(write_image(sheet, contact_sheet(shown, columns=COLUMNS), label="composite"))
