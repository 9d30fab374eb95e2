"""`facegen replay`."""

from __future__ import annotations

import io
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from facegen.cli.options import PATH, make_folder, out_option
from facegen.errors import FileError, UsageError
from facegen.files import replacing, sha256_of

if TYPE_CHECKING:
    from facegen.media.record import Record

REPLAYED = ("sample", "upres")
"""Commands that a record may run: a picture may come from a stranger."""
FILMS = ("video", "grid-walk")
"""Commands that are printed for the user to run."""
GONE = {"calm": 0, "choice.strategy": "joint"}
"""Recipe keys of earlier versions -> the value at which they make no difference."""


@click.command()
@click.argument("picture", type=PATH)
@click.option(
    "--source", type=PATH,
    help="The photo it was made from.  [default: the file of that name next to the picture, or in this folder]",
)
@out_option
@click.option("--device", help="auto, cpu, cuda, cuda:1 or mps.  [default: the one that made the picture]")
def replay(picture: Path, source: Path | None, out: Path, device: str | None) -> None:
    """Make PICTURE again from the record in its file, and compare the bytes.

    The exit status is 1 if they are not the same.
    """
    from facegen.media.record import check_weights, read_record

    record = read_record(picture)
    if record.argv[0] in FILMS:
        command = shlex.join(("facegen", *record.argv))
        raise FileError(f"{picture}: a film of a walk is not made again by replay; run its command: {command}")
    if record.argv[0] not in REPLAYED:
        expected = " or ".join(REPLAYED)
        raise FileError(f"{picture}: its record names the command {record.argv[0]!r}, expected {expected}.")
    _check_recipe(record, picture)
    check_weights(record)
    photo = _source(record, picture, source)
    make_folder(out)
    with TemporaryDirectory(prefix="facegen-") as folder:
        made = _make(record, photo, device or record.device, Path(folder))
        if not made:
            raise FileError(f"{picture}: the command in its record, {record.argv}, writes no picture.")
        same = [path for path in made if path.read_bytes() == picture.read_bytes()]
        result = (same or [path for path in made if path.name == picture.name] or made)[0]
        target = out / f"{picture.stem}-replay{picture.suffix}"
        with replacing(target) as temporary:
            shutil.copyfile(result, temporary)
    if not same:
        raise FileError(f"{target}: not the same bytes as {picture}: {_differences(record, picture, target)}")
    click.echo(target)


def _check_recipe(record: Record, picture: Path) -> None:
    """Refuse a record whose recipe has values that this version of facegen does not know."""
    from pydantic import ValidationError

    from facegen.recipe import PipelineRecipe

    recipe = deepcopy(record.recipe)
    for name, neutral in GONE.items():
        table, _, key = name.rpartition(".")
        values = recipe.get(table, {}) if table else recipe
        if values.get(key) == neutral:
            del values[key]
    try:
        PipelineRecipe.model_validate(recipe)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise FileError(
            f"{picture}: was made by an earlier facegen ({record.facegen}) with {where} = {first['input']!r}, which "
            "this one does not have; install the earlier one to make it again, or run its command anew: "
            f"facegen {shlex.join(record.argv)}"
        ) from None


def _source(record: Record, picture: Path, given: Path | None) -> Path | None:
    """Find the photo that the record names, and check its hash."""
    wanted = record.source
    if wanted is None:
        if given is not None:
            raise UsageError(f"--source {given}: {picture} was not made from a photo; omit --source.")
        return None
    if given is None:
        for path in (picture.parent / wanted.name, Path(wanted.name)):
            if path.is_file() and sha256_of(path) == wanted.sha256:
                return path
        raise UsageError(f"{picture}: was made from a photo named {wanted.name!r}; say with --source where it is.")
    found = sha256_of(given)
    if found != wanted.sha256:
        hashes = f"its SHA-256 is {found}, expected {wanted.sha256}."
        raise UsageError(f"--source {given}: is not the photo that {picture} was made from: {hashes}")
    return given


def _make(record: Record, photo: Path | None, device: str, folder: Path) -> list[Path]:
    """Run the recorded command; return the files it wrote below `folder`."""
    from facegen.cli.main import cli

    command, *rest = _without_gone(record.argv)
    out = folder / "out"
    if photo is not None and record.source is not None:
        copy = folder / record.source.name  # the recorded name becomes part of the new picture's own record
        shutil.copyfile(photo, copy)
        rest = [str(copy), *rest[1:]]
    with redirect_stdout(io.StringIO()):
        status = cli.main([command, *rest, "--out", str(out), "--device", device], standalone_mode=False)
    if status:
        sys.exit(status)
    return sorted(path for path in out.rglob("*") if path.is_file())


def _without_gone(words: Iterable[str]) -> list[str]:
    """Remove the --set options of recipe keys that are gone."""
    kept: list[str] = []
    for word in words:
        if kept and kept[-1] == "--set" and word.partition("=")[0].strip() in GONE:
            kept.pop()
        else:
            kept.append(word)
    return kept


def _differences(record: Record, picture: Path, target: Path) -> str:
    """Explain why a picture made again is not the same, from the two files."""
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
    """Yield every value that differs, as "recipe.fidelity: 1.0, now 0.5"."""
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, new, f"{where}{key}.")
        elif old != new and key != "upscaled":
            yield f"{where}{key}: {old}, now {new}"
