"""Checkpoints of a run folder: complete or absent; the last two are kept, and the one with the best score."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from facegen.data.reading import open_plain, parse_json
from facegen.errors import TrainingError, one_line
from facegen.files import replacing, write_text
from facegen.training.objectives.base import Phase

KEPT = 2
BEST, BEST_SCORE = "best.pt", "best.json"
KIND = "kind"
"""Key of the class name in an optimizer's saved state; a state without it is Adam's."""


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run folder, oldest first, without the best; other files in it are ignored."""
    return sorted((p for p in (folder / "checkpoints").glob("*.pt") if p.stem.isdecimal()), key=lambda p: int(p.stem))


def save_checkpoint(folder: Path, state: Mapping[str, Any]) -> Path:
    """Write a checkpoint under a temporary name, rename it, and delete all but the last two."""
    path = folder / "checkpoints" / f"{state['images']:09d}.pt"
    _write(path, state)
    for old in (*checkpoints(folder)[:-KEPT], *path.parent.glob("*.tmp")):
        old.unlink()  # a killed run leaves a .tmp
    return path


def drop_after(folder: Path, images: int) -> None:
    """Delete the checkpoints after this many images: a run that went back must not resume from them."""
    for path in checkpoints(folder):
        if int(path.stem) > images:
            path.unlink()


def save_if_best(folder: Path, state: Mapping[str, Any], score: float, diversity: float | None = None) -> bool:
    """Keep a checkpoint as the best one if its score is the lowest so far; True if it is kept.

    Args:
        diversity: of its samples, for `best_note`.
    """
    best = best_note(folder)
    if best and best["score"] <= score:
        return False
    _write(folder / "checkpoints" / BEST, state)
    more = {} if diversity is None else {"diversity": diversity}
    note = json.dumps({"images": state["images"], "score": score, **more})
    write_text(folder / "checkpoints" / BEST_SCORE, note)
    return True


def best_note(folder: Path) -> dict[str, float]:
    """The best checkpoint's images and score, and its samples' diversity, if known; {} if there is no best one.

    Raises:
        TrainingError: if best.json is damaged.
    """
    note = folder / "checkpoints" / BEST_SCORE
    try:
        with open_plain(note) as file:
            found = {key: float(value) for key, value in parse_json(file.read()).items()}
        return found | {"score": found["score"]}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise TrainingError(f"{note}: is damaged; delete it, and the next checkpoint becomes the best.") from None


def _write(path: Path, state: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("wb") as file:  # opened here, so that a full disk is an OSError
        torch.save(state, file)


def state_of(
    step: int, images_seen: int, modules: Mapping[str, nn.Module], phases: tuple[Phase, ...], setbacks: int = 0
) -> dict[str, Any]:
    """Everything that a run needs to go on; no random state, since seed and step determine it."""
    return {
        "step": step,
        "images": images_seen,
        "setbacks": setbacks,
        "modules": {name: module.state_dict() for name, module in modules.items()},
        "optimizers": {phase.name: {KIND: _kind(phase), **phase.optimizer.state_dict()} for phase in phases},
    }


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read the result of `state_of`, on the processor; a damaged file is a ValueError with torch's reason in one line.
    """
    try:
        return cast(dict[str, Any], torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises a dozen kinds for damaged files
        raise ValueError(one_line(error)) from None


def load_state(path: Path, modules: Mapping[str, nn.Module], phases: tuple[Phase, ...]) -> tuple[int, int]:
    """Load a checkpoint into networks and optimizers, which keep the recipe's settings.

    Returns:
        the images seen, and how often the run had gone back.
    """
    try:
        state = read_checkpoint(path)
    except ValueError as error:
        raise TrainingError(
            f"{path}: cannot be read ({error}); delete it to go on from the checkpoint before."
        ) from None
    try:
        for name, module in modules.items():
            module.load_state_dict(state["modules"][name])
        for phase in phases:
            saved = state["optimizers"][phase.name]
            if saved.pop(KIND, "Adam") != _kind(phase):
                raise ValueError(f"the {phase.name}'s optimizer was not {_kind(phase)}")
            _load_optimizer(phase.optimizer, saved)
        return int(state["images"]), int(state.get("setbacks", 0))
    except (RuntimeError, KeyError, ValueError) as error:
        raise TrainingError(
            f"{path}: made by another recipe ({one_line(error)}); use the run's recipe, or another --out."
        ) from None


def _kind(phase: Phase) -> str:
    return type(phase.optimizer).__name__


def _load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load moments and step counts; the learning rate and other settings stay unchanged."""
    settings = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    for group, current in zip(state["param_groups"], settings, strict=True):
        group.update(current)  # `capturable` decides which device the step counts are loaded to
    optimizer.load_state_dict(state)
    for group, current in zip(optimizer.param_groups, settings, strict=True):
        group.update(current)
