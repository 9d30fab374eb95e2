"""`facegen data prepare` and `facegen data stats`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facegen.arrays import RGB
from facegen.data.manifest import read_manifest
from facegen.files import LOCK
from facegen.media.images import write_image
from tests.cli.conftest import Facegen, leftovers


@pytest.fixture
def raw(tmp_path: Path, astronaut: RGB) -> Path:
    """A photo with a face, and one without."""
    write_image(tmp_path / "raw" / "ann.png", np.ascontiguousarray(astronaut[:320, 60:380]))
    write_image(tmp_path / "raw" / "wall.png", np.full((64, 64, 3), 99, np.uint8))
    return tmp_path / "raw"


def test_a_set_from_photos_to_its_page(facegen: Facegen, raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    prepare = ("data", "prepare", raw, "--out", out, "--size", 96, "--format", "webp", "--jobs", 1)
    result = facegen(*prepare)
    assert result.exit_code == 0
    assert result.stdout == f"{out / 'manifest.csv'}\n"
    assert "2 photos cut in this run" in result.stderr
    assert result.stderr.split()[-7:] == ["2", "0", "1", "0", "1", "1", "0"]
    [entry] = read_manifest(out)
    assert entry.file.endswith(".webp")
    assert [path.name for path in leftovers(out)] == [LOCK]

    assert "0 photos cut in this run" in facegen(*prepare).stderr
    result = facegen("data", "stats", out)
    assert result.exit_code == 0
    assert result.stdout.endswith(f"{out / 'stats.html'}\n")
    assert "photos they are from" in result.stdout
    assert "</html>" in (out / "stats.html").read_text()


def test_omitted_faces_are_listed(facegen: Facegen, raw: Path, tmp_path: Path) -> None:
    result = facegen("data", "prepare", raw, "--out", tmp_path / "set", "--size", 300, "--jobs", 1)
    assert "too small" in result.stderr
    assert f"listed in {tmp_path / 'set' / 'left-out.csv'}" in result.stderr
    assert "No head is as large as the crops; give a smaller --size" in result.stderr
    assert result.exit_code == 0


def test_one_photo_that_fails_stops_none_of_the_others(facegen: Facegen, raw: Path, tmp_path: Path) -> None:
    (raw / "bad.jpg").write_bytes(b"\xff\xd8\xff broken")
    result = facegen("data", "prepare", raw, "--out", tmp_path / "set", "--size", 96, "--jobs", 1)
    assert result.exit_code == 1
    assert "bad.jpg" in result.stderr
    assert len(read_manifest(tmp_path / "set")) == 1


def test_another_size_is_refused(facegen: Facegen, raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    facegen("data", "prepare", raw, "--out", out, "--size", 96, "--jobs", 1)
    result = facegen("data", "prepare", raw, "--out", out, "--jobs", 1)
    assert result.exit_code == 2
    assert (
        result.stderr
        == f"Error: {out}: was prepared with --size 96 --format png; give the same, or choose another --out.\n"
    )


def test_missing_and_empty_folders_are_refused(facegen: Facegen, tmp_path: Path) -> None:
    assert facegen("data", "prepare", tmp_path / "none", "--out", tmp_path).exit_code == 2
    assert facegen("data", "stats", tmp_path / "none").exit_code == 2
    result = facegen("data", "stats", tmp_path)
    assert result.exit_code == 1
    assert "neither a manifest.csv nor a picture" in result.stderr


def test_stats_of_a_plain_folder_with_a_damaged_picture(facegen: Facegen, head_folder: Path, tmp_path: Path) -> None:
    (head_folder / "b.png").write_bytes(b"no picture")
    result = facegen("data", "stats", head_folder, "--out", tmp_path / "page.html")
    assert result.exit_code == 1
    assert "b.png" in result.stderr
    assert "Mean of 2 kept crops" in (tmp_path / "page.html").read_text()
    assert not (head_folder / "stats.html").exists()
