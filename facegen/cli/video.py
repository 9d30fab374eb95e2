"""`facegen video` and `facegen grid-walk`: films of faces that walk through the latent space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from facegen.cli.film_options import FilmRequest, film_options
from facegen.cli.options import Seeds, load_pipeline, pipeline_options
from facegen.errors import UsageError


class Files(click.ParamType[tuple[Path, ...]]):
    """Comma-separated files, or one file with a comma in its name."""

    name = "files"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Path, ...]:
        parts = [value] if Path(value).exists() else str(value).split(",")
        for part in parts:
            if not Path(part).is_file():
                self.fail(f"{part!r}: no such file; expected files, as in a.png,b.png.", param, ctx)
        return tuple(map(Path, parts))


@click.command()
@click.option("--seeds", type=Seeds(), default=(), metavar="SEEDS", help="Keyframes from seeds and ranges: 1,5-9.")
@click.option(
    "--from", "pictures", type=Files(), multiple=True, metavar="FILES",
    help="Keyframes from faces that facegen sample or project wrote: a.png,b.png.",
)
@click.option(
    "--project", "photos", type=Files(), multiple=True, metavar="FILES",
    help="Keyframes nearest to the heads in photos; facegen project finds them once for several films.",
)
@film_options(size=768, seconds=12, loop=False)
@pipeline_options
def video(
    seeds: tuple[int, ...],
    pictures: tuple[tuple[Path, ...], ...],
    photos: tuple[tuple[Path, ...], ...],
    request: FilmRequest,
    recipe: str,
    overrides: tuple[str, ...],
    device: str,
) -> None:
    """Make a film of a face that changes from keyframe to keyframe: --seeds first, then --from, then --project.

    A film that was stopped goes on at its last finished frame when the same command is run again.
    """
    from facegen.cli.project import find_latent
    from facegen.video.walk import latent_in

    faces, heads = ([path for paths in given for path in paths] for given in (pictures, photos))
    if len(seeds) + len(faces) + len(heads) < 2:
        raise UsageError("a film goes from keyframe to keyframe; give at least 2, as in --seeds 1,5.")
    request.check()
    pipeline = load_pipeline(recipe, overrides, device, request.cluster)
    keyframes = [
        *(pipeline.latent(seed) for seed in seeds),
        *(latent_in(pipeline, face) for face in faces),
        *(find_latent(pipeline, head) for head in heads),
    ]
    options = {
        "seeds": ",".join(map(str, seeds)) or None,
        "from": ",".join(path.name for path in faces) or None,
        "project": ",".join(path.name for path in heads) or None,
        "recipe": recipe,
        "set": overrides,
    }
    request.make(pipeline, [keyframes], command="video", options=options)


@click.command(name="grid-walk")
@click.option("--seeds", type=Seeds(), default="0-15", help="One face for each: 0-15.")
@click.option("--columns", type=click.IntRange(min=1), default=4, help="Faces in a row.")
@click.option(
    "--stops", type=click.IntRange(min=2), default=3,
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
    pipeline = load_pipeline(recipe, overrides, device, request.cluster)
    latents = [pipeline.latent(seed) for seed in seeds]
    keyframes = [[latents[(cell + stop) % len(seeds)] for stop in range(stops)] for cell in range(len(seeds))]
    shown = ",".join(map(str, seeds))
    options = {"seeds": shown, "columns": columns, "stops": stops, "recipe": recipe, "set": overrides}
    upscaled = request.size > pipeline.generator.config.side
    request.make(pipeline, keyframes, command="grid-walk", options=options, upscaled=upscaled, columns=columns)
