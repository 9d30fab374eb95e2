"""Split pictures into training pictures and those held out: by person, by a fixed rule, from the file names alone."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from facegen.arrays import RGB, Points
from facegen.data.manifest import MANIFEST, read_manifest
from facegen.data.reading import read_crop
from facegen.errors import ImageError, TrainingError, UsageError, printable
from facegen.files import PIPELINES, sha256_of
from facegen.media.images import PICTURE_SUFFIXES, read_image, resize
from facegen.recipe import parse_recipe, read_toml

Item = TypeVar("Item")
Warn = Callable[[str], None]
RECIPE = "recipe.toml"
"""In a weight folder: the training recipe with all its values."""
PEOPLE = PIPELINES / "data" / "people.toml"
"""File of the sources that show every person more than once -> number of people."""


def source_of(path: Path) -> str:
    """Name the source of a picture: the part of its file stem before the last underscore."""
    return path.stem.rpartition("_")[0] or path.stem


def count_sources(files: Iterable[Path]) -> Counter[str]:
    """Count pictures by their source, for a card."""
    return Counter(printable(source_of(file)) for file in files)


def person_of(path: Path) -> str:
    """Name the person in a picture: its file stem; in a source of `PEOPLE`, the number modulo the number of people."""
    source, _, number = path.stem.rpartition("_")
    people = _people_of_sources().get(source)
    return path.stem if people is None or not number.isdecimal() else f"{source}_{int(number) % people}"


@cache
def _people_of_sources() -> dict[str, int]:
    return read_toml(PEOPLE)


def split(
    paths: Iterable[Path], held_out: int, person: Callable[[Path], str] = person_of
) -> tuple[list[Path], list[Path]]:
    """Split pictures into training pictures and those held out; all pictures of a person are on one side.

    People are taken in the order of the SHA-256 of their names until at least `held_out` pictures are held out, so the
    choice depends neither on the order of the files nor on a random seed.

    Returns:
        (training, held out), each sorted.
    """
    people: dict[str, list[Path]] = {}
    for path in sorted(paths):
        people.setdefault(person(path), []).append(path)
    training: list[Path] = []
    out: list[Path] = []
    for name in sorted(people, key=lambda name: hashlib.sha256(os.fsencode(name)).hexdigest()):
        (out if len(out) < held_out else training).extend(people[name])
    return sorted(training), sorted(out)


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """Take `count` of the items at even distances, so that every source gets its share; all if there are fewer."""
    step = max(len(items) / count, 1)
    return [items[int(i * step)] for i in range(min(count, len(items)))]


class DataConfig(BaseModel):
    """Selects the training pictures below --data."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    include: tuple[str, ...] = ("*",)
    """Shell patterns; a picture is used if its path below the data folder matches one. "*" also matches "/"."""
    held_out: int = Field(default=0, ge=0)
    """Pictures held out of training, chosen by person from all pictures below the folder (facegen.data.split)."""
    limit: int | None = Field(default=None, ge=1)
    """Use at most this many pictures, for trials."""


def split_files(folder: Path, config: DataConfig) -> tuple[list[Path], list[Path]]:
    """List the training pictures and those held out that `config` includes, sorted; `limit` does not count.

    In a set with a manifest these are the crops that it keeps; all crops of a photo are on one side. The choice of
    those held out counts dropped crops too, so that later decisions do not change it.

    Raises:
        TrainingError: if the folder does not exist, or has no training picture that `config` includes.
    """
    if not folder.is_dir():
        raise TrainingError(f"--data {folder}: no such folder.")
    if (folder / MANIFEST).is_file():
        entries = {folder / entry.file: entry for entry in read_manifest(folder)}
        files = [file for file, entry in entries.items() if entry.kept]
        sides = split(entries, config.held_out, lambda file: person_of(Path(entries[file].source)))
    else:
        files = [f for f in folder.rglob("*") if f.suffix.lower() in PICTURE_SUFFIXES and f.is_file()]
        sides = split(files, config.held_out)
    fitting = {f for f in files if any(fnmatch(f.relative_to(folder).as_posix(), p) for p in config.include)}
    training, held_out = ([f for f in side if f in fitting] for side in sides)
    if not training:
        raise TrainingError(
            f"--data {folder}: of {len(files)} pictures, none to train on matches {', '.join(config.include)}; "
            f"{len(sides[1])} are held out. Give more pictures, or hold fewer out."
        )
    return training, held_out


@dataclass(frozen=True)
class Split:
    """The training pictures of some weights, and the pictures held out, each sorted."""

    training: list[Path]
    held_out: list[Path]
    text: str
    """How the pictures were chosen, for a protocol."""


