"""`facegen video` and `facegen grid-walk`: films of walks through the latent space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from facegen.cli.film_options import FilmRequest, film_options
from facegen.cli.options import Seeds, drawing_options, load_pipeline
from facegen.errors import UsageError
from facegen.files import is_plain


class Files(click.ParamType[tuple[Path, ...]]):
    """Comma-separated files, or one file with a comma in its name."""

    name = "files"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Path, ...]:
        paths = [Path(value)] if is_plain(Path(value)) else [Path(part) for part in str(value).split(",")]
        for path in paths:
            if not is_plain(path):
                self.fail(f"{str(path)!r}: no such file; expected files, as in a.png,b.png.", param, ctx)
        return tuple(paths)


@click.command()
@click.option("--seeds", type=Seeds(), default=(), metavar="SEEDS", help="Keyframes from seeds and ranges: 1,5-9.")
@click.option(
    "--from", "pictures", type=Files(), multiple=True, metavar="FILES",
    help="Keyframes from faces that facegen sample or project wrote: a.png,b.png.",
)
@click.option(
    "--project", "photos", type=Files(), multiple=True, metavar="FILES",
    help="Keyframes nearest to the heads in photos; facegen project finds one for use with --from in several films.",
)
@film_options(size=768, seconds=12, loop=False)
@drawing_options
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

    To continue a film that was stopped, run the same command again.
    """
    from facegen.cli.project import find_latent
    from facegen.video.walk import latent_in

    faces, heads = ([path for paths in given for path in paths] for given in (pictures, photos))
    if len(seeds) + len(faces) + len(heads) < 2:
        raise UsageError("a film needs keyframes; give at least 2, as in --seeds 1,5.")
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
@click.option("--seeds", type=Seeds(), default="0-15", help="Seeds of the faces: 0-15.")
@click.option("--columns", type=click.IntRange(min=1), default=4, help="Faces in a row.")
@click.option(
    "--stops", type=click.IntRange(min=2), default=3,
    help="Seeds that each face walks through: its own and those after it.",
)
@film_options(size=192, seconds=8, loop=True)
@drawing_options
def grid_walk(
    seeds: tuple[int, ...],
    columns: int,
    stops: int,
    request: FilmRequest,
    recipe: str,
    overrides: tuple[str, ...],
    device: str,
) -> None:
    """Make a film of a grid of faces, each of which walks from its seed through the next ones.

    Faces of up to 128 px are shown as the generator draws them; larger ones are upscaled.
    """
    if len(seeds) < stops:
        raise UsageError(f"--stops {stops} needs {stops} seeds or more; {len(seeds)} are given.")
    request.check()
    pipeline = load_pipeline(recipe, overrides, device, request.cluster)
    latents = [pipeline.latent(seed) for seed in seeds]
    keyframes = [[latents[(cell + stop) % len(seeds)] for stop in range(stops)] for cell in range(len(seeds))]
    options = {"seeds": ",".join(map(str, seeds)), "columns": columns, "stops": stops}
    options |= {"recipe": recipe, "set": overrides}
    upscaled = request.size > pipeline.generator.config.side
    request.make(pipeline, keyframes, command="grid-walk", options=options, upscaled=upscaled, columns=columns)
