"""A PNG written strip by strip is the picture that Pillow would have written, with all that goes with it."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facegen.media import images, streaming
from facegen.media.images import Origin, picture_facts, read_image, write_image
from tests.media.test_decoding import display_p3
from tests.media.test_metadata import camera_exif


@pytest.fixture(autouse=True)
def _strips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "IN_STRIPS", 0)


@pytest.mark.parametrize("height", [1, streaming._STRIP, 2 * streaming._STRIP + 3])
@pytest.mark.parametrize("with_alpha", [False, True])
def test_pixels_come_back(tmp_path: Path, height: int, with_alpha: bool) -> None:
    samples = np.random.default_rng(0).integers(0, 256, (height, 5, 4), np.uint8)
    rgb, alpha = samples[..., :3], samples[..., 3] if with_alpha else None
    path = write_image(tmp_path / "a.png", rgb, alpha)
    with Image.open(path) as file:
        file.verify()  # the checksums of the chunks
    picture = read_image(path)
    np.testing.assert_array_equal(picture.rgb, rgb)
    if alpha is None:
        assert picture.alpha is None
    else:
        np.testing.assert_array_equal(picture.alpha, alpha)


def test_what_goes_with_it_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    Image.fromarray(rgb).save(tmp_path / "photo.jpg", exif=camera_exif(1).tobytes(), icc_profile=display_p3())
    origin = read_image(tmp_path / "photo.jpg", keep_profile=True).origin
    text = {"facegen": "x", "note": "für \u2013 alle"}
    path = write_image(tmp_path / "a.png", rgb, text=text, origin=origin, label="composite")
    monkeypatch.setattr(images, "IN_STRIPS", 100)
    usual = write_image(tmp_path / "b.png", rgb, text=text, origin=origin, label="composite")
    assert picture_facts(path) == picture_facts(usual)
    assert read_image(path, keep_profile=True).origin == read_image(usual, keep_profile=True).origin == origin
    assert origin != Origin()


def test_mapped_memory_is_written_as_it_is(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (2 * streaming._STRIP, 5, 3), np.uint8)
    (tmp_path / "canvas").write_bytes(rgb.tobytes())
    with (tmp_path / "canvas").open("r+b") as file:
        mapped = np.frombuffer(mmap.mmap(file.fileno(), rgb.nbytes), np.uint8).reshape(rgb.shape)
    path = write_image(tmp_path / "a.png", mapped)
    np.testing.assert_array_equal(read_image(path).rgb, rgb)
    np.testing.assert_array_equal(mapped, rgb)
