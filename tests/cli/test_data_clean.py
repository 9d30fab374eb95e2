"""`facegen data clean`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facegen.arrays import RGB
from facegen.data.manifest import read_manifest
from facegen.files import LOCK, sole_writer
from facegen.media.images import write_image
from tests.cli.conftest import Facegen, leftovers


def spoil(folder: Path, head: RGB) -> Path:
    """Fill a folder with a good picture and a dark one."""
    write_image(folder / "a.png", head)
    write_image(folder / "dark.png", head // 10)
    return folder


def test_a_folder_is_cleaned(facegen: Facegen, tmp_path: Path, head: RGB) -> None:
    result = facegen("data", "clean", spoil(tmp_path, head))
    assert result.exit_code == 0, result.output
    assert "2 measured" in result.stdout
    assert str(tmp_path / "clean.html") in result.stdout
    assert {e.file: "dark" in e.reasons for e in read_manifest(tmp_path)} == {"a.png": False, "dark.png": True}
    assert [path.name for path in leftovers(tmp_path)] == [LOCK]


def test_other_thresholds_decide_anew(facegen: Facegen, tmp_path: Path, head: RGB) -> None:
    facegen("data", "clean", spoil(tmp_path, head))
    result = facegen("data", "clean", tmp_path, "--threshold", "dark=0.01", "--per-person", 1)
    assert result.exit_code == 0, result.output
    assert not any("dark" in entry.reasons for entry in read_manifest(tmp_path))


def test_a_damaged_crop_is_named_and_the_others_are_done(
    facegen: Facegen, tmp_path: Path, head: RGB
) -> None:
    spoil(tmp_path, head)
    (tmp_path / "damaged.png").write_bytes(b"no picture")
    result = facegen("data", "clean", tmp_path)
    assert result.exit_code == 1
    assert "damaged.png" in result.stderr
    assert "2 measured" in result.stdout
    assert "1 failed" in result.stdout


def test_wrong_values_change_nothing(facegen: Facegen, tmp_path: Path, head: RGB) -> None:
    spoil(tmp_path, head)
    result = facegen("data", "clean", tmp_path, "--threshold", "darkness=1")
    assert result.exit_code == 2
    assert "did you mean 'dark'" in result.stderr
    assert not (tmp_path / "manifest.csv").exists()
    (tmp_path / "empty").mkdir()
    assert facegen("data", "clean", tmp_path / "empty").exit_code == 1


def test_a_set_that_another_command_is_writing_is_refused(
    facegen: Facegen, tmp_path: Path, head: RGB
) -> None:
    folder = spoil(tmp_path / "set", head)
    with sole_writer(folder):
        for words in (("clean", folder), ("prepare", folder.parent, "--out", folder), ("curate", folder, "--export")):
            result = facegen("data", *words)
            assert result.exit_code == 2
            assert result.stderr == (
                f"Error: {folder}: another facegen data command is at work on this set; wait for it, or end it first.\n"
            )
    assert not (folder / "manifest.csv").exists()


@pytest.mark.slow
def test_several_processes_write_the_same_manifest(facegen: Facegen, tmp_path: Path, head: RGB) -> None:
    for jobs in (1, 3):
        folder = spoil(tmp_path / str(jobs), head)
        write_image(folder / "lighter.png", (head * 0.95 + 12).astype(np.uint8))
        write_image(folder / "mirrored.png", np.ascontiguousarray(head[:, ::-1]))
        assert facegen("data", "clean", folder, "--per-person", 1, "--jobs", jobs).exit_code == 0
    assert (tmp_path / "1" / "manifest.csv").read_bytes() == (tmp_path / "3" / "manifest.csv").read_bytes()
