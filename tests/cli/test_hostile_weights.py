"""Hostile weights and records: each gives one line that names the file, never a traceback."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from safetensors.torch import load_file, save_file

from facegen.files import sha256_of
from facegen.media.images import write_image
from facegen.media.record import COMMAND_KEY, RECORD_KEY
from facegen.recipe import read_toml
from facegen.weights import CARD_FILE, MODEL_FILE
from tests.cli.conftest import Facegen
from tests.conftest import make_pipe
from tests.data.strategies import HOSTILE
from tests.odd_files import damaged_by
from tests.test_fuzz import RECORD

Spoil = Callable[[Path], object]


def model(change: Callable[[bytes], bytes]) -> Spoil:
    """Change the bytes of the weights; the card has their hash, as an attacker's would."""

    def spoil(folder: Path) -> None:
        path = folder / MODEL_FILE
        path.write_bytes(change(path.read_bytes()))
        card(sha256=sha256_of(path))(folder)

    return spoil


def tensors(change: Callable[[torch.Tensor], torch.Tensor]) -> Spoil:
    """Change every tensor."""

    def spoil(folder: Path) -> None:
        state = {name: change(tensor).contiguous() for name, tensor in load_file(folder / MODEL_FILE).items()}
        save_file(state, folder / MODEL_FILE)
        card(sha256=sha256_of(folder / MODEL_FILE))(folder)

    return spoil


def card(**changes: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / CARD_FILE
        path.write_text(tomli_w.dumps(read_toml(path) | changes), encoding="utf-8")

    return spoil


def config(**changes: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        card(config=read_toml(folder / CARD_FILE)["config"] | changes)(folder)

    return spoil


def instead(name: str, make: Callable[[Path], object]) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return spoil


def header(text: bytes) -> Spoil:
    """Replace the list of tensors by this text."""
    return model(lambda data: struct.pack("<Q", len(text)) + text)


def tensor_of(**values: Any) -> bytes:
    return json.dumps({"a": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]} | values}).encode()


