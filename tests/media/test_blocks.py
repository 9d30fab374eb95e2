"""Which files were compressed in blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facegen.errors import ImageError
from facegen.media.blocks import block_side

SIDE = 32
ORIENTATION = 0x0112  # EXIF's


def stored(path: Path, **options: Any) -> Path:
    values = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(values).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("name", "options", "block"),
    [
        ("a.jpg", {}, 8),
        ("a.webp", {}, 4),
        ("a.webp", {"lossless": True}, 0),
        ("a.webp", {"exif": Image.Exif().tobytes(), "icc_profile": b"odd", "xmp": b"odd"}, 4),
        ("a.webp", {"icc_profile": b"odd", "lossless": True}, 0),
        ("a.png", {}, 0),
        ("a.tif", {}, 0),
    ],
)
def test_side_of_the_blocks(tmp_path: Path, name: str, options: dict[str, Any], block: int) -> None:
    assert block_side(stored(tmp_path / name, **options), SIDE) == block


def test_the_file_is_asked_and_not_its_name(tmp_path: Path) -> None:
    assert block_side(stored(tmp_path / "a.png", format="JPEG"), SIDE) == 8


def test_several_pictures_in_a_jpeg(tmp_path: Path) -> None:
    more = [Image.new("RGB", (SIDE, SIDE), "red")]
    assert block_side(stored(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=more), SIDE) == 8


@pytest.mark.parametrize(("side", "block"), [(32, 8), (36, 0)])
def test_turned_by_exif_blocks_begin_with_a_part_unless_the_side_is_whole_blocks(
    tmp_path: Path, side: int, block: int
) -> None:
    turned, upright = Image.Exif(), Image.new("RGB", (side, side))
    turned[ORIENTATION] = 3
    upright.save(tmp_path / "upright.jpg")
    upright.save(tmp_path / "turned.jpg", exif=turned)
    assert block_side(tmp_path / "upright.jpg", side) == 8
    assert block_side(tmp_path / "turned.jpg", side) == block


def test_what_will_be_resized_has_none(tmp_path: Path) -> None:
    assert block_side(stored(tmp_path / "a.jpg"), 2 * SIDE) == 0


def test_an_animation_has_none_that_could_be_told(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (SIDE, SIDE), colour) for colour in ("red", "green")]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:])
    assert block_side(tmp_path / "a.webp", SIDE) == 0


def test_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.webp").write_bytes(b"RIFF    WEBPVP8 ")
    with pytest.raises(ImageError, match=r"a\.webp"):
        block_side(tmp_path / "a.webp", SIDE)
