"""`facegen upres`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facegen.cli.common import Size, for_each, load_pipeline, pipeline_options

if TYPE_CHECKING:
    from facegen.images import Picture
    from facegen.pipeline import FacePipeline


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
    from facegen.images import read_image

    if crop and aligned:
        raise click.UsageError("--crop and --aligned exclude each other: an aligned picture has no head to cut out.")
    if scale is not None and (crop or aligned):
        raise click.UsageError("--scale is for whole photos; with --crop or --aligned, give --size.")
    if size is not None and not (crop or aligned):
        raise click.UsageError("--size is for --crop and --aligned; for whole photos, give --scale.")
    pipeline = load_pipeline(recipe, overrides, device)
    size = size or 768

    files = _files(photos)
    targets = dict(zip(files, _targets(files, out), strict=True))

    def raise_one(path: Path) -> None:
        picture = read_image(path)
        if aligned:
            _aligned(pipeline, picture, path, targets[path], size)
        elif crop:
            _crop(pipeline, picture, path, targets[path], size)
        else:
            _photo(pipeline, picture, path, targets[path], scale)

    for_each(files, raise_one)


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


def _targets(files: list[Path], out: Path) -> list[Path]:
    """Where each file's result goes, without its ending: files of one name in different folders keep apart."""
    taken: dict[str, int] = {}
    targets = []
    for path in files:
        taken[path.stem] = count = taken.get(path.stem, 0) + 1
        targets.append(out / (path.stem if count == 1 else f"{path.stem}-{count}"))
    return targets


def _photo(pipeline: FacePipeline, picture: Picture, path: Path, target: Path, scale: int | None) -> None:
    from facegen.images import resize, write_image
    from facegen.photo import restore

    done = restore(pipeline, picture.rgb, scale)
    alpha = picture.alpha
    if alpha is not None:
        alpha = resize(alpha[..., None].repeat(3, axis=2), (done.rgb.shape[1], done.rgb.shape[0]))[..., 0]
    written = write_image(
        target.with_name(f"{target.name}-x{done.scale}.png"), done.rgb, alpha, text={"facegen": f"upres {path.name}"}
    )
    if not done.raised + done.left:
        click.echo(f"{path}: no face found; raised with an empty guide.", err=True)
    if done.left:
        click.echo(f"{path}: {done.left} head(s) already at the size asked for; left as they are.", err=True)
    click.echo(written)


def _crop(pipeline: FacePipeline, picture: Picture, path: Path, target: Path, size: int) -> None:
    from facegen.errors import ImageError
    from facegen.images import write_image
    from facegen.photo import crop_heads

    heads = crop_heads(pipeline, picture.rgb, size)
    if not heads:
        raise ImageError(
            f"{path}: no face found, so there is no head to crop; leave --crop away to raise the whole photo."
        )
    for number, head in enumerate(heads):
        suffix = f"-{number + 1}" if len(heads) > 1 else ""
        click.echo(
            write_image(
                target.with_name(f"{target.name}-head{suffix}.png"), head, text={"facegen": f"upres --crop {path.name}"}
            )
        )


def _aligned(pipeline: FacePipeline, picture: Picture, path: Path, target: Path, size: int) -> None:
    from facegen.errors import ImageError
    from facegen.images import write_image
    from facegen.photo import raise_aligned

    height, width = picture.rgb.shape[:2]
    if height != width or height < 16:
        raise ImageError(f"{path}: {width}x{height}; --aligned expects a square head crop of 96 px and up.")
    raised = raise_aligned(pipeline, picture.rgb, size)
    click.echo(
        write_image(
            target.with_name(f"{target.name}-{size}.png"), raised, text={"facegen": f"upres --aligned {path.name}"}
        )
    )
