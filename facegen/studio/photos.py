"""Photos on the page: find and frame their faces, restore them as `facegen upres` does, pack the results."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from facegen.arrays import RGB
from facegen.errors import FacegenError, FileError, ImageError
from facegen.faces.align import HeadFrame
from facegen.faces.detect import heads_in_photo
from facegen.files import sha256_of
from facegen.jobs import Outcome, Task, attempt, find_tasks
from facegen.media.images import picture_text, read_image, resize, write_image
from facegen.media.record import COMMAND_KEY, read_record
from facegen.media.video_reader import is_clip
from facegen.photo import Background, PhotoOptions
from facegen.photo_files import FileUpscaler
from facegen.recipe import PipelineRecipe, load_recipe
from facegen.results import UpresOptions
from facegen.studio.work import Job, Studio

PREVIEW, SHOWN = 1280, 2560
"""Longest side of the picture with frames, and of before and after, in pixels."""
ON, OFF = (255, 176, 59), (150, 150, 150)
"""Colours of the frames of faces that are on and off."""
PROTECTED = np.uint8(140)
"""Grey that is laid over protected areas."""
BLOCKS_PER_FACE = 4
"""Blocks of a background that take about as long as a face."""


@dataclass(eq=False)
class Photo:
    """A photo that was dropped on the page."""

    path: Path
    preview: Path | None = None
    """A JPEG of at most `PREVIEW`; None before `load`, or if the photo cannot be read."""
    heads: tuple[HeadFrame, ...] = ()
    """In pixels of the preview, the largest first."""
    off: set[int] = field(default_factory=set)
    """Numbers of the heads that are switched off, counted from 1."""
    command: str = ""
    """The facegen command that made it, from its record; "" for files of other programs."""
    error: str = ""
    remark: str = ""
    """A note about the result."""
    mask: Path | None = None
    """A picture of the preview's size, white where the photo is protected."""
    result: Path | None = None
    pair: tuple[Path, Path] | None = None
    """Before and after, of the same size."""

    @property
    def faces(self) -> str:
        """The heads that are on, as `PhotoOptions.faces`."""
        on = [str(number) for number in range(1, len(self.heads) + 1) if number not in self.off]
        return (",".join(on) or "0") if self.off else "all"

    def load(self, folder: Path) -> None:
        """Read the photo, find its faces, and write the preview into a folder for this photo alone."""
        try:
            rgb = read_image(self.path).rgb
            self.command = picture_text(self.path).get(COMMAND_KEY, "")
            heads = heads_in_photo(rgb)
            factor = min(1.0, PREVIEW / max(rgb.shape[:2]))
            self.preview = write_image(folder / f"{self.path.stem}-preview.jpg", fitted(rgb, PREVIEW))
            self.heads = tuple(head.frame.scaled(factor) for head in heads)
        except FacegenError as error:
            self.error = without_folder(error, self.path)

    def framed(self) -> RGB | None:
        """Draw a numbered frame around each head on the preview, and grey over protected areas."""
        if self.preview is None:
            return None
        rgb = read_image(self.preview).rgb
        if self.mask is not None:
            rgb = np.where(read_image(self.mask).rgb == 255, PROTECTED + rgb // 3, rgb).astype(np.uint8)
        width = max(2, round(max(rgb.shape[:2]) / 300))
        for number, head in enumerate(self.heads, start=1):
            colour = OFF if number in self.off else ON
            corners = _corners(head).round().astype(np.int32)
            cv2.polylines(rgb, [corners], True, colour, width if number not in self.off else 1, cv2.LINE_AA)
            x, y = corners[np.argmin(corners.sum(axis=1))]
            place = (int(max(x, 0)) + 3 * width, int(max(y, 0)) + 14 * width)
            cv2.putText(rgb, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, width * 0.4, colour, width, cv2.LINE_AA)
        return rgb

    def show(self, result: Path, folder: Path) -> None:
        """Take a result, and write its pictures before and after."""
        self.result, self.pair = result, before_and_after(self.path, result, folder / "shown")

    def toggle(self, x: float, y: float) -> None:
        """Switch the smallest head at a point of the preview on or off."""
        inside = [
            number
            for number, head in enumerate(self.heads, start=1)
            if cv2.pointPolygonTest(_corners(head).astype(np.float32), (x, y), False) >= 0
        ]
        if inside:
            self.off ^= {inside[-1]}


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
        meter = Meter(job, name, number / len(photos), 1 / len(photos))
        mask = None
        if photo.mask:  # named like the result, for the record and the ZIP
            mask = shutil.copyfile(photo.mask, task.target.with_name(f"{task.target.name}-mask.png"))
        options = settings.options(studio, photo.faces, mask)
        outcome = _restore_one(studio, meter, task, options, len(photo.heads) - len(photo.off))
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
    outcome = _restore_one(studio, Meter(job, "", 0, 1), task, settings.options(studio, faces, mask), 1)
    job.check()
    if outcome.error:
        raise FileError(without_folder(outcome.error, path))
    return outcome.written[-1]


def _restore_one(studio: Studio, meter: Meter, task: Task, options: UpresOptions, count: int) -> Outcome:
    """Restore one photo and report its progress; `count` is the expected number of faces."""

    def work(task: Task) -> Outcome:
        if is_clip(task.source):
            raise ImageError(f"{task.source}: is a clip; facegen upres upscales it.")
        upscaler = FileUpscaler(options, [], meter.part)
        upscaler.pipeline = studio.pipeline(options.recipe, options.overrides)
        meter.begin(count)
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
        name: the photo's, as shown before each step; "" for a single photo.
        start, span: the job's progress before the photo, and the photo's share of it.
    """

    def __init__(self, job: Job, name: str, start: float, span: float) -> None:
        self._job, self._name, self._start, self._span = job, name, start, span
        self._faces, self._face, self._before = 0, 1, 0.0

    def begin(self, faces: int) -> None:
        """Set the number of faces."""
        self._faces = faces
        self._report(0, "Faces" if faces else "Background")

    def part(self, _source: Path, part: str, done: int, of: int | None) -> None:
        """Report blocks of the background, or tiles of a face; an `OnPart`."""
        (self.block if part == "background" else self.tiles)(done, of or done)

    def block(self, done: int, of: int) -> None:
        """Report that `done` of the background's blocks are done."""
        share = done / (of + BLOCKS_PER_FACE * self._faces)
        self._report(share, f"Background, {done} of {of} blocks")
        if done == of:
            self._before = share

    def tiles(self, done: int, of: int) -> None:
        """Report that `done` of a face's tiles are done."""
        share = (self._face - 1 + done / of) / max(self._faces, self._face)
        text = f"Face {self._face} of {max(self._faces, self._face)} · {done} of {of} tiles"
        self._report(self._before + (1 - self._before) * share, text)
        self._face += done == of

    def _report(self, share: float, text: str) -> None:
        self._job.report(self._start + self._span * share, f"{self._name}{text}")


def before_and_after(before: Path, after: Path, folder: Path) -> tuple[Path, Path]:
    """Write two JPEGs of the same size, at most `SHOWN`, for a slider."""
    made = fitted(read_image(after).rgb, SHOWN)
    source = resize(read_image(before).rgb, (made.shape[1], made.shape[0]))
    return (
        write_image(folder / f"{after.stem}-before.jpg", source),
        write_image(folder / f"{after.stem}-after.jpg", made),
    )


def _archive(files: Iterable[Path], target: Path) -> Path:
    """Pack files into a ZIP."""
    with zipfile.ZipFile(target, "w") as bundle:  # pictures are compressed already
        for file in files:
            bundle.write(file, file.name)
    return target


def without_folder(error: object, path: Path) -> str:
    """Return an error's text with the file's name for its path, which the page must not show."""
    return str(error).replace(str(path), path.name)


def fitted(rgb: RGB, side: int) -> RGB:
    """Shrink a picture whose longer side exceeds `side`."""
    factor = side / max(rgb.shape[:2])
    size = (max(1, round(rgb.shape[1] * factor)), max(1, round(rgb.shape[0] * factor)))
    return rgb if factor >= 1 else resize(rgb, size)


def _corners(head: HeadFrame) -> np.ndarray:
    """Return the (4, 2) corners of a head's frame."""
    center, right, down = (np.array(vector) for vector in (head.center, head.right, head.down))
    return np.stack([center - right - down, center + right - down, center + right + down, center - right + down])
