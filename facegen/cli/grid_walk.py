"""`facegen grid-walk`."""

from __future__ import annotations

import click

from facegen.cli.film_options import FilmRequest, film_options
from facegen.cli.filming import film_to
from facegen.cli.options import Seeds, load_pipeline, pipeline_options
from facegen.errors import UsageError


@click.command(name="grid-walk")
@click.option("--seeds", type=Seeds(), default="0-15", show_default=True, help="One face for each: 0-15.")
@click.option("--columns", type=click.IntRange(min=1), default=4, show_default=True, help="Faces in a row.")
@click.option(
    "--stops",
    type=click.IntRange(min=2),
    default=3,
    show_default=True,
    help="Seeds that each face goes through: its own and those after it.",
)
@film_options(size=192, seconds=8, loop=True)
@pipeline_options
def grid_walk(
    seeds: tuple[int, ...],
    columns: int,
    stops: int,
    request: FilmRequest,
    recipe: str,
    overrides: tuple[str, ...],
    device: str,
) -> None:
    """Make a film of a grid of faces, each on a walk of its own through the seeds that follow its own.

    Faces of at most the generator's own side (128 px) are shown as it draws them; larger ones are upscaled.
    """
    if len(seeds) < stops:
        raise UsageError(f"--stops {stops} needs as many seeds; {len(seeds)} are given.")
    request.check()
    pipeline = load_pipeline(recipe, overrides, device)
    latents = [pipeline.latent(seed) for seed in seeds]
    keyframes = [[latents[(cell + stop) % len(seeds)] for stop in range(stops)] for cell in range(len(seeds))]
    options = {
        "seeds": ",".join(map(str, seeds)),
        "columns": columns,
        "stops": stops,
        "recipe": recipe,
        "set": overrides,
    }
    upscaled = request.size > pipeline.generator.config.side
    film_to(request, pipeline, keyframes, command="grid-walk", options=options, upscaled=upscaled, columns=columns)
