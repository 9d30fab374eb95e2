"""Weights that the page can compare: those shipped, and those dropped on it; read without torch, which takes long."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from facegen.errors import FileError
from facegen.files import WEIGHTS
from facegen.studio.work import Studio

CARD_FILE, MODEL_FILE = "card.toml", "model.safetensors"
KINDS = ("jnet", "srgan", "unet")
"""Kinds of weights that enlarge pictures."""
SUFFIXES = (".pth", ".safetensors")
"""Suffixes of files that others published."""


def kind_of(folder: Path) -> str:
    """Read the kind of a weight folder; FileError if its card does not tell."""
    try:
        return str(tomllib.loads((folder / CARD_FILE).read_text(encoding="utf-8"))["kind"])
    except (OSError, KeyError, ValueError):
        raise FileError(f"{folder.name}: has no {CARD_FILE} that says what it is; get the weights again.") from None


def shipped_upscalers() -> list[str]:
    """Names of the shipped weights that enlarge pictures."""
    return [folder.parent.name for folder in sorted(WEIGHTS.glob(f"*/{CARD_FILE}")) if kind_of(folder.parent) in KINDS]


def take_weights(studio: Studio, files: Sequence[Path]) -> Mapping[str, Path]:
    """Name the weights that were dropped: published files, and the folders that cards and their models make.

    Raises:
        FileError: if a file is neither, or a card's model is missing.
    """
    cards = [file for file in files if file.name == CARD_FILE]
    models = [file for file in files if file.name == MODEL_FILE]
    found = {file.stem: file for file in files if file.suffix in SUFFIXES and file not in models}
    if len(cards) != len(models):
        raise FileError(f"{len(cards)} {CARD_FILE} and {len(models)} {MODEL_FILE}; drop both files of a weight folder.")
    for card, model in zip(cards, models, strict=True):
        folder = studio.new_folder()
        for file in (card, model):
            (folder / file.name).hardlink_to(file)
        if kind_of(folder) not in KINDS:
            raise FileError(f"{CARD_FILE}: holds a {kind_of(folder)}, which enlarges no picture.")
        found[tomllib.loads(card.read_text(encoding="utf-8")).get("name", "own weights")] = folder
    if others := [file.name for file in files if file.suffix not in SUFFIXES and file not in cards]:
        raise FileError(f"{', '.join(others)}: expected {', '.join(SUFFIXES)}, or {CARD_FILE} and {MODEL_FILE}.")
    return found
