"""One picture file or clip: read, upscaled, and written with what it brought along."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facegen.clip_files import CLIP_RESULT, write_upscaled
from facegen.errors import ImageError
from facegen.explain import write_explanation
from facegen.jobs import Outcome, Task
from facegen.media.images import Origin, Picture, find_pictures, picture_text, read_image, write_image
from facegen.media.record import COMMAND_KEY, record_text
from facegen.media.sheets import before_after
from facegen.media.video_reader import Clip, is_clip, video_text
from facegen.ops.seams import SeamGauge, seam_gauge
from facegen.photo import PhotoOptions, Restored, crop_heads, restore, upscale_aligned
from facegen.pipeline import FacePipeline, Upscaled
from facegen.precision import resolve_device
from facegen.video.clip import clip_scale

Kind = Literal["photo", "crop", "aligned"]
SMALLEST_HEAD = 16
"""Side of the smallest picture that is taken for a head, in pixels."""


@dataclass(frozen=True)
class UpresOptions:
    """What is asked for of every picture of a run."""

    recipe: str
    """As it was given: a name or a path."""
    recipe_path: Path
    overrides: tuple[str, ...] = ()
    device: str = "cpu"
    kind: Kind = "photo"
    """Upscale whole photos, the heads in them alone, or pictures that are aligned heads already."""
    photo: PhotoOptions = field(default_factory=PhotoOptions)
    size: int = 768
    """Side of the heads that "crop" and "aligned" make, in pixels."""
    suffix: str = ".png"
    strip: bool = False
    """Leave away the EXIF and XMP data that the picture brought along; its profile is always kept."""
    before_after: bool = False
    """Write the picture beside its result as well; not for "crop"."""
    explain: bool = False
    """Write the vote map of each head as well."""
    overwrite: bool = False
    """Make again what is done, and replace files that facegen did not write."""

    def recorded(self, *, clip: bool = False) -> dict[str, Any]:
        """What shapes the result, as parameters of `facegen upres`; what is left at its default is left out.

        Args:
            clip: of a clip, on which the options of files have no bearing.
        """
        named: dict[str, Any] = {} if self.kind == "photo" else {self.kind: True, "size": self.size}
        usual = PhotoOptions()
        named |= {name: value for name, value in vars(self.photo).items() if value != getattr(usual, name)}
        if self.suffix != ".png" and not clip:
            named["format"] = self.suffix.removeprefix(".")
        if self.strip and not clip:
            named["strip"] = True
        return named | {"recipe": self.recipe, "set": self.overrides}


OnPart = Callable[[Path, int, int | None], object]
"""Told the clip or photo, how many of its frames, or blocks of its background, are done, and of how many, if that is
known."""


def untold(_source: Path, _done: int, _all: int | None) -> None:
    """Nobody is told."""


class FileUpscaler:
    """Upscales one picture file after the other.

    Args:
        options: what is asked for.
        inputs: files never written to, resolved: those that the run reads.
        on_part: told of each frame of a clip, and each block of a photo's background that tiles upscale.
    """

    def __init__(self, options: UpresOptions, inputs: Iterable[Path], on_part: OnPart = untold) -> None:
        self.options = options
        self.inputs = frozenset(inputs)
        self.on_part = on_part

    @cached_property
    def pipeline(self) -> FacePipeline:
        """The networks, loaded when first asked for."""
        options = self.options
        return FacePipeline.load(options.recipe_path, options.overrides, device=resolve_device(options.device))

    def load(self) -> None:
        """Load the networks now.

        Raises:
            RecipeError, WeightsError: as `FacePipeline.load`.
        """
        _ = self.pipeline

    def __call__(self, task: Task) -> Outcome:
        """Upscale one picture or clip and write what becomes of it, last of all the file that stands for the whole.

        Raises:
            ImageError: if the file cannot be read, is not of the kind asked for, or its result cannot be written.
            UsageError: if the options do not fit the picture.
        """
        find_pictures([task.source])  # says what is wrong with a path that is no file
        if is_clip(task.source):
            return self._clip(task)
        picture = read_image(task.source, keep_profile=True)
        if self.options.strip:
            picture = replace(picture, origin=Origin(profile=picture.origin.profile))
        upscale_kind = {"photo": self._photo, "crop": self._crop, "aligned": self._aligned}[self.options.kind]
        height, width = picture.rgb.shape[:2]
        return replace(upscale_kind(task, picture), before=(width, height))

    def _photo(self, task: Task, picture: Picture) -> Outcome:
        done = restore(self.pipeline, picture.rgb, self.options.photo, partial(self.on_part, task.source))
        height, width = done.rgb.shape[:2]
        path = self._path(task, f"-x{done.scale}")
        written = self._write(
            task, path, done.rgb, picture, done.heads, alpha=picture.alpha, fit=done.fit, seams=done.seams
        )
        return Outcome(
            task.source, written, after=(width, height), faces=done.upscaled, seams=done.seams, fit=done.fit,
            note=_note(done),
        )  # fmt: skip

    def _clip(self, task: Task) -> Outcome:
        clip, options = Clip(task.source), self.options
        scale = clip_scale(clip, options.photo)
        path = self._path(task, f"-x{scale}", CLIP_RESULT)
        recorded, on_part = options.recorded(clip=True), partial(self.on_part, task.source)
        return write_upscaled(self.pipeline, clip, scale, options.photo, recorded, path, on_part)

    def _crop(self, task: Task, picture: Picture) -> Outcome:
        heads = crop_heads(self.pipeline, picture.rgb, self.options.size)
        if not heads:
            reason = "no face found, so there is no head to crop; leave --crop away to upscale the whole photo."
            raise ImageError(f"{task.source}: {reason}")
        endings = [f"-head-{number}" for number in range(1, len(heads) + 1)] if len(heads) > 1 else ["-head"]
        written: tuple[Path, ...] = ()
        for ending, head in reversed(list(zip(endings, heads, strict=True))):  # the first stands for all
            written += self._write(task, self._path(task, ending), head.rgb, picture, [head.upscaled])
        return Outcome(task.source, written, after=(self.options.size,) * 2, faces=len(heads))

    def _aligned(self, task: Task, picture: Picture) -> Outcome:
        height, width = picture.rgb.shape[:2]
        if height != width or height < SMALLEST_HEAD:
            wanted = f"--aligned expects a square head crop of {SMALLEST_HEAD} px and up."
            raise ImageError(f"{task.source}: {width}x{height}; {wanted}")
        size = self.options.size
        head = upscale_aligned(self.pipeline, picture.rgb, size)
        written = self._write(task, self._path(task, f"-{size}"), head.rgb, picture, [head.upscaled])
        return Outcome(
            task.source, written, after=(size, size), faces=1, fit=head.upscaled.fit,
            seams=seam_gauge(head.upscaled.image, head.upscaled.plan),
        )  # fmt: skip

    def _path(self, task: Task, ending: str, suffix: str = "") -> Path:
        """Where a result goes; the suffix is the option's, unless another is given.

        Raises:
            ImageError: if a file is there that must not be replaced.
        """
        path = task.target.with_name(f"{task.target.name}{ending}{suffix or self.options.suffix}")
        for taken in (path, before_after_path(path)) if self.options.before_after else (path,):
            if taken.resolve() in self.inputs:
                reason = f"its result would replace {taken}, another input; choose another --out."
                raise ImageError(f"{task.source}: {reason}")
            if taken.exists() and not self.options.overwrite and not _ours(taken):
                reason = f"its result would replace {taken}, not written by facegen; add --overwrite, or change --out."
                raise ImageError(f"{task.source}: {reason}")
        return path

    def _write(
        self,
        task: Task,
        path: Path,
        rgb: NDArray[np.uint8],
        picture: Picture,
        heads: Sequence[Upscaled],
        *,
        alpha: NDArray[np.uint8] | None = None,
        fit: float | None = None,
        seams: SeamGauge | None = None,
    ) -> tuple[Path, ...]:
        """Write a result, after what goes with it; `alpha` is brought to its size, `fit` and `seams` are recorded."""
        if alpha is not None and alpha.shape != rgb.shape[:2]:
            size = (rgb.shape[1], rgb.shape[0])
            alpha = np.array(Image.fromarray(alpha).resize(size, Image.Resampling.LANCZOS))
        options = self.options.recorded()
        text = record_text(self.pipeline, "upres", options, upscaled=heads, source=task.source, fit=fit, seams=seams)
        beside: list[Path] = []
        if self.options.explain:
            for number, head in enumerate(heads, start=1):
                beside += write_explanation(head, vote_stem(path, number))
        if self.options.before_after:
            command = {COMMAND_KEY: text[COMMAND_KEY]}  # without the record, which is the result's
            sheet, where = before_after(picture.rgb, rgb), before_after_path(path)
            beside.append(write_image(where, sheet, text=command, origin=picture.origin, label="composite"))
        return *beside, write_image(path, rgb, alpha, text, origin=picture.origin, label="composite")


def before_after_path(result: Path) -> Path:
    """Where the sheet with a picture before and after goes."""
    return result.with_name(f"{result.stem}-before-after{result.suffix}")


def vote_stem(result: Path, number: int) -> Path:
    """Where the vote map of a head in the result goes, without an ending; heads count from 1."""
    return result.with_name(f"{result.stem}-head-{number}")


def _ours(path: Path) -> bool:
    try:
        return COMMAND_KEY in (video_text(path) if is_clip(path) else picture_text(path))
    except ImageError:  # neither picture nor clip
        return False


def _note(done: Restored) -> str:
    """What a person might wonder about."""
    if done.left:
        return f"{done.left} head(s) left to the background"
    return "" if done.upscaled else "no face found"
