"""`facegen sample`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facegen.arrays import RGB
from facegen.cli.options import (
    Seeds,
    Size,
    for_each,
    format_option,
    load_pipeline,
    make_folder,
    out_option,
    pipeline_options,
)

if TYPE_CHECKING:
    from facegen.pipeline import FacePipeline

SHEET_SIDE = 256


@click.command()
@click.option("--seeds", type=Seeds(), default="0", help="Seeds and ranges of seeds: 0,3-7.")
@click.option("--size", type=Size(), default=768, help="Width and height of each picture in pixels.")
@out_option
@format_option
@click.option("--grid", is_flag=True, help="Also write all faces as one contact sheet.")
@click.option("--stages", is_flag=True, help="Also write the steps on the way: small face, guide, tiles, candidates.")
@click.option("--explain", is_flag=True, help="Also write which candidate was chosen for each tile, and why.")
@pipeline_options
def sample(
    seeds: tuple[int, ...],
    size: int,
    out: Path,
    file_format: str,
    grid: bool,
    stages: bool,
    explain: bool,
    recipe: str,
    overrides: tuple[str, ...],
    device: str,
) -> None:
    """Draw a face for each seed.

    The same seed always gives the same face.
    """
    from facegen.media.images import resize

    make_folder(out)
    pipeline = load_pipeline(recipe, overrides, device)
    if size > pipeline.drawn_size:
        click.echo(
            f"--size {size}: detail ends at {pipeline.drawn_size} px; the picture is enlarged from that by Lanczos.",
            err=True,
        )
    options = {"size": size, "format": file_format, "recipe": recipe, "set": overrides}
    sheet: dict[str, RGB] = {}

    def draw(seed: int) -> None:
        picture = _write_sample(pipeline, seed, out, options, stages=stages, explain=explain)
        if grid:
            sheet[f"seed {seed}"] = resize(picture, (SHEET_SIDE, SHEET_SIDE))

    for_each(seeds, draw)
    if grid:
        click.echo(_write_grid(out / f"grid-{size}.{file_format}", sheet, seeds, options))


def _write_sample(
    pipeline: FacePipeline, seed: int, out: Path, options: dict[str, Any], *, stages: bool, explain: bool
) -> RGB:
    """Draw one seed, write the files asked for, and return the picture."""
    from facegen.drawn import write_drawn
    from facegen.explain import write_explanation, write_stages

    name = f"seed{seed:04d}-{options['size']}"
    path = out / f"{name}.{options['format']}"
    drawn = write_drawn(pipeline, pipeline.latent(seed), path, "sample", {"seeds": seed} | options)
    click.echo(drawn.path)
    if stages:
        click.echo(write_stages(drawn.upscaled, drawn.face, out / f"{name}-stages"))
    for written in write_explanation(drawn.upscaled, out / name) if explain else ():
        click.echo(written)
    return drawn.picture


def _write_grid(path: Path, pictures: dict[str, RGB], seeds: tuple[int, ...], options: dict[str, Any]) -> Path:
    """Write a contact sheet that carries the command that makes it."""
    from facegen.media.images import write_image
    from facegen.media.record import COMMAND_KEY, arguments
    from facegen.media.sheets import contact_sheet

    shown = {"seeds": ",".join(map(str, seeds))} | options | {"grid": True}
    text = {COMMAND_KEY: shlex.join(arguments("sample", shown))}
    sheet = contact_sheet(list(pictures.values()), labels=list(pictures))
    return write_image(path, sheet, text=text, label="generated")
