"""Every command on a full disk and in a read-only folder: one line of error, no file lost or half written."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from facegen.arrays import RGB
from facegen.media.images import write_image
from tests.cli.conftest import Facegen, contents, leftovers
from tests.fullness import run_on_full_disk
from tests.training.conftest import jnet_recipe

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="limits and rights of Linux")]
RUN = "from facegen.cli.main import cli; cli(sys.argv[2:])"
AS_A_USER = """
import ctypes, os, sys
for right in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: what lets root write anywhere
    ctypes.CDLL(None).prctl(24, right, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-m", "facegen", *sys.argv[1:]])
"""
Words = Callable[[Path, Path], tuple[object, ...]]
FILM = ("--seconds", 0.2, "--size", 64)
COMMANDS: dict[str, Words] = {
    "sample": lambda at, out: ("sample", "--recipe", at / "tiny.toml", "--size", 256, "--out", out),
    "upres": lambda at, out: ("upres", at / "head.png", "--recipe", at / "tiny.toml", "--scale", 2, "--out", out),
    "upres to a file": lambda at, out: ("upres", at / "head.png", "--recipe", at / "tiny.toml", "--out", out / "a.jpg"),
    "project": lambda at, out: ("project", at / "head.png", "--recipe", at / "tiny.toml", "-o", out / "a.png"),
    "video": lambda at, out: ("video", "--seeds", "1,2", *FILM, "--recipe", at / "tiny.toml", "-o", out / "a.mp4"),
    "grid-walk": lambda at, out: ("grid-walk", "--seeds", "1-4", *FILM, "--recipe", at / "tiny.toml", "-o", out / "a"),
    "replay": lambda at, out: ("replay", at / "seed0000-256.png", "--trust", "--out", out),
    "export": lambda at, out: ("export", "onnx", at / "dcgan", "--out", out / "a.onnx"),
    "prepare": lambda at, out: ("data", "prepare", at / "heads", "--size", 64, "--jobs", 1, "--out", out),
    "stats": lambda at, out: ("data", "stats", at / "heads", "--out", out / "stats.html"),
    "train": lambda at, out: ("train", at / "jnet.toml", "--data", at / "heads", "--out", out / "run"),
}  # fmt: skip


@pytest.fixture
def at(facegen: Facegen, tiny_recipe: Path, head_folder: Path, head: RGB, tmp_path: Path) -> Path:
    """Make a folder with all files that the commands read."""
    shutil.copytree(tiny_recipe.parent, tmp_path, dirs_exist_ok=True)
    write_image(tmp_path / "head.png", head)
    recipe = jnet_recipe(images=4).model_dump(mode="json", exclude_none=True)
    (tmp_path / "jnet.toml").write_text(tomli_w.dumps(recipe))
    assert facegen(*COMMANDS["sample"](tmp_path, tmp_path)).exit_code == 0
    return tmp_path


def as_a_user(*words: object) -> subprocess.CompletedProcess[str]:
    """Run a command without the right of root to write anywhere."""
    command = [sys.executable, "-c", AS_A_USER, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def check(result: subprocess.CompletedProcess[str], named: Path | str) -> None:
    """Check that one line names the file that could not be written."""
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert str(named) in result.stderr
    assert any(text in result.stderr for text in ("cannot be", "no files can be")), result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk(at: Path, tmp_path: Path, command: str) -> None:
    out = tmp_path / "out"
    result = run_on_full_disk(RUN, 2000, *COMMANDS[command](at, out))
    check(result, "drawn.png" if command == "replay" else out)  # replay first draws in a temporary folder
    assert {path.name for path in leftovers(out)} <= {".lock"}
    assert not list(out.rglob("*.mp4"))
    assert all(len(content) <= 2000 for content in contents(out).values())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_read_only_folder(at: Path, tmp_path: Path, command: str) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o555)
    result = as_a_user(*COMMANDS[command](at, out))
    check(result, out)
    assert "distance" not in result.stderr  # no search before that was noticed
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("command", ["clean", "curate"])
def test_a_read_only_set_is_refused_before_the_work(head_folder: Path, command: str) -> None:
    (head_folder / ".lock").touch()
    before = contents(head_folder)
    head_folder.chmod(0o555)
    try:
        result = as_a_user("data", command, head_folder, *(["--export"] if command == "curate" else []))
    finally:
        head_folder.chmod(0o755)
    check(result, head_folder)
    assert "measuring" not in result.stderr
    assert contents(head_folder) == before


def test_a_set_on_a_full_disk_keeps_its_files(facegen: Facegen, head_folder: Path, head: RGB) -> None:
    assert facegen("data", "clean", head_folder).exit_code == 0
    before = contents(head_folder)
    write_image(head_folder / "d.png", np.ascontiguousarray(head[:, ::-1]))
    for words in (("clean", head_folder), ("curate", head_folder, "--export")):
        check(run_on_full_disk(RUN, 1500, "data", *words), head_folder)
    assert {name: content for name, content in contents(head_folder).items() if name in before} == before
    assert facegen("data", "clean", head_folder).exit_code == 0
    assert (head_folder / "manifest.csv").stat().st_size > len(before["manifest.csv"])
