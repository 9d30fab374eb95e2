"""`facegen inspect`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facegen.cli.options import PATH, for_each
from facegen.cli.printing import cells, console, say
from facegen.errors import ImageError

if TYPE_CHECKING:
    from facegen.explain import Inspection
    from facegen.media.record import Record


@click.command()
@click.argument("pictures", nargs=-1, required=True, type=PATH)
@click.option(
    "--source", type=PATH,
    help="The photo it was made from: also measure how well the picture, shrunk again, agrees with it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each picture, with the whole record.")
def inspect(pictures: tuple[Path, ...], source: Path | None, as_json: bool) -> None:
    """Show how PICTURES were made, how sharp they are, and how visible the seams between tiles are."""
    from rich.table import Column, Table

    from facegen.explain import inspect_picture
    from facegen.media.video_reader import is_clip

    if source is not None and len(pictures) > 1:
        raise click.UsageError("--source is for one picture; inspect the others without it.")

    def show(path: Path) -> None:
        if is_clip(path):
            raise ImageError(f"{path}: is a film, expected a picture; facegen evaluate measures films.")
        found = inspect_picture(path, source)
        if as_json:
            say(json.dumps({"picture": click.format_filename(path), **_plain(found)}), err=False)
            return
        table = Table("", Column(cells(path)[0]), box=None, title_justify="left")
        for name, value in _rows(found).items():
            table.add_row(name, *cells(value))
        console().print(table)

    for_each(pictures, show)


def _plain(found: Inspection) -> dict[str, Any]:
    """Convert to types that JSON has; an infinite PSNR becomes null."""
    values = asdict(found) | {"record": found.record.model_dump(mode="json") if found.record else None}
    if found.agreement and found.agreement.psnr == float("inf"):
        values["agreement"]["psnr"] = None
    return values


def _rows(found: Inspection) -> dict[str, str]:
    rows = {
        "format": f"{found.format}, {found.width}x{found.height}",
        "label": found.source_type or "none",
        "command": f"facegen {found.command}" if found.command else "unknown: the file has no facegen record",
    }
    if found.record:
        rows |= _record_rows(found.record)
    if found.seams:
        rows["seams"] = f"mean {found.seams.mean:.2f}, max {found.seams.max:.2f} (1.00 is none)"
    if found.content:
        rows["elsewhere"] = f"mean {found.content.mean:.2f}, max {found.content.max:.2f} (other lines, for comparison)"
    rows["sharpness"] = f"{found.sharpness:.3g} (variance of the Laplacian)"
    if found.agreement:
        psnr, largest = found.agreement.psnr, found.agreement.largest
        rows["agreement"] = f"{psnr:.1f} dB, largest difference {largest:.2f} of 255, at scale {found.agreement.scale}"
    return rows


def _record_rows(record: Record) -> dict[str, str]:
    from facegen.faces.identity import CHANGED

    rows = {
        "made by": f"facegen {record.facegen}, torch {record.torch}, on {record.device} of {record.platform}",
        "weights": ", ".join(f"{name} {sha256[:12]}" for name, sha256 in record.weights.items()),
    }
    if record.source:
        rows["source"] = f"{record.source.name}, sha256 {record.source.sha256[:12]}"
    if record.upscaled:
        tiles = sum(len(upscaled.choices) for upscaled in record.upscaled)
        rows["upscaled"] = f"{len(record.upscaled)} head(s) in {tiles} tiles"
    fits = [record.fit] if record.fit is not None else [head.fit for head in record.upscaled if head.fit is not None]
    if fits:
        rows["fit"] = f"{min(fits):.1f} dB to the input"
    changes = [head.identity for head in record.upscaled if head.identity is not None]
    if changes:
        rows["identity"] = f"distance {max(changes):.2f} to the input (from {CHANGED} on it may be another person)"
    return rows
