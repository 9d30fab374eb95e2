"""`facegen upres`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facegen.cli.common import Size, command_text, for_each, load_pipeline, make_folder, pipeline_options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facegen.images import Picture
    from facegen.pipeline import FacePipeline

SMALLEST_HEAD = 16


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder to write to."
)
@click.option(
    "--scale",
    type=click.IntRange(1, 8),
    default=None,
    help="Enlarge photos this many times; if left away, so that the largest head comes to 768 px (2 to 8 times).",
)
@click.option("--crop", is_flag=True, help="Write each head alone, aligned, at --size.")
@click.option("--aligned", is_flag=True, help="The pictures are aligned head crops already; raise them to --size.")
@click.option(
    "--size", type=Size(), default=None, help="Side of the heads that --crop and --aligned write.  [default: 768]"
)
@pipeline_options
def upres(
    photos: tuple[Path, ...],
    out: Path,
    scale: int | None,
    crop: bool,
    aligned: bool,
    size: int | None,
    recipe: str,
    overrides: tuple[str, ...],
    device: str,
) -> None:
    """Raise PHOTOS (files or folders): every face is found, aligned, raised and pasted back."""
    from facegen.images import find_pictures, read_image

    _refuse_conflicts(scale, crop, aligned, size)
    make_folder(out)
    pipeline = load_pipeline(recipe, overrides, device)
    size = size or 768
    files = _files(photos)
    inputs = frozenset(file.resolve() for file in files)
    stems = dict(zip(files, _stems(files), strict=True))

    def raise_one(path: Path) -> None:
        find_pictures([path])  # says what is wrong with a path that is no file
        picture, result = read_image(path), Result(path, out / stems[path], inputs, recipe, overrides)
        if aligned:
            _aligned(pipeline, picture, result, size)
        elif crop:
            _crop(pipeline, picture, result, size)
        else:
            _photo(pipeline, picture, result, scale)

    for_each(files, raise_one)


def _refuse_conflicts(scale: int | None, crop: bool, aligned: bool, size: int | None) -> None:
    if crop and aligned:
        raise click.UsageError("--crop and --aligned exclude each other: an aligned picture has no head to cut out.")
    if scale is not None and (crop or aligned):
        raise click.UsageError(f"--scale is for whole photos; with {'--crop' if crop else '--aligned'}, give --size.")
    if size is not None and not (crop or aligned):
        raise click.UsageError("--size is for --crop and --aligned; for whole photos, give --scale.")


@dataclass(frozen=True)
class Result:
    """Where what becomes of one file is written, and what is written with it."""

    source: Path
    target: Path
    """Without the ending that says what it is."""
    inputs: frozenset[Path]
    """Files never written to: those that the command reads."""
    recipe: str
    overrides: tuple[str, ...]

    def write(self, ending: str, rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, *options: object) -> None:
        """Write a PNG and say so; its text is the command with these options.

        Raises:
            ImageError: if it would replace an input, or cannot be written.
        """
        from facegen.errors import ImageError
        from facegen.images import write_image

        path = self.target.with_name(f"{self.target.name}{ending}.png")
        if path.resolve() in self.inputs:
            raise ImageError(f"{self.source}: its result would replace {path}, another input; choose another --out.")
        command = command_text("upres", self.source.name, *options, recipe=self.recipe, overrides=self.overrides)
        click.echo(write_image(path, rgb, alpha, text={"facegen": command}))


def _files(photos: tuple[Path, ...]) -> list[Path]:
    """Folders replaced by their pictures; what cannot be listed stays, to be reported when its turn comes."""
    from facegen.errors import ImageError
    from facegen.images import find_pictures

    files: list[Path] = []
    for path in photos:
        try:
            files += find_pictures([path])
        except ImageError:
            files.append(path)
    return list(dict.fromkeys(files))


def _stems(files: list[Path]) -> list[str]:
    """A name for each file's result, without its ending: files of one name in different folders keep apart."""
    stems: list[str] = []
    taken: set[str] = set()
    for path in files:
        names = (path.stem if number == 1 else f"{path.stem}-{number}" for number in count(1))
        stems.append(next(name for name in names if name.casefold() not in taken))
        taken.add(stems[-1].casefold())
    return stems


def _photo(pipeline: FacePipeline, picture: Picture, result: Result, scale: int | None) -> None:
    from facegen.images import resize
    from facegen.photo import restore

    done = restore(pipeline, picture.rgb, scale)
    alpha = picture.alpha
    if alpha is not None:
        alpha = resize(alpha[..., None].repeat(3, axis=2), (done.rgb.shape[1], done.rgb.shape[0]))[..., 0]
    if not done.raised + done.left:
        click.echo(f"{result.source}: no face found; raised with an empty guide.", err=True)
    if done.left:
        click.echo(f"{result.source}: {done.left} head(s) already at the size asked for; left as they are.", err=True)
    result.write(f"-x{done.scale}", done.rgb, alpha, "--scale", done.scale)


def _crop(pipeline: FacePipeline, picture: Picture, result: Result, size: int) -> None:
    from facegen.errors import ImageError
    from facegen.photo import crop_heads

    heads = crop_heads(pipeline, picture.rgb, size)
    if not heads:
        raise ImageError(
            f"{result.source}: no face found, so there is no head to crop; leave --crop away to raise the whole photo."
        )
    for number, head in enumerate(heads, start=1):
        result.write("-head" + (f"-{number}" if len(heads) > 1 else ""), head, None, "--crop", "--size", size)


def _aligned(pipeline: FacePipeline, picture: Picture, result: Result, size: int) -> None:
    from facegen.errors import ImageError
    from facegen.photo import raise_aligned

    height, width = picture.rgb.shape[:2]
    if height != width or height < SMALLEST_HEAD:
        raise ImageError(
            f"{result.source}: {width}x{height}; --aligned expects a square head crop of {SMALLEST_HEAD} px and up."
        )
    result.write(f"-{size}", raise_aligned(pipeline, picture.rgb, size), None, "--aligned", "--size", size)
