"""`facegen replay`."""

from __future__ import annotations

import io
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from facegen.cli.options import make_folder
from facegen.errors import ImageError, UsageError
from facegen.files import replacing

if TYPE_CHECKING:
    from facegen.media.record import Record

REPLAYED = ("sample", "upres")
"""Commands that a record may name: a picture may come from a stranger."""
FILMS = ("video", "grid-walk")
"""Commands whose results are named, but not made again."""


@click.command()
@click.argument("picture", type=click.Path(path_type=Path))
@click.option(
    "--source",
    type=click.Path(path_type=Path),
    default=None,
    help="The photo it was made from.  [default: the file of that name beside the picture, or here]",
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder to write to."
)
@click.option("--device", default=None, help="auto, cpu, cuda, cuda:1, mps.  [default: the one it was made on]")
def replay(picture: Path, source: Path | None, out: Path, device: str | None) -> None:
    """Make PICTURE again from the record in its file; fails if the bytes are not the same."""
    from facegen.media.record import check_weights, read_record

    record = read_record(picture)
    if record.argv[0] in FILMS:
        command = shlex.join(("facegen", *record.argv))
        raise ImageError(f"{picture}: a film of a walk is not made again by replay; run its command: {command}")
    if record.argv[0] not in REPLAYED:
        raise ImageError(
            f"{picture}: its record names the command {record.argv[0]!r}, expected {' or '.join(REPLAYED)}."
        )
    check_weights(record)
    photo = _source(record, picture, source)
    make_folder(out)
    with TemporaryDirectory(prefix="facegen-") as folder:
        made = _make(record, photo, device or record.device, Path(folder))
        if not made:
            raise ImageError(f"{picture}: the command in its record, {record.argv}, writes no picture.")
        same = [path for path in made if path.read_bytes() == picture.read_bytes()]
        result = (same or [path for path in made if path.name == picture.name] or made)[0]
        target = out / f"{picture.stem}-replay{picture.suffix}"
        with replacing(target) as temporary:
            shutil.copyfile(result, temporary)
    if not same:
        raise ImageError(f"{target}: not the same bytes as {picture}: {_what_differs(record, picture, target)}")
    click.echo(target)


def _source(record: Record, picture: Path, given: Path | None) -> Path | None:
    """The photo that the record names, checked by its hash."""
    from facegen.files import sha256_of

    wanted = record.source
    if wanted is None:
        if given is not None:
            raise UsageError(f"--source {given}: {picture} was not made from a photo; leave --source away.")
        return None
    if given is None:
        for path in (picture.parent / wanted.name, Path(wanted.name)):
            if path.is_file() and sha256_of(path) == wanted.sha256:
                return path
        raise UsageError(f"{picture}: was made from a photo named {wanted.name!r}; say with --source where it is.")
    found = sha256_of(given)
    if found != wanted.sha256:
        raise UsageError(
            f"--source {given}: is not the photo that {picture} was made from: its SHA-256 is {found}, "
            f"expected {wanted.sha256}."
        )
    return given


def _make(record: Record, photo: Path | None, device: str, folder: Path) -> list[Path]:
    """Run the recorded command; returns the pictures it wrote into `folder`."""
    from facegen.cli.main import cli

    command, *rest = record.argv
    out = folder / "out"
    if photo is not None and record.source is not None:
        copy = folder / record.source.name  # under the recorded name, which becomes part of the picture's own record
        shutil.copyfile(photo, copy)
        rest = [str(copy), *rest[1:]]
    with redirect_stdout(io.StringIO()):
        status = cli.main([command, *rest, "--out", str(out), "--device", device], standalone_mode=False)
    if status:
        sys.exit(status)
    return sorted(path for path in out.rglob("*") if path.is_file())


def _what_differs(record: Record, picture: Path, target: Path) -> str:
    """Why a picture made again is not the same, as far as the two files tell."""
    import numpy as np

    from facegen.media.images import read_image
    from facegen.media.record import read_record
    from facegen.media.video_reader import is_clip

    before, after = (values.model_dump(mode="json") for values in (record, read_record(target)))
    changes = "; ".join(_changes(before, after)) or "the records are the same"
    if is_clip(picture):
        return f"{changes}."
    old, new = (read_image(path, keep_profile=True).rgb.astype(int) for path in (picture, target))
    if old.shape != new.shape:
        return f"{changes}; its size is another."
    return f"{changes}; samples differ by at most {np.abs(old - new).max()} of 255."


def _changes(before: Mapping[str, Any], after: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Every value that differs, as "recipe.fidelity: 1.0, now 0.5"."""
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, new, f"{where}{key}.")
        elif old != new and key != "upscaled":
            yield f"{where}{key}: {old}, now {new}"
