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
    drawing_options,
    for_each,
    format_option,
    load_pipeline,
    make_folder,
    out_option,
    overwrite_option,
)
from facegen.cli.printing import print_path, say

if TYPE_CHECKING:
    from facegen.drawn import Drawn
    from facegen.pipeline import FacePipeline

SHEET_SIDE = 256
"""Side of a face on the contact sheet, in pixels."""


@click.command()
@click.option("--seeds", type=Seeds(), default="0", help="Seeds and ranges of seeds: 0,3-7.")
@click.option("--size", type=Size(), default=768, help="Width and height of each picture in pixels.")
@out_option
@format_option
@click.option("--grid", is_flag=True, help="Also write all faces as one contact sheet.")
@click.option("--stages", is_flag=True, help="Also write the steps in between: small face, guide, tiles, candidates.")
@click.option("--explain", is_flag=True, help="Also write which candidate was chosen for each tile, and why.")
@overwrite_option
@drawing_options
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
    """Draw a face for each seed. The same seed always gives the same face."""
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
    results = _Results(out, size, file_format, stages=stages, explain=explain, overwrite=overwrite)
    coming, faces = _draw(pipeline, seeds, results, options), list[RGB]()

    def write(seed: int) -> None:
        drawn = next(coming).result()
        for path in results.write_more(seed, drawn):
            print_path(path)
        if grid:
            faces.append(resize(drawn.picture, (SHEET_SIDE, SHEET_SIDE)))

    for_each(seeds, write)
    if grid:
        print_path(_write_grid(overview, faces, seeds, options))


@dataclass(frozen=True)
class _Results:
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
        """Yield the picture; write the other files next to it and yield them."""
        from facegen.explain import write_explanation, write_stages

        yield drawn.path
        if self.stages:
            yield write_stages(drawn.upscaled, drawn.face, _stages(self.stem(seed)))
        if self.explain:
            yield from write_explanation(drawn.upscaled, self.stem(seed))


def _draw(
    pipeline: FacePipeline, seeds: Sequence[int], results: _Results, options: dict[str, Any]
) -> Iterator[Future[Drawn]]:
    """Draw and write the face of each seed; a seed whose files must not be replaced yields that error."""
    from facegen.drawn import Order, write_all
    from facegen.threads import at_once

    checks: dict[int, Future[Any]] = {seed: at_once(partial(results.check, seed)) for seed in seeds}
    free = (seed for seed in seeds if not checks[seed].exception())
    orders = (Order(pipeline.latent(seed), results.path(seed), {"seeds": seed} | options) for seed in free)
    drawn = write_all(pipeline, orders, results.size, "sample")
    for seed in seeds:
        yield checks[seed] if checks[seed].exception() else next(drawn)


def _stages(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}-stages")


def _write_grid(path: Path, faces: Sequence[RGB], seeds: Sequence[int], options: dict[str, Any]) -> Path:
    """Write a contact sheet, with the command that makes it."""
    from facegen.media.images import write_image
    from facegen.media.record import COMMAND_KEY, arguments
    from facegen.media.sheets import contact_sheet

    recorded = {"seeds": ",".join(map(str, seeds))} | options | {"grid": True}
    text = {COMMAND_KEY: shlex.join(arguments("sample", recorded))}
    sheet = contact_sheet(faces, labels=[f"seed {seed}" for seed in seeds])
    return write_image(path, sheet, text=text, label="generated")
