"""No command ends in a traceback over a damaged or hostile training set."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from facegen.arrays import RGB
from facegen.data.clean.cleaning import FINGERPRINTS
from facegen.data.manifest import MANIFEST
from facegen.data.prepare import LEDGER
from facegen.media.images import write_image
from tests.cli.conftest import Facegen
from tests.conftest import make_pipe
from tests.data.strategies import HOSTILE
from tests.training.conftest import jnet_recipe

Spoil = Callable[[Path], object]
LONG = "x" * 240


def table(folder: Path, *rows: dict[str, str], columns: tuple[str, ...] = ("file", "source")) -> None:
    """Write a manifest with exactly these rows."""
    names = dict.fromkeys([*columns, *(name for row in rows for name in row)])
    with (folder / MANIFEST).open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        csv.writer(file).writerows([names, *([row.get(name, "") for name in names] for row in rows)])


def cell(column: str, text: str) -> Spoil:
    return lambda folder: table(folder, {"file": "a.png", "source": "a.jpg", column: text})


def bytes_in(name: str, content: bytes) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)

    return spoil


def instead(name: str, make: Callable[[Path], object]) -> Spoil:
    """Put something else than a file under this name."""

    def spoil(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return spoil


def named(name: bytes) -> Spoil:
    return lambda folder: shutil.copy(folder / "a.png", folder / os.fsdecode(name))


def tiny(side: int) -> Spoil:
    return lambda folder: write_image(folder / "a.png", np.zeros((side, side, 3), np.uint8))


def row_of_a_pipe(folder: Path) -> None:
    table(folder, {"file": "pipe.png", "source": "pipe.png"})
    make_pipe(folder / "pipe.png")


def loop(path: Path) -> None:
    path.symlink_to(path)


SETS: dict[str, Spoil] = {
    **{f"{column} {text[:12]!r} {len(text)}": cell(column, text)
       for column in ("file", "landmarks", "frame", "size", "measures", "sharpness", "reasons", "extra")
       for text in HOSTILE[:: 1 if column == "file" else 3]},
    "no rows": lambda folder: table(folder),
    "no columns": bytes_in(MANIFEST, b""),
    "other columns": bytes_in(MANIFEST, b"\x00\xff\xfe,,,\n,,"),
    "a quote without end": bytes_in(MANIFEST, b'file,source\n"a.png,a.jpg\n'),
    "UTF-16": bytes_in(MANIFEST, "file,source\na.png,a.jpg\n".encode("utf-16")),
    "a cell without end": bytes_in(MANIFEST, b"file,source\n" + b"x" * 200_000),
    "a manifest that is a folder": instead(MANIFEST, Path.mkdir),
    "a manifest that is a pipe": instead(MANIFEST, make_pipe),
    "a manifest that is a loop": instead(MANIFEST, loop),
    "crops that are gone": lambda folder: table(folder, {"file": "gone.png", "source": "gone.png"}),
    "a crop that is a folder": instead("a.png", Path.mkdir),
    "a crop that is a pipe": instead("a.png", make_pipe),
    "a row of a pipe": row_of_a_pipe,
    "a crop that is a loop": instead("a.png", loop),
    **{f"ledger {content[:9]!r}": bytes_in(LEDGER, content) for content in (b"", b"[" * 9999, b"\xff", b"{}", b"null")},
    "a ledger that is a pipe": instead(LEDGER, make_pipe),
    **{f"cache {content[:9]!r}": bytes_in(FINGERPRINTS, content) for content in (b"", b"PK\3\4", b"\x93NUMPY", b"x")},
    "a cache that is a folder": instead(FINGERPRINTS, Path.mkdir),
    "labels nested": bytes_in("labels/anna.jsonl", b"[" * 9999 + b"\n"),
    "labels of NUL": bytes_in("labels/anna.jsonl", b"\0" * 99 + b"\n"),
    "labels that are a pipe": instead("labels/anna.jsonl", make_pipe),
    "labels that are a folder": instead("labels/anna.jsonl", Path.mkdir),
    "no folder of labels": bytes_in("labels", b"theirs"),
    "a lock that is a folder": instead(".lock", Path.mkdir),
    "a page that is a folder": instead("clean.html", Path.mkdir),
    "a name that is not UTF-8": named(b"caf\xe9.png"),
    "a name with a line end": named(b"a\rb\nc.png"),
    "a name of markup": named(b"[red]:smile:.png"),
    "a name of a formula": named(b"=1+1.png"),
    "a long name": named(LONG.encode() + b".png"),
    **{f"crops of {side} px": tiny(side) for side in (1, 5, 40)},
    "a crop that is not square": lambda folder: write_image(folder / "a.png", np.zeros((9, 300, 3), np.uint8)),
}  # fmt: skip


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(tomli_w.dumps(jnet_recipe(images=4).model_dump(mode="json", exclude_none=True)))
    return path


COMMANDS = ("clean", "stats", "curate", "prepare", "train")


def words_of(command: str, folder: Path, recipe: Path) -> tuple[object, ...]:
    """Return the words of a command over a set, or over a photo without a face next to it."""
    raw = folder.parent / "raw"
    write_image(raw / "photo.png", np.zeros((64, 64, 3), np.uint8))
    return {
        "clean": ("data", "clean", folder),
        "stats": ("data", "stats", folder),
        "curate": ("data", "curate", folder, "--export"),
        "prepare": ("data", "prepare", raw, "--out", folder, "--size", 64, "--jobs", 1),
        "train": ("train", recipe, "--data", folder, "--dry-run"),
    }[command]


def check(facegen: Facegen, recipe: Path, tmp_path: Path, head: RGB, command: str, kind: str) -> None:
    """Check the status, and that an error names the set or its file; the fixture fails on tracebacks."""
    folder = tmp_path / "set"
    write_image(folder / "a.png", np.ascontiguousarray(head[::2, ::2]))
    SETS[kind](folder)
    result = facegen(*words_of(command, folder, recipe))
    assert result.exit_code in (0, 1, 2)
    assert result.exit_code == 0 or str(folder) in result.stderr
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("number", range(len(SETS)), ids=list(SETS))
def test_no_traceback_over_a_set(facegen: Facegen, recipe: Path, tmp_path: Path, head: RGB, number: int) -> None:
    """The commands take turns; the slow test below runs all of them over every set."""
    check(facegen, recipe, tmp_path, head, COMMANDS[number % len(COMMANDS)], list(SETS)[number])


@pytest.mark.slow
@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_traceback_of_any_command_over_any_set(
    facegen: Facegen, recipe: Path, tmp_path: Path, head: RGB, command: str, kind: str
) -> None:
    check(facegen, recipe, tmp_path, head, command, kind)
