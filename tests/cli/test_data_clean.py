"""`facegen data clean`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facegen.data.manifest import read_manifest
from facegen.images import write_image
from tests.cli.conftest import Facegen, leftovers


def spoil(folder: Path, head: NDArray[np.uint8]) -> Path:
    """A folder of a picture and a dark one."""
    write_image(folder / "a.png", head)
    write_image(folder / "dark.png", head // 10)
    return folder


def test_a_folder_is_cleaned(facegen: Facegen, tmp_path: Path, head: NDArray[np.uint8]) -> None:
    result = facegen("data", "clean", spoil(tmp_path, head))
    assert result.exit_code == 0, result.output
    assert "2 measured" in result.stdout
    assert str(tmp_path / "clean.html") in result.stdout
    assert {e.file: "dark" in e.reasons for e in read_manifest(tmp_path)} == {"a.png": False, "dark.png": True}
    assert leftovers(tmp_path) == []


def test_other_thresholds_decide_anew(facegen: Facegen, tmp_path: Path, head: NDArray[np.uint8]) -> None:
    facegen("data", "clean", spoil(tmp_path, head))
    result = facegen("data", "clean", tmp_path, "--threshold", "dark=0.01", "--per-person", 1)
    assert result.exit_code == 0, result.output
    assert not any("dark" in entry.reasons for entry in read_manifest(tmp_path))


def test_a_damaged_crop_is_named_and_the_others_are_done(
    facegen: Facegen, tmp_path: Path, head: NDArray[np.uint8]
) -> None:
    spoil(tmp_path, head)
    (tmp_path / "damaged.png").write_bytes(b"no picture")
    result = facegen("data", "clean", tmp_path)
    assert result.exit_code == 1
    assert "damaged.png" in result.stderr
    assert "2 measured" in result.stdout
    assert "1 failed" in result.stdout


def test_wrong_calls_change_nothing(facegen: Facegen, tmp_path: Path, head: NDArray[np.uint8]) -> None:
    spoil(tmp_path, head)
    result = facegen("data", "clean", tmp_path, "--threshold", "darkness=1")
    assert result.exit_code == 2
    assert "did you mean 'dark'" in result.stderr
    assert not (tmp_path / "manifest.csv").exists()
    (tmp_path / "empty").mkdir()
    assert facegen("data", "clean", tmp_path / "empty").exit_code == 1
