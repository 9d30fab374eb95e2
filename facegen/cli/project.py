"""`facegen project`."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facegen.cli.options import FILE, PATH, Size, drawing_options, load_pipeline, make_folder, overwrite_option
from facegen.cli.printing import print_path, say

if TYPE_CHECKING:
    from torch import Tensor

    from facegen.pipeline import FacePipeline


@click.command()
@click.argument("photo", type=FILE)
@click.option("-o", "--out", type=PATH, help="Picture to write.  [default: out/<photo>-projected.png]")
@click.option("--size", type=Size(), default=768, help="Side of the picture in pixels.")
@overwrite_option
@drawing_options
def project(
    photo: Path,
    out: Path | None,
    size: int,
    overwrite: bool,
    recipe: str,
    overrides: tuple[str, ...],
    device: str,
) -> None:
    """Draw the face nearest to the largest head in PHOTO; it can be a keyframe of facegen video --from.

    The generator cannot draw a particular person: expect the same pose, hair and colours, not a likeness.
    """
    from facegen.drawn import Order, write_drawn
    from facegen.media.images import check_format
    from facegen.media.record import check_target

    out = out or Path("out") / f"{photo.stem}-projected.png"
    make_folder(out.parent)
    check_format(out)
    check_target(out, overwrite)
    pipeline = load_pipeline(recipe, overrides, device)
    z = find_latent(pipeline, photo)
    options = {"size": size, "recipe": recipe, "set": overrides}
    print_path(write_drawn(pipeline, Order(z, out, options), "project", source=photo).path)


def find_latent(pipeline: FacePipeline, photo: Path) -> Tensor:
    """Search on the CPU for the (z_dim,) latent nearest to the largest head of a photo; print the distances."""
    from facegen.cli.summary import time_left
    from facegen.project import STEPS, head_in, load_search_networks
    from facegen.project import project as search

    generator = deepcopy(pipeline.generator).cpu()
    head = head_in(photo, generator.config.side)
    networks = load_search_networks(pipeline.recipe.weights.generator)
    if networks.lacking:
        say(f"{photo}: {networks.lacking}")
    say(f"{photo}: searching for a similar face; the generator cannot draw this person.")
    with time_left() as progress:
        task = progress.add_task(photo.name, total=STEPS)
        found = search(
            generator, head, networks, steps=STEPS, progress=lambda step: progress.update(task, completed=step)
        )  # fmt: skip
    say(f"{photo}: distance {found.distance:.3f}, from {found.start_distance:.3f} at the start.")
    return found.z
