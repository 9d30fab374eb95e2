"""`facegen compare`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facegen import __version__
from facegen.cli.evaluate import load_optional, refuse_options, show
from facegen.cli.options import FOLDER, PATH, Listed, Size, make_folder, pipeline_options
from facegen.cli.printing import say
from facegen.files import find_recipe

if TYPE_CHECKING:
    from facegen.evaluation.compare import Comparison


class Names(click.ParamType[tuple[str, ...]]):
    """Comma-separated names, folders or files."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        names = tuple(part.strip() for part in str(value).split(","))
        if not all(names):
            self.fail(f"{value!r} has an empty name; expected names between commas, as in bicubic,jnet.", param, ctx)
        return names


def _pictures() -> tuple[str, ...]:
    from facegen.evaluation.album import KINDS

    return KINDS


@click.command()
@click.argument("portraits", metavar="[DIR]", required=False, type=FOLDER)
@click.option(
    "--models", type=Names(), default="bicubic,lanczos,jnet", metavar="NAMES",
    help="bicubic, lanczos, jnet (of the recipe), shipped weights, weight folders, published .pth or .safetensors.",
)
@click.option("--inputs", type=PATH, metavar="DIR", help="Folder of your own small pictures, to upscale too.")
@click.option("--low", type=Size(), default=96, help="Side to which portraits are reduced, in pixels.")
@click.option("--size", type=Size(), default=768, help="Side to which they are upscaled for the comparison.")
@click.option("--pictures", type=click.IntRange(min=2), default=60, help="Number of portraits at most.")
@click.option(
    "--held-out", type=click.IntRange(min=0),
    help="Number of pictures held out of training.  [default: from the recipes in the weight folders]",
)
@click.option("--include", multiple=True, metavar="PATTERN", help='Use only portraits of DIR that match: "studio/*".')
@click.option(
    "--write", type=Listed("kind", _pictures), default="sheet", metavar="KINDS",
    help="Pictures to write in addition to the page, from single,row,sheet,difference; or none.",
)
@click.option("--out", type=PATH, default=Path("comparison"), help="Folder to write to.")
@pipeline_options
def compare(
    portraits: Path | None,
    models: tuple[str, ...],
    inputs: Path | None,
    low: int,
    size: int,
    pictures: int,
    held_out: int | None,
    include: tuple[str, ...],
    write: tuple[str, ...],
    out: Path,
    recipe: str,
    overrides: tuple[str, ...],
    device: str,
) -> None:
    """Upscale the same faces by several models, measure the results, and show them side by side.

    DIR holds aligned portraits. Those held out of the models' training are reduced, upscaled again, and compared with
    their originals. Pictures of --inputs have no original: they are upscaled by the same factor and shown.
    """
    from facegen.evaluation.compare import Comparison, Sides
    from facegen.evaluation.upscalers import Setting, load_upscalers
    from facegen.golden import choose_device
    from facegen.media.images import find_pictures

    if portraits is None and inputs is None:
        raise click.UsageError("nothing to upscale: name a folder of portraits, or --inputs a folder of your pictures.")
    if portraits is None:
        refuse_options(("pictures", "held_out", "include"), "--inputs, pictures without originals")
    sides = Sides(low, size)
    small = [] if inputs is None else find_pictures([inputs])
    setting = Setting(sides.scale, find_recipe(recipe), overrides, choose_device(device))
    upscalers = load_upscalers(models, setting)
    comparison = Comparison(upscalers, sides, device=setting.device, report=say, track=_track, out=out, kinds=write)
    facts = {"pipeline": " ".join((recipe, *overrides)), "facegen": __version__}
    if portraits is not None:
        _add_portraits(comparison, portraits, pictures, held_out, include, facts)
    if small:
        make_folder(out)
        facts["inputs"] = f"{len(small)} in {inputs}; the J-net takes square ones for aligned heads"
        comparison.add_inputs(small)
    show(comparison.result(facts), out, "comparison")


def _add_portraits(
    comparison: Comparison,
    folder: Path,
    count: int,
    held_out: int | None,
    include: tuple[str, ...],
    facts: dict[str, str],
) -> None:
    """Compare up to `count` portraits that no model was trained on."""
    from facegen.data.split import shared_split, spread
    from facegen.evaluation.features import load_lpips

    weights = list(dict.fromkeys(folder for model in comparison.models for folder in model.folders))
    split = shared_split(folder, weights, held_out, include)
    files = spread(split.held_out, count)
    make_folder(comparison.out)
    facts["portraits"] = f"{len(files)} below {folder}; {split.text}"
    lpips = load_optional(partial(load_lpips, comparison.device), facts)
    comparison.add_portraits(files, split.text, root=folder, lpips=lpips)


def _track(files: Sequence[Path], what: str) -> Iterator[Path]:
    from facegen.cli.summary import time_left

    with time_left() as progress:
        yield from progress.track(files, description=what)
