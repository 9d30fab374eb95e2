"""`facegen replay`."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from facegen.cli.options import PATH, make_folder, out_option, overwrite_option
from facegen.cli.printing import print_path
from facegen.errors import FileError, RecipeError, UsageError
from facegen.files import is_plain, replacing, sha256_of

if TYPE_CHECKING:
    from facegen.media.record import Record, SourceRecord

REPLAYED = {
    "sample": ("seeds", "size", "format", "recipe", "set"),
    "studio": ("size", "format", "recipe", "set"),
    "upres": (
        "crop", "aligned", "size", "scale", "width", "faces", "face-size-min", "background", "mask", "format",
        "strip", "recipe", "set",
    ),
}  # fmt: skip
"""Command that a record may run -> the options it may give; others are refused, as a picture may be a stranger's."""
DEVICES = re.compile(r"cpu|mps|cuda(:\d{1,3})?")
FILMS = ("video", "grid-walk")
"""Commands that replay does not run, but prints for the user."""
REMOVED_KEYS = {"calm": 0, "choice.strategy": "joint"}
"""Recipe key of earlier versions -> the value at which it had no effect."""


@click.command()
@click.argument("picture", type=PATH)
@click.option(
    "--source", type=PATH,
    help="The photo it was made from.  [default: the recorded name, next to the picture or in this folder]",
)
@click.option("--mask", type=PATH, help="The mask it was made with.  [default: as for --source]")
@out_option
@click.option("--device", help="auto, cpu, cuda, cuda:1 or mps.  [default: the one that made the picture]")
@click.option(
    "--trust", is_flag=True,
    help="Read weights from folders that the record names, not only the shipped ones.",
)
@overwrite_option
def replay(
    picture: Path, source: Path | None, mask: Path | None, out: Path, device: str | None, trust: bool, overwrite: bool
) -> None:
    """Make PICTURE again from the record in its file, and compare the bytes.

    The exit status is 1 if they are not the same.
    """
    from facegen.media.record import check_target

    target = out / f"{picture.stem}-replay{picture.suffix}"

    def ready() -> None:
        make_folder(out)
        check_target(target, overwrite)

    with TemporaryDirectory(prefix="facegen-") as folder:
        done = remake(picture, Path(folder), source, mask, device, trust=trust, ready=ready)
        _copy(done.path, target)
    if done.difference:
        raise FileError(f"{target}: not the same bytes as {picture}: {done.difference}")
    print_path(target)


@dataclass(frozen=True)
class Remade:
    """A picture that was made again."""

    path: Path
    difference: str
    """Why the bytes are not the same; empty if they are."""


def remake(
    picture: Path,
    folder: Path,
    source: Path | None,
    mask: Path | None,
    device: str | None,
    *,
    trust: bool = False,
    trusted: Iterable[str] = (),
    ready: Callable[[], object] = lambda: None,
) -> Remade:
    """Make a picture again from its record.

    Args:
        folder: an empty folder, for the result and intermediate files.
        source, mask: the photo and the mask; None searches for the files that the record names.
        device: None takes the one that made the picture.
        trust: read weights from any folder that the record names.
        trusted: names of weights that may be read besides the shipped ones.
        ready: called after all checks, before the work.
    """
    from facegen.media.record import check_weights, read_record

    record = read_record(picture)
    values = _values(record, picture)
    recipe = _recipe(record, picture, folder, values["overrides"], trusted=None if trust else trusted)
    check_weights(record)
    photo = recorded_input(record.source, picture, "source", source)
    values["mask"] = recorded_input(record.mask, picture, "mask", mask)
    ready()
    with _threads(record.threads):
        made = _make(record, picture, photo, values, recipe, device or _device(record, picture))
    same = [path for path in made if path.read_bytes() == picture.read_bytes()]
    path = (same or [path for path in made if path.name == picture.name] or made)[0]
    return Remade(path, "" if same else _differences(record, picture, path))


def _values(record: Record, picture: Path) -> dict[str, Any]:
    """Parse the recorded command line into the parameters of its command; refuse options that are not allowed."""
    from facegen.cli.sample import sample
    from facegen.cli.upres import upres

    name, *words = record.argv
    if name in FILMS:
        again = shlex.join(("facegen", *record.argv))
        raise FileError(f"{picture}: a film of a walk is not made again by replay; run its command: {again}")
    if name not in REPLAYED:
        raise FileError(f"{picture}: its record names the command {name!r}, expected {', '.join(REPLAYED)}.")
    for key, named in (("source", name == "upres"), ("mask", "--mask" in words)):
        if (getattr(record, key) is not None) != named:
            raise FileError(f"{picture}: its record is damaged ({key}); get the picture again.")
    command, photo = (upres, ["--", "photo"]) if name == "upres" else (sample, [])
    flags = {word: param.is_flag for param in command.params if isinstance(param, click.Option) for word in param.opts}
    given: list[str] = []
    rest = iter(words[1:] if photo else words)
    for word in rest:
        if not word.startswith("--") or word[2:] not in REPLAYED[name]:
            raise FileError(f"{picture}: its record holds {word!r}, which replay does not accept.")
        value = "" if flags[word] else next(rest, "")
        if word != "--set" or value.partition("=")[0].strip() not in REMOVED_KEYS:
            given.append(word if flags[word] else f"{word}={value}")
    try:
        # without --help: click would keep the names that this option has here
        return command.make_context(name, given + photo, help_option_names=[]).params
    except click.ClickException as error:
        raise FileError(f"{picture}: its record is damaged ({error.format_message()}); get it again.") from None


