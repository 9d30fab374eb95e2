"""`facegen sample`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facegen.cli.common import Seeds, Size, command_text, for_each, load_pipeline, make_folder, pipeline_options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHEET_SIDE = 256


@click.command()
@click.option("--seeds", type=Seeds(), default="0", show_default=True, help="Seeds and ranges: 0,3-7.")
@click.option("--size", type=Size(), default=768, show_default=True, help="Side of the pictures in pixels.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder to write to."
)
@click.option("--grid", is_flag=True, help="Write a contact sheet of all of them too.")
@click.option("--stages", is_flag=True, help="Write what happens on the way: face, guide, tiles, choice.")
@pipeline_options
def sample(
    seeds: tuple[int, ...],
    size: int,
    out: Path,
    grid: bool,
    stages: bool,
    recipe: str,
    overrides: tuple[str, ...],
    device: str,
) -> None:
    """Draw a face for each seed: the same seed gives the same face."""
    from facegen.images import resize, write_image
    from facegen.sheets import contact_sheet
    from facegen.stages import write_stages
    from facegen.tensors import to_picture

    make_folder(out)
    pipeline = load_pipeline(recipe, overrides, device)
    sheet: dict[str, NDArray[np.uint8]] = {}

    def draw(seed: int) -> None:
        face = pipeline.draw(pipeline.latent(seed))
        raised = pipeline(face, size)
        picture = to_picture(raised.image)
        if picture.shape[0] != size:
            picture = resize(picture, (size, size))
        name = f"seed{seed:04d}-{size}"
        command = command_text("sample", "--seeds", seed, "--size", size, recipe=recipe, overrides=overrides)
        text = {"facegen": command, "fit": f"{raised.fit:.1f} dB"}
        click.echo(write_image(out / f"{name}.png", picture, text=text))
        if stages:
            click.echo(write_stages(raised, face, out / f"{name}-stages"))
        if grid:
            sheet[f"seed {seed}"] = resize(picture, (SHEET_SIDE, SHEET_SIDE))

    for_each(seeds, draw)
    if grid:
        click.echo(write_image(out / f"grid-{size}.png", contact_sheet(list(sheet.values()), labels=list(sheet))))
