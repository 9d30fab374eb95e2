"""`facegen video`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facegen.cli.film_options import FilmRequest, film_options
from facegen.cli.filming import film_to
from facegen.cli.options import Seeds, load_pipeline, pipeline_options
from facegen.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from facegen.pipeline import FacePipeline


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
    "--from",
    "pictures",
    type=Files(),
    multiple=True,
    metavar="FILES",
    help="Keyframes from faces that facegen sample or project wrote: a.png,b.png.",
)
@click.option(
    "--project",
    "photos",
    type=Files(),
    multiple=True,
    metavar="FILES",
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
    from facegen.video.walk import latent_in

    faces, heads = ([path for paths in given for path in paths] for given in (pictures, photos))
    if len(seeds) + len(faces) + len(heads) < 2:
        raise UsageError("a film goes from keyframe to keyframe; give at least 2, as in --seeds 1,5.")
    request.check()
    pipeline = load_pipeline(recipe, overrides, device)
    keyframes = [
        *(pipeline.latent(seed) for seed in seeds),
        *(latent_in(pipeline, face) for face in faces),
        *(_projected(pipeline, head) for head in heads),
    ]
    options = {
        "seeds": ",".join(map(str, seeds)) or None,
        "from": _names(faces),
        "project": _names(heads),
        "recipe": recipe,
        "set": overrides,
    }
    film_to(request, pipeline, [keyframes], command="video", options=options)


def _names(paths: Iterable[Path]) -> str | None:
    return ",".join(path.name for path in paths) or None


def _projected(pipeline: FacePipeline, photo: Path) -> Tensor:
    from facegen.cli.project import find_latent

    return find_latent(pipeline, photo).z