WEIGHTS: dict[str, Spoil] = {
    **{f"damaged {seed}": model(partial(damaged_by, seed)) for seed in range(8)},
    "empty weights": model(lambda data: b""), "a byte of weights": model(lambda data: data[:1]),
    "half of the weights": model(lambda data: data[: len(data) // 2]),
    "a pickle": model(lambda data: pickle.dumps({"a": 1})),
    "another hash": lambda folder: (folder / MODEL_FILE).write_bytes(b"x"),
    "a header without end": model(lambda data: struct.pack("<Q", 2**62) + data),
    "a header of lists": header(b"[" * 50_000), "a header of nothing": header(b"{}"), "no header": header(b"null"),
    "tensors out of the file": header(tensor_of(data_offsets=[0, 2**60])),
    "tensors of a huge shape": header(tensor_of(shape=[2**40, 2**40])),
    "tensors of less than nothing": header(tensor_of(data_offsets=[2, 0])),
    "tensors of another kind": header(tensor_of(dtype="F4096")),
    "not a number": tensors(lambda tensor: tensor * float("nan")),
    "infinite": tensors(lambda tensor: tensor + float("inf")), "huge": tensors(lambda tensor: tensor.float() * 1e30),
    "nothing": tensors(torch.zeros_like), "whole numbers": tensors(lambda tensor: tensor.to(torch.int8)),
    "scalars": tensors(lambda tensor: tensor.reshape(-1)[:1]), "empty": tensors(lambda tensor: tensor.reshape(-1)[:0]),
    "weights that are a folder": instead(MODEL_FILE, Path.mkdir),
    "weights that are a pipe": instead(MODEL_FILE, make_pipe),
    "weights that are a device": instead(MODEL_FILE, lambda path: path.symlink_to("/dev/zero")),
    "weights that are a loop": instead(MODEL_FILE, lambda path: path.symlink_to(path)),
    "a card that is a pipe": instead(CARD_FILE, make_pipe), "a card that is a folder": instead(CARD_FILE, Path.mkdir),
    "an empty card": lambda folder: (folder / CARD_FILE).write_bytes(b""),
    "a card that is no text": lambda folder: (folder / CARD_FILE).write_bytes(b"\xff\0\xfe"),
    "a card of lists": lambda folder: (folder / CARD_FILE).write_text("a=" + "[" * 50_000),
    "another kind": card(kind="jnet"), "an unknown kind": card(kind="../../etc"), "no kind": card(kind=7),
    "an odd hash": card(sha256="\x1b[31m"), "an odd key": card(config={"a": "\x1b[2J"}),
    "a latent of 0": config(z_dim=0), "a latent of minus 1": config(z_dim=-1), "a latent of many": config(z_dim=2**62),
    "no width": config(widths=[]), "a width of 0": config(widths=[0] * 6), "widths of many": config(widths=[2**40] * 6),
    "many widths": config(widths=[1] * 300), "widths that are no numbers": config(widths=["a"] * 6),
}  # fmt: skip
RECORDS: dict[str, dict[str, Any]] = {
    **{f"{key} {value[:12]!r} {len(value)}": {key: value} for number, (key, value) in enumerate(
        (key, value) for key in ("device", "facegen", "latent", "z") for value in HOSTILE[::4])},
    "no words": {"argv": []}, "an unknown command": {"argv": ["rm", "-rf", "/"]},
    "another's path": {"argv": ["upres", "/etc/passwd"]},
    "an option": {"argv": ["sample", "--out", "/tmp"]}, "many seeds": {"argv": ["sample", "--seeds", "0-99999"]},
    "a recipe of lists": {"recipe": json.loads("[" * 200 + "]" * 200)}, "numbers": {"weights": {"a": 1}},
    "a path as source": {"source": {"name": "../a", "sha256": "x"}}, "many threads": {"threads": 10**9},
    "a plan of tiles": {"upscaled": [{"plan": {"height": 10**9, "width": 10**9, "tile": 1, "overlap": 0}, "fit": None,
                                      "candidates": [], "choices": [], "seams": {"mean": 1, "max": 1}}]},
    "escapes": {"platform": "\x1b]0;owned\x07", "torch": "\x9b31m"},
}  # fmt: skip


@pytest.fixture
def weights(tiny_recipe: Path, tmp_path: Path) -> Path:
    """A copy of a tiny generator."""
    return Path(shutil.copytree(tiny_recipe.parent / "dcgan", tmp_path / "mine"))


@pytest.mark.parametrize("kind", WEIGHTS)
def test_no_traceback_over_weights(
    facegen: Facegen, tiny_recipe: Path, weights: Path, tmp_path: Path, kind: str
) -> None:
    WEIGHTS[kind](weights)
    words = ("--recipe", tiny_recipe, "--set", f"weights.generator={weights}", "--size", 32, "--out", tmp_path / "out")
    result = facegen("sample", *words)
    if result.exit_code == 0 and kind.startswith("damaged"):  # bytes that are numbers still
        return
    assert result.exit_code in (1, 2)
    assert str(weights) in result.stderr
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("kind", RECORDS)
def test_no_traceback_over_a_record(facegen: Facegen, tiny_recipe: Path, tmp_path: Path, kind: str) -> None:
    text = {RECORD_KEY: json.dumps(RECORD | RECORDS[kind]), COMMAND_KEY: "sample \x1b[31m"}
    picture = write_image(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8), text=text)
    film = ("video", "--seeds", 1, "--from", picture, "--seconds", 0.1, "--size", 32, "--recipe", tiny_recipe)
    for words in (("replay", picture, "--out", tmp_path / "out"), (*film, "-o", tmp_path / "out.mp4")):
        result = facegen(*words)
        assert result.exit_code in (0, 1, 2)
        assert result.exit_code == 0 or str(picture) in result.stderr
    result = facegen("inspect", picture)
    assert result.exit_code == 0 or str(picture) in result.stderr
    assert not any(character in result.output for character in "\x1b\x9b\x07\0")
