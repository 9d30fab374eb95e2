"""Which pictures weights are measured on: the split that trained them, or the one the caller states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facegen.errors import UsageError
from facegen.recipe import parse_recipe, read_toml
from facegen.training.datasets import DataConfig, split_files

RECIPE = "recipe.toml"
"""In a weight folder: the training recipe with all its values, `facegen.training.start.RESOLVED`."""


@dataclass(frozen=True)
class Split:
    """Pictures that were trained on and pictures that were kept out, each sorted."""

    training: list[Path]
    kept_out: list[Path]
    text: str
    """How they were chosen, for the protocol."""


def read_split(data: Path, weights: Path, held_out: int | None, include: Sequence[str]) -> Split:
    """Split the pictures below a folder as the training of `weights` did.

    Args:
        data: the folder that was trained on.
        weights: a weight folder; if it holds the recipe that made it, its [data] table is followed.
        held_out, include: as in a training recipe; they override it.
    Raises:
        UsageError: if nothing says how many pictures were kept out, or none were.
        TrainingError: if the folder holds no fitting pictures.
    """
    recipe = weights / RECIPE
    table = read_toml(recipe).get("data", {}) if recipe.is_file() else {}
    stated: dict[str, Any] = {"include": tuple(include)} if include else {}
    if held_out is not None:
        stated["held_out"] = held_out
    elif not recipe.is_file():
        raise UsageError(
            f"{weights}: has no {RECIPE} that says how many pictures were kept out of training; say it yourself: "
            "--held-out 60."
        )
    config = parse_recipe({**table, **stated}, DataConfig, source=f"{recipe} [data]")
    if config.held_out == 0:
        raise UsageError(
            f"{weights}: its training kept no picture out, so there is nothing honest to measure on. Train with "
            "--set data.held_out=60, or name a number, --held-out 60, knowing that the figures then flatter."
        )
    training, kept_out = split_files(data, config)
    by = "options" if stated else "the weights' recipe"
    text = f"{config.held_out} held out by person of {', '.join(config.include)} (stated by {by})"
    return Split(training, kept_out, text)


def shared_split(data: Path, weights: Sequence[Path], held_out: int | None, include: Sequence[str]) -> Split:
    """The one split of all these weights; see `read_split`.

    Raises:
        UsageError: as `read_split`, and if they were trained on different pictures.
    """
    first, *others = (read_split(data, folder, held_out, include) for folder in weights)
    for folder, split in zip(weights[1:], others, strict=True):
        if (split.training, split.kept_out) != (first.training, first.kept_out):
            raise UsageError(
                f"{weights[0]} and {folder} were trained on different pictures; state what neither saw, --held-out and "
                "--include, the number no larger than the smaller of theirs, or measure them one by one."
            )
    return first
