"""`facegen rate`."""

from __future__ import annotations

from pathlib import Path

import click

from facegen.cli.options import PATH, device_option, make_folder
from facegen.cli.printing import print_path, say

SHOWN, COLUMNS = 32, 8
"""Worst and best faces on the sheet, as many of each; faces in a row."""


@click.command()
@click.argument("weights")
@click.option("--data", required=True, type=PATH, help="Folder of the generator's training pictures.")
@click.option("--out", type=PATH, help="Folder for WEIGHTS-rating.  [default: the one that holds WEIGHTS]")
@click.option("--faces", default=32_000, type=click.IntRange(min=100), help="Faces to draw.")
@click.option("--sheet", type=PATH, help="Also write the worst and the best faces as one picture.")
@device_option
def rate(weights: str, data: Path, out: Path | None, faces: int, sheet: Path | None, device: str) -> None:
    """Learn which latents of the generator WEIGHTS give poor faces.

    Faces that it draws are compared with its training pictures below --data. The result is written to WEIGHTS-rating;
    `facegen sample` then rejects the worst latents, as many as the recipe's `rejection` says.
    """
    from facegen.media.images import check_format, write_image
    from facegen.media.record import check_target
    from facegen.media.sheets import contact_sheet
    from facegen.runtime import resolve_device
    from facegen.training.rating import publish_rating

    if out is not None:
        make_folder(out)
    if sheet is not None:
        make_folder(sheet.parent)
        check_format(sheet)
        check_target(sheet, overwrite=False)
    rated, folder = publish_rating(weights, data, out, faces, resolve_device(device), say)
    say(f"correlation of predicted and measured quality, over faces held out: {rated.correlation:.2f}")
    print_path(folder)
    if sheet is not None:
        shown = [*rated.ranked[:SHOWN], *rated.ranked[: -SHOWN - 1 : -1]]
        print_path(write_image(sheet, contact_sheet(shown, columns=COLUMNS), label="composite"))
