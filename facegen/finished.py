"""Whether a picture or clip was upscaled before as it is asked for now: told by its result's record, without
networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from facegen.clip_files import CLIP_RESULT
from facegen.errors import FileError, WeightsError
from facegen.files import sha256_of
from facegen.jobs import Outcome, Task
from facegen.media.record import Record, arguments, check_weights, read_record
from facegen.media.video_reader import is_clip
from facegen.photo_files import UpresOptions, before_after_path, vote_stem
from facegen.recipe import PipelineRecipe, load_recipe

SCALES = range(1, 9)
"""Enlargements that the name of a photo's result may tell of."""


class DoneBefore:
    """Tells what is done already: the same picture, upscaled by the same options, recipe and weights.

    Args:
        options: what is asked for.
    Raises:
        RecipeError: if the recipe is wrong.
    """

    def __init__(self, options: UpresOptions) -> None:
        self.options = options
        recipe = load_recipe(options.recipe_path, PipelineRecipe, options.overrides)
        self.recipe = recipe.model_dump(mode="json")

    def __call__(self, task: Task) -> Outcome | None:
        """The outcome of the run that did it; None if it is still to be done."""
        for path in () if self.options.overwrite else self._results(task):
            record = _record(path)
            if record is not None and self._same(record, task.source):
                beside = self._beside(path, heads=len(record.upscaled))
                if all(file.is_file() for file in beside):
                    return Outcome(task.source, (*beside, path), done_already=True)
        return None

    def _results(self, task: Task) -> Iterator[Path]:
        """The files that would stand for all that becomes of the picture."""
        photo, size = self.options.photo, self.options.size
        scales = SCALES if photo.scale is None else (photo.scale,)
        if is_clip(task.source):
            yield from (task.target.with_name(f"{task.target.name}-x{scale}{CLIP_RESULT}") for scale in scales)
            return
        endings = {
            "photo": [f"-x{scale}" for scale in scales],
            "crop": ["-head", "-head-1"],
            "aligned": [f"-{size}"],
        }[self.options.kind]
        for ending in endings:
            yield task.target.with_name(f"{task.target.name}{ending}{self.options.suffix}")

    def _beside(self, result: Path, heads: int) -> list[Path]:
        """The other files that were asked for."""
        files = [before_after_path(result)] if self.options.before_after else []
        if self.options.explain:
            stems = [vote_stem(result, number) for number in range(1, heads + 1)]
            files += [stem.with_name(f"{stem.name}-explain.{ending}") for stem in stems for ending in ("png", "json")]
        return files

    def _same(self, record: Record, source: Path) -> bool:
        recorded = self.options.recorded(clip=is_clip(source))
        if record.argv != arguments("upres", recorded, source) or record.recipe != self.recipe:
            return False
        try:
            check_weights(record)
            return record.source is not None and record.source.sha256 == sha256_of(source)
        except (FileError, WeightsError):  # to be reported when the picture's turn comes
            return False


def _record(path: Path) -> Record | None:
    """The record of a picture or clip; None if there is no such file, or no record in it."""
    try:
        return read_record(path)
    except FileError:
        return None
