"""Photos on the page: their faces found and framed, restored as `facegen upres` would, before and after, a ZIP."""

from __future__ import annotations

import json
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
"""Longest sides of the picture with frames, and of before and after, in pixels."""
ON, OFF = (255, 176, 59), (150, 150, 150)
"""Colours of the frames of faces that are switched on and off."""
PROTECTED = np.uint8(140)
"""Grey laid over what is left alone."""
BLOCKS_PER_FACE = 4
"""How many of a background's blocks take about as long as a face."""


@dataclass(eq=False)
class Photo:
    """A photo that was dropped on the page."""

    path: Path
    preview: Path | None = None
    """A JPEG of at most `PREVIEW`; None until it was looked at, or if it cannot be read."""
    heads: tuple[HeadFrame, ...] = ()
    """In pixels of the preview, the largest first."""
    off: set[int] = field(default_factory=set)
    """Numbers of the heads that are switched off, counted from 1."""
    command: str = ""
    """The facegen command that made it, from its record; empty if another program wrote it."""
    error: str = ""
    remark: str = ""
    """About the result."""
    mask: Path | None = None
    """White where the photo is left alone; of the preview's size."""
    result: Path | None = None
    pair: tuple[Path, Path] | None = None
    """Before and after, of one size."""

    @property
    def faces(self) -> str:
        """The heads that are on, as `PhotoOptions.faces`."""
        on = [str(number) for number in range(1, len(self.heads) + 1) if number not in self.off]
        return (",".join(on) or "0") if self.off else "all"

    def look(self, folder: Path) -> None:
        """Read the photo, find its faces, and write the preview."""
        try:
            rgb = read_image(self.path).rgb
            self.command = picture_text(self.path).get(COMMAND_KEY, "")
            heads = heads_in_photo(rgb)
            factor = min(1.0, PREVIEW / max(rgb.shape[:2]))
            self.preview = write_image(folder / f"{self.path.stem}-preview.jpg", fitted(rgb, PREVIEW))
            self.heads = tuple(head.frame.scaled(factor) for head in heads)
        except FacegenError as error:
            self.error = named(error, self.path)

    def framed(self) -> RGB | None:
        """The preview with a numbered frame around each head."""
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
        """Take in a result, and write before and after of it."""
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
class Wish:
    """The options of the page, in the words of `facegen upres`."""

    preset: str
    scale: float | None = None
    width: int | None = None
    """Of the results in pixels, instead of the scale."""
    fidelity: float | None = None
    """None is the recipe's."""
    background: Background = "lanczos"
    format: Literal["auto", "png", "jpg", "webp", "tif"] = "auto"
    """auto keeps the photo's, as far as results have it."""

    def options(self, studio: Studio, faces: str = "all", mask: Path | None = None) -> UpresOptions:
        """The options that `facegen upres` would have, to the letter: they become part of the record."""
        path = studio.recipe_path(self.preset)
        usual = load_recipe(path, PipelineRecipe).fidelity
        changed = self.fidelity is not None and self.fidelity != usual
        scale = int(self.scale) if self.scale and self.scale == int(self.scale) else self.scale  # as the command has it
        return UpresOptions(
            recipe=self.preset,
            recipe_path=path,
            overrides=(f"fidelity={json.dumps(self.fidelity)}",) if changed else (),
            device=studio.device,
            photo=PhotoOptions(scale=scale, width=self.width, faces=faces, background=self.background),
            mask=mask,
            suffix=None if self.format == "auto" else f".{self.format}",
        )


def restore(studio: Studio, job: Job, photos: Sequence[Photo], wish: Wish) -> Path | None:
    """Restore photos one after the other; what is wrong with one is told in its `error`.

    Returns:
        a ZIP of all results, if there are several.
    """
    folder = studio.new_folder()
    tasks = find_tasks([photo.path for photo in photos], folder, clips=False)
    for number, (photo, task) in enumerate(zip(photos, tasks, strict=True)):
        name = "" if len(photos) == 1 else f"Photo {number + 1} of {len(photos)} · "
        meter = Meter(job, name, number / len(photos), 1 / len(photos))
        options = wish.options(studio, photo.faces, photo.mask)
        outcome = _restore_one(studio, meter, task, options, len(photo.heads) - len(photo.off))
        job.check()
        photo.error, photo.remark = named(outcome.error, photo.path) if outcome.error else "", ""
        if outcome.written:
            photo.show(outcome.written[-1], folder)
    results = [file for photo in photos if photo.result for file in (photo.result, photo.mask) if file]
    return archive(results, folder / "facegen.zip") if len(results) > 1 else None


