"""`facegen sample`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
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
    overwrite_option,
    pipeline_options,
)
from facegen.cli.printing import print_path, say

if TYPE_CHECKING:
    from facegen.drawn import Drawn
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
@overwrite_option
@pipeline_options
def sample(
    seeds: tuple[int, ...],
    size: int,
    out: Path,
    file_format: str,
    grid: bool,
    stages: bool,
    explain: bool,
    overwrite: bool,
    recipe: str,
    overrides: tuple[str, ...],
    device: str,
) -> None:
    """Draw a face for each seed.

    The same seed always gives the same face.
    """
    from facegen.faces.dlib_models import begin_to_load

    begin_to_load()  # before PyTorch is imported, which takes as long
    from facegen.media.images import resize
    from facegen.media.record import check_target

    make_folder(out)
    pipeline = load_pipeline(recipe, overrides, device)
    if size > pipeline.finest_size:
        say(f"--size {size}: detail ends at {pipeline.finest_size} px; the picture is enlarged from that by Lanczos.")
    options = {"size": size, "format": file_format, "recipe": recipe, "set": overrides}
    overview = out / f"grid-{size}.{file_format}"
    if grid:
        check_target(overview, overwrite)
    wanted = _Wanted(out, size, file_format, stages=stages, explain=explain, overwrite=overwrite)
    made = _drawn(pipeline, seeds, wanted, options)
    sheet: dict[str, RGB] = {}

    def draw(seed: int) -> None:
        drawn = next(made).result()
        for path in wanted.write_more(seed, drawn):
            print_path(path)
        if grid:
            sheet[f"seed {seed}"] = resize(drawn.picture, (SHEET_SIDE, SHEET_SIDE))

    for_each(seeds, draw)
    if grid:
        print_path(_write_grid(overview, sheet, seeds, options))


@dataclass(frozen=True)
class _Wanted:
    """The files of each seed."""

    out: Path
    size: int
    file_format: str
    stages: bool
    explain: bool
    overwrite: bool

    def stem(self, seed: int) -> Path:
        return self.out / f"seed{seed:04d}-{self.size}"

    def path(self, seed: int) -> Path:
        stem = self.stem(seed)
        return stem.with_name(f"{stem.name}.{self.file_format}")

    def check(self, seed: int) -> None:
        """Refuse to replace another program's files."""
        from facegen.explain import check_explanation
        from facegen.media.record import check_target

        for path in (self.path(seed), *(_stages(self.stem(seed)).glob("?-*.png") if self.stages else ())):
            check_target(path, self.overwrite)
        if self.explain:
            check_explanation(self.stem(seed), self.overwrite)

    def write_more(self, seed: int, drawn: Drawn) -> Iterator[Path]:
        """Yield the picture, and what is written next to it."""
        from facegen.explain import write_explanation, write_stages

        yield drawn.path
        if self.stages:
            yield write_stages(drawn.upscaled, drawn.face, _stages(self.stem(seed)))
        if self.explain:
            yield from write_explanation(drawn.upscaled, self.stem(seed))


def _drawn(
    pipeline: FacePipeline, seeds: Sequence[int], wanted: _Wanted, options: dict[str, Any]
) -> Iterator[Future[Drawn]]:
    """Draw and write the face of each seed; for one whose file must not be replaced there is its error."""
    from facegen.drawn import Order, write_all
    from facegen.threads import at_once

    checks: dict[int, Future[Any]] = {seed: at_once(partial(wanted.check, seed)) for seed in seeds}
    free = (seed for seed in seeds if not checks[seed].exception())
    orders = (Order(pipeline.latent(seed), wanted.path(seed), {"seeds": seed} | options) for seed in free)
    drawn = write_all(pipeline, orders, wanted.size, "sample")
    for seed in seeds:
        yield checks[seed] if checks[seed].exception() else next(drawn)


def _stages(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}-stages")


def _write_grid(path: Path, pictures: dict[str, RGB], seeds: tuple[int, ...], options: dict[str, Any]) -> Path:
    """Write a contact sheet that carries the command that makes it."""
    from facegen.media.images import write_image
    from facegen.media.record import COMMAND_KEY, arguments
    from facegen.media.sheets import contact_sheet

    shown = {"seeds": ",".join(map(str, seeds))} | options | {"grid": True}
    text = {COMMAND_KEY: shlex.join(arguments("sample", shown))}
    sheet = contact_sheet(list(pictures.values()), labels=list(pictures))
    return write_image(path, sheet, text=text, label="generated")
