"""Windows and macOS: no module needs what only POSIX has, and no path reaches a library that takes ASCII alone."""

from __future__ import annotations

import ast
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlib
import numpy as np
import pytest

import facegen
from facegen import canvas
from facegen.arrays import RGB
from facegen.cli import data
from facegen.faces import dlib_models, identity
from facegen.faces.detect import YUNET, _yunet

ROOT = Path(__file__).parent.parent
POSIX_ONLY = ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty")
BLOCKED = f"""
import builtins, importlib, sys, types
usual = builtins.__import__
windows = types.ModuleType("sys")
windows.__dict__.update(vars(sys), platform="win32")

def guarded(name, globals=None, *others, **more):
    asking = (globals or {{}}).get("__name__", "")
    if asking.startswith("facegen") and name in {POSIX_ONLY}:
        raise ImportError(f"{{asking}} imports {{name}}, which Windows lacks")
    return windows if asking.startswith("facegen") and name == "sys" else usual(name, globals, *others, **more)

builtins.__import__ = guarded
for module in sys.argv[1:]:
    importlib.import_module(module)
"""
BY_PATH = {
    "imread", "imwrite", "imreadmulti", "VideoCapture", "VideoWriter", "FileStorage", "readNet", "readNetFromONNX",
}  # fmt: skip
"""OpenCV's functions that open a file by its path."""
FOLDER = "Fotos ä 顔"


def test_every_module_is_imported_without_modules_that_only_posix_has() -> None:
    modules = [module.name for module in pkgutil.walk_packages(facegen.__path__, "facegen.")]
    assert len(modules) > 100
    modules.remove("facegen.__main__")
    done = subprocess.run([sys.executable, "-c", BLOCKED, *modules], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_the_types_hold_on_other_systems(platform: str, tmp_path: Path) -> None:
    """The standard library's stubs know which names a system lacks."""
    command = [sys.executable, "-m", "mypy", "--platform", platform, "--cache-dir", str(tmp_path), "facegen"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def calls() -> Iterator[tuple[Path, str]]:
    """File and name of every attribute that facegen takes of cv2."""
    for path in sorted((ROOT / "facegen").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "cv2":
                yield path, node.attr


def test_opencv_never_opens_a_file_by_its_path() -> None:
    assert [(path.name, name) for path, name in calls() if name in BY_PATH] == []


def test_processes_are_spawned() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "facegen").rglob("*.py"))
    assert set(re.findall(r"get_context\((.*?)\)", text)) == {'"spawn"'}
    assert "os.fork" not in text


def test_a_large_canvas_needs_no_posix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    monkeypatch.setattr(canvas, "IN_MEMORY", 0)
    assert canvas.blank_canvas(4, 5, np.uint8).shape == (4, 5, 3)


def test_cores_are_counted_without_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert data._cores() == os.cpu_count()


def ascii_only(load: Callable[[str], Any]) -> Callable[[str], Any]:
    """Dlib's loader as it is on Windows."""

    def guarded(path: str) -> Any:
        assert path.isascii(), f"on Windows, dlib cannot open {path}"
        return load(path)

    return guarded


def test_dlib_loads_models_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: RGB) -> None:
    folder = tmp_path / FOLDER
    folder.symlink_to(dlib_models.model_path("any").parent)
    before = Path.cwd()
    monkeypatch.setattr(dlib_models, "model_path", lambda name: folder / name)
    for name in ("shape_predictor", "face_recognition_model_v1"):
        monkeypatch.setattr(dlib, name, ascii_only(getattr(dlib, name)))
    found = dlib_models._landmark_model()(head, dlib.rectangle(40, 40, 150, 150))
    assert found.num_parts == 68
    assert identity._network.__wrapped__() is not None
    assert Path.cwd() == before


def test_yunet_is_loaded_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / FOLDER).mkdir()
    moved = Path(shutil.copy(YUNET, tmp_path / FOLDER))
    monkeypatch.setattr("facegen.faces.detect.YUNET", moved)
    assert _yunet.__wrapped__() is not None