def _recipe(
    record: Record, picture: Path, folder: Path, overrides: tuple[str, ...], trusted: Iterable[str] | None
) -> Path:
    """Write the recorded recipe; refuse unknown keys, and weights neither shipped nor `trusted` (None: all are)."""
    import tomli_w

    from facegen.media.record import weight_names
    from facegen.recipe import PipelineRecipe, load_recipe
    from facegen.weights import weight_folders

    recipe = deepcopy(record.recipe)
    for name, neutral in REMOVED_KEYS.items():
        table, _, key = name.rpartition(".")
        values = recipe.get(table, {}) if table else recipe
        if values.get(key) == neutral:
            del values[key]
    path = folder / "recipe.toml"
    try:
        path.write_text(tomli_w.dumps(recipe), encoding="utf-8")
        wanted = load_recipe(path, PipelineRecipe, overrides)
    except (RecipeError, TypeError, ValueError) as error:
        reason = "; ".join(line.removeprefix(f"{path}: ") for line in str(error).splitlines()).rstrip(".")
        raise FileError(
            f"{picture}: was made by facegen {record.facegen} with a recipe that this version cannot read: {reason}; "
            f"install that version to make it again, or run its command: facegen {shlex.join(record.argv)}"
        ) from None
    known = {weights.name for weights in weight_folders()}.union(trusted or ())
    for name in {*weight_names(wanted, drawn=False), *record.weights} - known if trusted is not None else ():
        raise UsageError(f"{picture}: its record names weights in a folder, {name!r}; if you trust it, add --trust.")
    return path


def _device(record: Record, picture: Path) -> str:
    if not DEVICES.fullmatch(record.device):
        raise UsageError(f"{picture}: its record names the device {record.device!r}; say with --device which to use.")
    return record.device


def recorded_input(wanted: SourceRecord | None, picture: Path, option: str, given: Path | None) -> Path | None:
    """Find the photo or the mask that the record names, and check its hash."""
    word = "photo" if option == "source" else option
    if wanted is None:
        if given is not None:
            raise UsageError(f"--{option} {given}: {picture} was not made from a {word}; omit --{option}.")
        return None
    if given is None:
        for path in (picture.parent / wanted.name, Path(wanted.name)):
            if is_plain(path) and sha256_of(path) == wanted.sha256:
                return path
        raise UsageError(f"{picture}: was made from a {word} named {wanted.name!r}; say with --{option} where it is.")
    found = sha256_of(given)
    if found != wanted.sha256:
        hashes = f"its SHA-256 is {found}, expected {wanted.sha256}."
        raise UsageError(f"--{option} {given}: is not the {word} that {picture} was made from: {hashes}")
    return given


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """Give PyTorch the recorded number of threads, if there is one, for a while."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _make(
    record: Record, picture: Path, photo: Path | None, values: Mapping[str, Any], recipe: Path, device: str
) -> list[Path]:
    """Run the recorded command in the folder of the recipe file; return the files that it wrote."""
    from facegen.cli.upres import upres_options
    from facegen.drawn import Order, write_drawn
    from facegen.jobs import Task
    from facegen.media.video_reader import is_clip
    from facegen.photo_files import FileUpscaler
    from facegen.pipeline import FacePipeline
    from facegen.runtime import resolve_device
    from facegen.video.walk import latent_in

    out, device = recipe.with_name("out"), resolve_device(device)
    if photo is None or record.source is None:
        pipeline = FacePipeline.load(recipe, values["overrides"], device=device)
        command, file_format = record.argv[0], values["file_format"]
        options = {"size": values["size"], "format": file_format}
        options |= {"recipe": values["recipe"], "set": values["overrides"]}
        if command == "studio":  # a face without a seed
            z = latent_in(pipeline, picture)
        else:
            z, options = pipeline.latent(values["seeds"][0]), {"seeds": values["seeds"][0]} | options
        return [write_drawn(pipeline, Order(z, out / f"drawn.{file_format}", options), command).path]
    copy = _copied(photo, recipe.parent / "source", record.source)
    mask = None if record.mask is None else _copied(values["mask"], recipe.parent / "mask", record.mask)
    wanted = replace(upres_options(values, recipe, device), mask=mask)
    if wanted.suffix is None and not is_clip(picture):  # earlier versions wrote PNG by default
        wanted = replace(wanted, suffix=picture.suffix)
    upscaler = FileUpscaler(wanted, inputs=())
    return list(upscaler(Task(copy, out / copy.stem)).written)


def _copied(path: Path, folder: Path, record: SourceRecord) -> Path:
    """Copy a file to its recorded name, as the new picture's record will contain that name."""
    folder.mkdir()
    return _copy(path, folder / record.name)


def _copy(source: Path, target: Path) -> Path:
    try:
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)
    except OSError as error:
        raise FileError(f"{source}: cannot be copied to {target} ({error.strerror}); free some space.") from None
    return target


def _differences(record: Record, picture: Path, target: Path) -> str:
    """Explain how a picture that was made again differs from the first."""
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
        return f"{changes}; its size differs."
    return f"{changes}; pixel values differ by at most {np.abs(old - new).max()} of 255."


def _changes(before: Mapping[str, Any], after: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Yield each value that differs, as in "recipe.fidelity: 1.0, now 0.5"."""
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, new, f"{where}{key}.")
        elif old != new and key != "upscaled":
            yield f"{where}{key}: {old}, now {new}"
