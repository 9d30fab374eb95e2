"""`facegen sample`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click

from facegen.arrays import RGB
from facegen.cli.options import (
    Seeds,
    Size,
    echo_path,
    for_each,
    format_option,
    load_pipeline,
    make_folder,
    out_option,
    overwrite_option,
    pipeline_options,
)

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
    from facegen.drawn import Order, write_all
    from facegen.explain import write_explanation, write_stages
    from facegen.media.images import resize
    from facegen.media.record import check_target
    from facegen.stages import at_once

    make_folder(out)
    pipeline = load_pipeline(recipe, overrides, device)
    if size > pipeline.drawn_size:
        click.echo(
            f"--size {size}: detail ends at {pipeline.drawn_size} px; the picture is enlarged from that by Lanczos.",
            err=True,
        )
    options = {"size": size, "format": file_format, "recipe": recipe, "set": overrides}
    sheet: dict[str, RGB] = {}

    def stem_of(seed: int) -> Path:
        return out / f"seed{seed:04d}-{size}"

    def check(seed: int) -> None:
        for path in _targets(stem_of(seed), file_format, stages=stages, explain=explain):
            check_target(path, overwrite)

    def order(seed: int) -> Order:
        stem = stem_of(seed)
        path = stem.with_name(f"{stem.name}.{file_format}")
        return Order(pipeline.latent(seed), path, {"seeds": seed} | options)

    checks = {seed: at_once(partial(check, seed)) for seed in seeds}
    orders = (order(seed) for seed in seeds if not checks[seed].exception())
    drawn = write_all(pipeline, orders, size, "sample")

    def draw(seed: int) -> None:
        checks[seed].result()
        made, stem = next(drawn).result(), stem_of(seed)
        echo_path(made.path)
        if stages:
            echo_path(write_stages(made.upscaled, made.face, _stages(stem)))
        for path in write_explanation(made.upscaled, stem) if explain else ():
            echo_path(path)
        if grid:
            sheet[f"seed {seed}"] = resize(made.picture, (SHEET_SIDE, SHEET_SIDE))

    overview = out / f"grid-{size}.{file_format}"
    if grid:
        check_target(overview, overwrite)
    for_each(seeds, draw)
    if grid:
        echo_path(_write_grid(overview, sheet, seeds, options))


def _targets(stem: Path, file_format: str, *, stages: bool, explain: bool) -> Iterator[Path]:
    """Yield the files of one seed that must not be another program's; a vote map's .json goes with its .png."""
    yield stem.with_name(f"{stem.name}.{file_format}")
    if stages:
        yield from _stages(stem).glob("?-*.png")
    if explain:
        shown, told = (stem.with_name(f"{stem.name}-explain.{ending}") for ending in ("png", "json"))
        yield shown if shown.exists() else told


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
