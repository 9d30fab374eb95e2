"""What a comparison starts from: portraits that no model was trained on, and the caller's own small pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facegen.comparing.upscaler import Upscaler
from facegen.data.split import DataConfig, shared_split, split_files, spread
from facegen.errors import ImageError, UsageError
from facegen.evaluation.measuring import Picture
from facegen.media.images import read_image

LARGEST = 512
"""Longest side of a picture of the caller's own: it is upscaled whole, and every model's result kept in memory."""


@dataclass(frozen=True)
class Sides:
    """Of portraits, in pixels: reduced to `low`, upscaled to `high`.

    Raises:
        UsageError: if `high` is not `low` times a whole number of at least 2.
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        if self.high % self.low or self.scale < 2:
            near = self.low * max(round(self.high / self.low), 2)
            raise UsageError(
                f"--size {self.high}: expected a multiple of --low {self.low}, at least twice it: {near} for example."
            )

    @property
    def scale(self) -> int:
        """How many times as large portraits become."""
        return self.high // self.low

    def __str__(self) -> str:
        return f"{self.low} px by area mean, 8 bits, upscaled to {self.high} px"


def kept_out_portraits(
    data: Path, models: Sequence[Upscaler], count: int, held_out: int | None, include: Sequence[str]
) -> tuple[list[Path], str]:
    """At most `count` pictures below a folder that no model was trained on, from every part of it.

    Args:
        held_out, include: as `facegen.data.split.read_split`.
    Returns:
        the files; and how they were chosen, for the protocol.
    Raises:
        UsageError: as `shared_split`.
        TrainingError: if the folder is missing or holds no fitting picture.
    """
    folders = list(dict.fromkeys(folder for model in models for folder in model.folders))
    if folders:
        split = shared_split(data, folders, held_out, include)
        return spread(split.kept_out, count), split.text
    patterns = tuple(include) or ("*",)
    training, kept_out = split_files(data, DataConfig(include=patterns, held_out=held_out or 0))
    if held_out:
        return spread(kept_out, count), f"{held_out} held out by person of {', '.join(patterns)} (stated by options)"
    return spread(training, count), f"all of {', '.join(patterns)}; no model says what it was trained on"


def read_small(file: Path) -> Picture:
    """A small picture of any shape, (h, w, 3).

    Raises:
        ImageError: if it cannot be read, or a side is longer than `LARGEST`.
    """
    rgb = read_image(file).rgb
    if max(rgb.shape[:2]) > LARGEST:
        raise ImageError(
            f"{file}: {rgb.shape[1]}x{rgb.shape[0]}, expected at most {LARGEST} px a side; left out. Whole photos are "
            "upscaled by facegen upres."
        )
    return rgb


def name_below(file: Path, root: Path) -> str:
    """A file's path below a folder as one name, without its suffix: "a/b.png" is "a-b"."""
    return "-".join(file.relative_to(root).with_suffix("").parts)
