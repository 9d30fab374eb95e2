"""Results of `facegen upres`: their options, their file names, and which of them exist already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from facegen.errors import FileError, WeightsError
from facegen.explain import explanation_paths
from facegen.files import sha256_of
from facegen.jobs import Outcome, Task
from facegen.media.record import Record, arguments, check_weights, read_record
from facegen.media.signatures import is_whole
from facegen.media.video_reader import is_clip
from facegen.ops.seams import SeamGauge
from facegen.photo import PhotoOptions
from facegen.recipe import PipelineRecipe, load_recipe

Kind = Literal["photo", "crop", "aligned"]
SCALES = range(1, 9)
"""Scales in the names of photos' results."""
CLIP_SUFFIX = ".mp4"
OWN_SUFFIX = {
    ".avif": ".avif", ".heic": ".jpg", ".heif": ".jpg", ".jpeg": ".jpg", ".jpg": ".jpg", ".jxl": ".jxl", ".tif": ".tif",
    ".tiff": ".tif", ".webp": ".webp",
}  # fmt: skip
"""Suffix of a photo -> default suffix of its result; all others become PNG."""


def usual_suffix(source: Path) -> str:
    """Return the default suffix of a source's main result."""
    return CLIP_SUFFIX if is_clip(source) else OWN_SUFFIX.get(source.suffix.lower(), ".png")


@dataclass(frozen=True)
class UpresOptions:
    """Options for all files of a run."""

    recipe: str
    """Name or path, as the user wrote it."""
    recipe_path: Path
    overrides: tuple[str, ...] = ()
    device: str = "cpu"
    kind: Kind = "photo"
    """Upscale photos, the heads cut out of them, or pictures that are aligned heads."""
    photo: PhotoOptions = field(default_factory=PhotoOptions)
    size: int = 768
    """Width and height of the results of "crop" and "aligned", in pixels."""
    mask: Path | None = None
    """A picture whose white parts are left alone in every photo; only for the kind "photo", and not for clips."""
    suffix: str | None = None
    """Format of the results; None is the default of each source."""
    strip: bool = False
    """Omit the source's EXIF and XMP data; its colour profile is always kept."""
    before_after: bool = False
    """Also write a sheet with source and result."""
    explain: bool = False
    """Also write the vote map of each head."""
    overwrite: bool = False
    """Make existing results again, and replace files that facegen did not write."""

    def suffix_for(self, source: Path) -> str:
        """Return the suffix of a source's main result."""
        return usual_suffix(source) if is_clip(source) else self.suffix or usual_suffix(source)

    def recorded(self, source: Path) -> dict[str, Any]:
        """Return the options that determine a source's result, as parameters of `facegen upres`, without defaults."""
        clip, suffix = is_clip(source), self.suffix_for(source)
        named: dict[str, Any] = {} if self.kind == "photo" else {self.kind: True, "size": self.size}
        default = PhotoOptions()
        named |= {name: value for name, value in vars(self.photo).items() if value != getattr(default, name)}
        if self.mask is not None:
            named["mask"] = self.mask.name
        if suffix != usual_suffix(source):
            named["format"] = suffix.removeprefix(".")
        if self.strip and not clip:
            named["strip"] = True
        return named | {"recipe": self.recipe, "set": self.overrides}


@dataclass(frozen=True)
class Upscaling(Outcome):
    """The outcome of a picture or clip."""

    before: tuple[int, int] | None = None
    """Width and height of the source; None if it was not read."""
    after: tuple[int, int] | None = None
    """Width and height of the result."""
    faces: int | None = None
    """Heads upscaled; None if they were not counted."""
    seams: SeamGauge | None = None
    fit: float | None = None
    """PSNR between the area-downsampled result and the source, in dB."""
    identity: float | None = None
    """Largest identity distance of an upscaled face to its input; see `facegen.faces.identity`."""


def before_after_path(result: Path) -> Path:
    """Return the path of the sheet with source and result."""
    return result.with_name(f"{result.stem}-before-after{result.suffix}")


def ending_for(options: PhotoOptions, scale: float) -> str:
    """Return the ending of a photo's result: -x2, -x1.5, or -3000 if the width is given."""
    return f"-x{scale:g}" if options.width is None else f"-{options.width}"


def vote_stem(result: Path, number: int) -> Path:
    """Return the path of the vote map of a head without its ending; heads are numbered from 1."""
    return result.with_name(f"{result.stem}-head-{number}")


class DoneBefore:
    """Recognises files that were upscaled before with the same options, recipe and weights, by their results' records.
    """

    def __init__(self, options: UpresOptions) -> None:
        self.options = options
        self.recipe = load_recipe(options.recipe_path, PipelineRecipe, options.overrides).model_dump(mode="json")

    def __call__(self, task: Task) -> Outcome | None:
        """Return the outcome of the earlier run; None if the file must be upscaled."""
        for path in () if self.options.overwrite else self._results(task):
            record = _record(path)
            if record is not None and self._same(record, task.source):
                others = self._others(path, heads=len(record.upscaled))
                if all(is_whole(file) for file in (*others, path)):
                    return Outcome(task.source, (*others, path), done_already=True)
        return None

    def _results(self, task: Task) -> Iterator[Path]:
        """Yield the possible paths of the main result."""
        if task.result is not None:
            yield task.result
            return
        photo = self.options.photo
        scaled = [ending_for(photo, scale) for scale in (SCALES if photo.scale is None else (photo.scale,))]
        endings = {"photo": scaled, "crop": ["-head", "-head-1"], "aligned": [f"-{self.options.size}"]}
        for ending in scaled if is_clip(task.source) else endings[self.options.kind]:
            yield task.target.with_name(f"{task.target.name}{ending}{self.options.suffix_for(task.source)}")

    def _others(self, result: Path, heads: int) -> list[Path]:
        """Return the other files that the options ask for."""
        files = [before_after_path(result)] if self.options.before_after else []
        if self.options.explain:
            files += (path for number in range(1, heads + 1) for path in explanation_paths(vote_stem(result, number)))
        return files

    def _same(self, record: Record, source: Path) -> bool:
        recorded = self.options.recorded(source)
        if record.argv != arguments("upres", recorded, source) or record.recipe != self.recipe:
            return False
        try:
            check_weights(record)
            files = ((record.source, source), (record.mask, self.options.mask))
            return all(path is None or (noted and noted.sha256 == sha256_of(path)) for noted, path in files)
        except (FileError, WeightsError):  # raised again when the file is upscaled
            return False


def _record(path: Path) -> Record | None:
    """Read the record of a result; return None if the file or its record is missing."""
    try:
        return read_record(path)
    except FileError:
        return None