def read_split(data: Path, weights: Path | None, held_out: int | None, include: Sequence[str]) -> Split:
    """Split the pictures below a folder as the training of `weights` did.

    Args:
        weights: a weight folder; if it holds its training recipe, the [data] table there applies. With None all
            are held out, or `held_out`.
        held_out, include: as in a training recipe, which they override.
    Raises:
        UsageError: if nothing states how many pictures were held out, or none were.
    """
    stated: dict[str, Any] = {"include": tuple(include)} if include else {}
    if weights is None and not held_out:
        config = DataConfig(**stated)
        text = f"all of {', '.join(config.include)}; no model says what it was trained on"
        return Split([], split_files(data, config)[0], text)
    if held_out is not None:
        stated["held_out"] = held_out
    elif weights is None or not (weights / RECIPE).is_file():
        raise UsageError(
            f"{weights}: has no {RECIPE} that says how many pictures were held out of training; say it yourself: "
            "--held-out 60."
        )
    config = data_config(weights, stated)
    if config.held_out == 0:
        raise UsageError(
            f"{weights}: its training held no picture out, so all figures would flatter it. Train with "
            "--set data.held_out=60, or name a number, --held-out 60, to measure it anyway."
        )
    by = "options" if stated else "the weights' recipe"
    text = f"{config.held_out} held out by person of {', '.join(config.include)} (stated by {by})"
    return Split(*split_files(data, config), text)


def data_config(weights: Path | None, stated: Mapping[str, Any]) -> DataConfig:
    """Read the [data] table of the recipe in a weight folder, if there is one; `stated` values override it."""
    recipe = None if weights is None else weights / RECIPE
    table = read_toml(recipe).get("data", {}) if recipe is not None and recipe.is_file() else {}
    return parse_recipe({**table, **stated}, DataConfig, source=f"{recipe} [data]")


def shared_split(data: Path, weights: Sequence[Path], held_out: int | None, include: Sequence[str]) -> Split:
    """Read the split that all these weights, if any, share; UsageError if they share none. See `read_split`."""
    first, *others = (read_split(data, folder, held_out, include) for folder in weights or (None,))
    for folder, split in zip(weights[1:], others, strict=True):
        if (split.training, split.held_out) != (first.training, first.held_out):
            raise UsageError(
                f"{weights[0]} and {folder} were trained on different pictures; name pictures that neither was trained "
                "on, by --include and the smaller --held-out of both, or measure them one by one."
            )
    return first


def known_landmarks(folder: Path, warn: Warn = print) -> dict[Path, Points]:
    """Read the landmarks in a set's manifest: (68, 2) for each file, as shares of the crop's side.

    Files that have changed since are omitted and reported to `warn`. {} without a manifest.
    """
    entries = read_manifest(folder) if (folder / MANIFEST).is_file() else []
    found = {folder / e.file: e for e in entries if len(e.landmarks) == 68 and e.size}
    changed = [file for file, entry in found.items() if file.is_file() and entry.sha256 not in ("", sha256_of(file))]
    for file in changed:
        del found[file]
    if changed:
        warn(f"{changed[0]}: {len(changed)} crop(s) changed since their landmarks were found; found anew for this run. "
             f"facegen data clean {folder} brings the manifest up to date.")  # fmt: skip
    return {file: np.array(e.landmarks) / e.size for file, e in found.items()}


def training_files(folder: Path, config: DataConfig) -> list[Path]:
    """List the files to train on, sorted."""
    return split_files(folder, config)[0][: config.limit]


def _read(file: Path) -> RGB:
    return read_image(file).rgb


def readable(
    files: Iterable[Path], warn: Warn, read: Callable[[Path], RGB] = _read
) -> Iterator[tuple[Path, RGB]]:
    """Yield each file with its picture (H, W, 3); those that cannot be read are reported to `warn`.

    A few are read at the same time, in threads.
    """

    def attempt(file: Path) -> RGB | ImageError:
        try:
            return read(file)
        except ImageError as error:
            return error

    coming, together = iter(files), 2 * (os.cpu_count() or 1)
    with ThreadPoolExecutor() as pool:
        while chunk := list(islice(coming, together)):
            for file, found in zip(chunk, pool.map(attempt, chunk), strict=True):
                if isinstance(found, ImageError):
                    warn(str(found))
                else:
                    yield file, found


def load_square(files: Sequence[Path], side: int, warn: Warn = print) -> tuple[RGB, list[Path]]:
    """Read square crops into one array (N, side, side, 3), and list the N files.

    Files that cannot be used are reported to `warn` and omitted, and those enlarged are counted; TrainingError if none
    can be used.
    """
    pictures, kept, enlarged = [], [], 0
    for file, rgb in readable(files, warn, read_crop):
        pictures.append(resize(rgb, (side, side)))
        kept.append(file)
        enlarged += len(rgb) < side
    if not pictures:
        raise TrainingError(f"None of the {len(files)} pictures could be used.")
    if enlarged:
        warn(f"{enlarged} of {len(kept)} pictures are smaller than {side} px: enlarged, they lack its detail.")
    return np.stack(pictures), kept
