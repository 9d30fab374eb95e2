"""Weights that the page can compare, shipped or dropped on it; listed without importing torch, which is slow."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from facegen.errors import FileError
from facegen.files import WEIGHTS
from facegen.studio.work import Studio

CARD_FILE, MODEL_FILE = "card.toml", "model.safetensors"
LANCZOS = "lanczos"
"""The side of a comparison that is enlarged by interpolation, without weights."""
KINDS = ("jnet", "srgan", "unet")
"""Kinds of weights that enlarge pictures."""
SUFFIXES = (".pth", ".safetensors")
"""Suffixes of third-party weights."""


def kind_of(folder: Path) -> str:
    """Read the kind of a weight folder from its card; FileError if it has none."""
    try:
        return str(tomllib.loads((folder / CARD_FILE).read_text(encoding="utf-8"))["kind"])
    except (OSError, KeyError, ValueError):
        raise FileError(f"{folder.name}: has no {CARD_FILE} that says what it is; get the weights again.") from None


def shipped_upscalers() -> list[str]:
    """List the names of the shipped weights that enlarge pictures."""
    return [folder.parent.name for folder in sorted(WEIGHTS.glob(f"*/{CARD_FILE}")) if kind_of(folder.parent) in KINDS]


def take_weights(studio: Studio, files: Sequence[Path]) -> Mapping[str, Path]:
    """Return dropped weights by name: published files, and weight folders made of a card and its model.

    Raises:
        FileError: if a file is neither, or a card or a model is missing.
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
    if unknown := [file.name for file in files if file.suffix not in SUFFIXES and file not in cards]:
        raise FileError(f"{', '.join(unknown)}: expected {', '.join(SUFFIXES)}, or {CARD_FILE} and {MODEL_FILE}.")
    return found