def restore_file(
    studio: Studio, job: Job, path: Path, wish: Wish, faces: str = "all", mask: Path | None = None
) -> Path:
    """Restore one photo and return the result.

    Args:
        faces: as `PhotoOptions.faces`.
        mask: white where the photo is left alone.
    Raises:
        FileError: if it cannot be restored; names the file without its folder.
    """
    task = find_tasks([path], studio.new_folder(), clips=False)[0]
    outcome = _restore_one(studio, Meter(job, "", 0, 1), task, wish.options(studio, faces, mask), 1)
    job.check()
    if outcome.error:
        raise FileError(named(outcome.error, path))
    return outcome.written[-1]


def _restore_one(studio: Studio, meter: Meter, task: Task, options: UpresOptions, count: int) -> Outcome:
    """Restore one photo, and tell its progress; `count` is how many faces are expected."""

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
        others: files among which are those that it was made from.
    Returns:
        the new file, and whether its bytes are the same, in words.
    Raises:
        FileError: if one of them is missing, or the record holds what is not made again.
    """
    job.tell(0, f"Making {picture.name} again")
    assert studio.remake is not None
    folder, hashes = studio.new_folder(), {sha256_of(other): other for other in others}
    try:
        record = read_record(picture)
        needed = [one for one in (record.source, record.mask) if one is not None]
        if missing := [one.name for one in needed if one.sha256 not in hashes]:
            raise FileError(f"{picture.name}: was made from {' and '.join(missing)}; drop that here too.")
        source, mask = (None if one is None else hashes[one.sha256] for one in (record.source, record.mask))
        done = studio.remake(picture, folder, source, mask, studio.device, trusted=studio.weights)
    except FacegenError as error:
        raise FileError(named(error, picture)) from None
    said = f"Made again, but not to the byte: {done.difference}" if done.difference else "The same bytes again."
    return done.path.rename(folder / f"{picture.stem}-replay{picture.suffix}"), said


class Meter:
    """Makes a job's progress of the tiles of faces, and the blocks of a background.

    Args:
        name: of the photo, if there are several.
        start, span: where in the whole job the photo begins, and its share of it.
    """

    def __init__(self, job: Job, name: str, start: float, span: float) -> None:
        self._job, self._name, self._start, self._span = job, name, start, span
        self._faces, self._face, self._before = 0, 1, 0.0

    def begin(self, faces: int) -> None:
        """Say how many faces there are."""
        self._faces = faces
        self._tell(0, "Faces" if faces else "Background")

    def part(self, _source: Path, part: str, done: int, of: int | None) -> None:
        """Take in that so many blocks of the background, or tiles of a face, are done; as `OnPart`."""
        (self.block if part == "background" else self.tiles)(done, of or done)

    def block(self, done: int, of: int) -> None:
        """Take in that a block of the background is done."""
        whole = of + BLOCKS_PER_FACE * self._faces
        self._tell(done / whole, f"Background, {done} of {of} blocks")
        if done == of:
            self._before = done / whole

    def tiles(self, done: int, of: int) -> None:
        """Take in that so many tiles of a face are done."""
        share = (self._face - 1 + done / of) / max(self._faces, self._face)
        text = f"Face {self._face} of {max(self._faces, self._face)} · {done} of {of} tiles"
        self._tell(self._before + (1 - self._before) * share, text)
        self._face += done == of

    def _tell(self, share: float, text: str) -> None:
        self._job.tell(self._start + self._span * share, f"{self._name}{text}")


def before_and_after(before: Path, after: Path, folder: Path) -> tuple[Path, Path]:
    """Write two JPEGs of one size, at most `SHOWN`, for a slider."""
    made = fitted(read_image(after).rgb, SHOWN)
    source = resize(read_image(before).rgb, (made.shape[1], made.shape[0]))
    return (
        write_image(folder / f"{after.stem}-before.jpg", source),
        write_image(folder / f"{after.stem}-after.jpg", made),
    )


def archive(files: Iterable[Path], target: Path) -> Path:
    """Write results into a ZIP."""
    with zipfile.ZipFile(target, "w") as bundle:  # pictures do not get smaller
        for file in files:
            bundle.write(file, file.name)
    return target


def named(error: object, path: Path) -> str:
    """An error's text with the file's name for its path, which only the server knows."""
    return str(error).replace(str(path), path.name)


def fitted(rgb: RGB, side: int) -> RGB:
    """Shrink a picture that is longer than `side`."""
    factor = side / max(rgb.shape[:2])
    size = (max(1, round(rgb.shape[1] * factor)), max(1, round(rgb.shape[0] * factor)))
    return rgb if factor >= 1 else resize(rgb, size)


def _corners(head: HeadFrame) -> np.ndarray:
    """(4, 2) corners of a head's frame."""
    center, right, down = (np.array(vector) for vector in (head.center, head.right, head.down))
    return np.stack([center - right - down, center + right - down, center + right + down, center - right + down])
