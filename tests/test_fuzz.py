"""Damaged files, and records, recipes and cards of any content, end in a result or in a clear error."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facegen.cli.replay import _values
from facegen.errors import FacegenError
from facegen.media.images import write_image
from facegen.media.record import RECORD_KEY, read_record
from facegen.recipe import PipelineRecipe, load_recipe
from facegen.weights import Card, read_card
from tests.fuzz import fuzz

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))
WORDS = st.sampled_from(["sample", "upres", "--set", "--out", "--seeds", "--", "--size", "fidelity=1", "calm=0", "x"])
RECORD: dict[str, Any] = {
    "facegen": "0", "torch": "2", "platform": "p", "device": "cpu", "argv": ["sample", "--seeds", "1"], "recipe": {},
    "weights": {}, "seed": 1, "z": None, "latent": None, "keyframes": [], "source": None, "upscaled": [], "fit": 1.0,
    "seams": {"mean": 1.0, "max": 1.0}, "threads": 1,
}  # fmt: skip


def changed(known: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Values for some keys, known ones above all."""
    return st.dictionaries(st.sampled_from(known) | TEXT, VALUES, min_size=1, max_size=3)


def test_damaged_files_of_every_kind(tmp_path: Path) -> None:
    count, failures = fuzz(tmp_path, seconds=3)
    assert count > 10
    assert not failures, failures[0]


@QUICK
@given(changed(list(RECORD)), st.none() | st.lists(WORDS, max_size=6))
def test_records(tmp_path: Path, change: dict[str, Any], argv: list[str] | None) -> None:
    record = RECORD | change | ({} if argv is None else {"argv": argv})
    path = write_image(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8), text={RECORD_KEY: json.dumps(record)})
    with suppress(FacegenError):
        assert isinstance(_values(read_record(path), path), dict)


def written(path: Path, values: dict[str, Any]) -> bool:
    """Write values as TOML, as far as it has them."""
    try:
        path.write_text(tomli_w.dumps(values), encoding="utf-8")
    except (TypeError, ValueError):  # TOML has no null
        return False
    return True


@QUICK
@given(changed(list(PipelineRecipe.model_fields)))
def test_recipes(tmp_path: Path, change: dict[str, Any]) -> None:
    if written(tmp_path / "a.toml", {"kind": "pipeline"} | change):
        with suppress(FacegenError):
            load_recipe(tmp_path / "a.toml", PipelineRecipe)


@QUICK
@given(changed(list(Card.model_fields)))
def test_cards(tmp_path: Path, change: dict[str, Any]) -> None:
    if written(tmp_path / "card.toml", change):
        with suppress(FacegenError):
            read_card(tmp_path)
