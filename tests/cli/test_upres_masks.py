"""`facegen upres --mask`: recorded, recognised, and used by replay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facegen.arrays import RGB
from facegen.media.images import read_image, resize, write_image
from facegen.media.record import read_record
from tests.cli.conftest import Facegen, contents


@pytest.fixture
def photo(tmp_path: Path, head: RGB) -> Path:
    return write_image(tmp_path / "photo.png", resize(head, (160, 160)))


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """White on the left half."""
    rgb = np.zeros((80, 80, 3), np.uint8)
    rgb[:, :40] = 255
    return write_image(tmp_path / "keep" / "my mask.png", rgb)


@pytest.fixture
def upres(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> Facegen:
    def run(*words: object, out: str = "out") -> object:
        return facegen("upres", *words, "--scale", 2, "--recipe", tiny_recipe, "--out", tmp_path / out)

    return run  # type: ignore[return-value]


def test_recorded_skipped_when_done_and_made_again(
    facegen: Facegen, upres: Facegen, tmp_path: Path, photo: Path, mask: Path
) -> None:
    made = tmp_path / "out" / "photo-x2.png"
    assert upres(photo, "--mask", mask).stdout == f"{made}\n"
    record = read_record(made)
    assert record.mask is not None
    assert record.mask.name == "my mask.png"
    assert "--mask" in record.argv
    assert "keep" not in str(record)
    assert "done already" in upres(photo, "--mask", mask).stderr
    lost = facegen("replay", made, "--trust", "--source", photo, "--out", tmp_path / "again")
    assert lost.exit_code == 2
    assert "was made from a mask named 'my mask.png'; say with --mask where it is." in lost.stderr
    again = facegen("replay", made, "--trust", "--source", photo, "--mask", mask, "--out", tmp_path / "again")
    assert again.exit_code == 0, again.stderr
    before = made.read_bytes()
    write_image(mask, read_image(mask).rgb[::-1, ::-1].copy())
    assert "done already" not in upres(photo, "--mask", mask).stderr
    assert made.read_bytes() != before
    assert "done already" not in upres(photo).stderr


def test_a_mask_of_another_shape_fails_alone(upres: Facegen, tmp_path: Path, photo: Path, mask: Path) -> None:
    """The result is the same in several processes as in one."""
    write_image(tmp_path / "wide.png", np.zeros((30, 60, 3), np.uint8))
    result = upres(photo, tmp_path / "wide.png", "--mask", mask, "--jobs", 2)
    assert result.exit_code == 1
    assert f"{mask}: the mask has 80x80 pixels, and the photo 60x30" in result.stderr
    assert upres(photo, "--mask", mask, out="one").exit_code == 0
    assert (tmp_path / "out" / "photo-x2.png").read_bytes() == (tmp_path / "one" / "photo-x2.png").read_bytes()


def test_a_mask_that_is_not_there_is_refused_before_any_work(upres: Facegen, tmp_path: Path, photo: Path) -> None:
    before = contents(tmp_path)
    result = upres(photo, "--mask", "nowhere.png")
    assert result.exit_code == 2
    assert "--mask nowhere.png: no such file; check the path." in result.stderr
    assert contents(tmp_path) == before
