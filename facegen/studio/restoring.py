"""Restore photos of the page as `facegen upres` does, make pictures again, and pack the results."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facegen.errors import FacegenError, FileError, ImageError
from facegen.files import sha256_of
from facegen.jobs import Outcome, Task, attempt, find_tasks
from facegen.media.record import read_record
from facegen.media.video_reader import is_clip
from facegen.photo import Background, PhotoOptions
from facegen.photo_files import FileUpscaler
from facegen.recipe import PipelineRecipe, load_recipe
from facegen.results import UpresOptions
from facegen.studio.photos import Photo, without_folder
from facegen.studio.work import Job, Studio

BLOCKS_PER_FACE = 4
"""Blocks of a background that take about as long as a face."""


@dataclass(frozen=True)
class RestoreSettings:
    """The options of the page, named as those of `facegen upres`."""

    preset: str
    scale: float | None = None
    width: int | None = None
    """Width of the results in pixels, instead of the scale."""
    fidelity: float | None = None
    """None takes that of the recipe."""
    background: Background = "lanczos"
    format: Literal["auto", "png", "jpg", "webp", "tif"] = "auto"
    """auto keeps the photo's format if it can be written."""

    def options(self, studio: Studio, faces: str = "all", mask: Path | None = None) -> UpresOptions:
        """Return exactly the options that `facegen upres` would have, as they become part of the record."""
        path = studio.recipe_path(self.preset)
        default = load_recipe(path, PipelineRecipe).fidelity
        changed = self.fidelity is not None and self.fidelity != default
        scale = int(self.scale) if self.scale and self.scale == int(self.scale) else self.scale  # as the command does
        return UpresOptions(
            recipe=self.preset,
            recipe_path=path,
            overrides=(f"fidelity={json.dumps(self.fidelity)}",) if changed else (),
            device=studio.device,
            photo=PhotoOptions(scale=scale, width=self.width, faces=faces, background=self.background),
            mask=mask,
            suffix=None if self.format == "auto" else f".{self.format}",
        )


def restore(studio: Studio, job: Job, photos: Sequence[Photo], settings: RestoreSettings) -> Path | None:
    """Restore photos one after the other; if one fails, its `error` says why.

    Returns:
        a ZIP of the results and masks, if there is more than one file.
    """
    folder, results = studio.new_folder(), list[Path]()
    tasks = find_tasks([photo.path for photo in photos], folder, clips=False)
    for number, (photo, task) in enumerate(zip(photos, tasks, strict=True)):
        name = "" if len(photos) == 1 else f"Photo {number + 1} of {len(photos)} · "
        meter = Meter(job, len(photo.heads) - len(photo.off), name, number / len(photos), 1 / len(photos))
        mask = None
        if photo.mask:  # named like the result, for the record and the ZIP
            mask = shutil.copyfile(photo.mask, task.target.with_name(f"{task.target.name}-mask.png"))
        options = settings.options(studio, photo.faces, mask)
        outcome = _restore_one(studio, meter, task, options)
        job.check()
        photo.error, photo.remark = without_folder(outcome.error, photo.path), ""
        if outcome.written:
            photo.show(outcome.written[-1], folder)
            results += [outcome.written[-1], *([mask] if mask else [])]
    return _archive(results, folder / "facegen.zip") if len(results) > 1 else None


def restore_file(
    studio: Studio, job: Job, path: Path, settings: RestoreSettings, faces: str = "all", mask: Path | None = None
) -> Path:
    """Restore one photo and return the result.

    Args:
        faces: as `PhotoOptions.faces`.
        mask: a picture, white where the photo is protected.
    Raises:
        FileError: if it cannot be restored; names the file without its folder.
    """
    task = find_tasks([path], studio.new_folder(), clips=False)[0]
    outcome = _restore_one(studio, Meter(job), task, settings.options(studio, faces, mask))
    job.check()
    if outcome.error:
        raise FileError(without_folder(outcome.error, path))
    return outcome.written[-1]


def _restore_one(studio: Studio, meter: Meter, task: Task, options: UpresOptions) -> Outcome:
    """Restore one photo and report its progress."""

    def work(task: Task) -> Outcome:
        if is_clip(task.source):
            raise ImageError(f"{task.source}: is a clip; facegen upres upscales it.")
        upscaler = FileUpscaler(options, [], meter.part)
        upscaler.pipeline = studio.pipeline(options.recipe, options.overrides)
        meter.begin()
        return upscaler(task)

    return attempt(work, task)


def make_again(studio: Studio, job: Job, picture: Path, others: Iterable[Path]) -> tuple[Path, str]:
    """Make a picture again from its record.

    Args:
        others: files that include the photo and the mask that it was made from.
    Returns:
        the new file, and a remark whether its bytes are the same.
    Raises:
        FileError: if the photo or the mask is missing, or the picture cannot be made again.
    """
    job.report(0, f"Making {picture.name} again")
    assert studio.remake is not None
    folder, hashes = studio.new_folder(), {sha256_of(other): other for other in others}
    try:
        record = read_record(picture)
        inputs = (record.source, record.mask)
        if missing := [file.name for file in inputs if file is not None and file.sha256 not in hashes]:
            raise FileError(f"{picture.name}: was made from {' and '.join(missing)}; drop that here too.")
        source, mask = (None if file is None else hashes[file.sha256] for file in inputs)
        done = studio.remake(picture, folder, source, mask, studio.device, trusted=studio.weights)
    except FacegenError as error:
        raise FileError(without_folder(error, picture)) from None
    remark = f"Made again, but the bytes differ: {done.difference}" if done.difference else "The same bytes again."
    return done.path.rename(folder / f"{picture.stem}-replay{picture.suffix}"), remark


class Meter:
    """Computes a job's progress from the tiles of faces and the blocks of a background.

    Args:
        faces: expected number of faces.
        name: the photo's, as shown before each step; "" for a single photo.
        start, span: the job's progress before the photo, and the photo's share of it.
    """

    def __init__(self, job: Job, faces: int = 1, name: str = "", start: float = 0, span: float = 1) -> None:
        self._job, self._name, self._start, self._span = job, name, start, span
        self._faces, self._face, self._before = faces, 1, 0.0

    def begin(self) -> None:
        """Report what comes first."""
        self._report(0, "Faces" if self._faces else "Background")

    def part(self, _source: Path, part: str, done: int, of: int | None) -> None:
        """Report how many blocks of the background, or tiles of a face, are done; an `OnPart`."""
        of = of or done
        if part == "background":
            share = done / (of + BLOCKS_PER_FACE * self._faces)
            self._report(share, f"Background, {done} of {of} blocks")
            if done == of:
                self._before = share
            return
        faces = max(self._faces, self._face)
        share = self._before + (1 - self._before) * (self._face - 1 + done / of) / faces
        self._report(share, f"Face {self._face} of {faces} · {done} of {of} tiles")
        self._face += done == of

    def _report(self, share: float, text: str) -> None:
        self._job.report(self._start + self._span * share, f"{self._name}{text}")


def _archive(files: Iterable[Path], target: Path) -> Path:
    """Pack files into a ZIP."""
    with zipfile.ZipFile(target, "w") as bundle:  # pictures are compressed already
        for file in files:
            bundle.write(file, file.name)
    return target
