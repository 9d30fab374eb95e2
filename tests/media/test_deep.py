"""Pictures of 16 bits a sample are written with their metadata, and read by facegen, OpenCV and Pillow."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image
from PIL.ExifTags import Base

from facegen.arrays import eight_bits
from facegen.media import deep as module
from facegen.media.images import picture_facts, read_image, write_image
from facegen.media.metadata import Origin, packet
from facegen.media.signatures import is_whole
from tests.media.test_decoding import display_p3
from tests.media.test_metadata import camera_exif, exif_in

LAYOUT = {258, 259, 273, 277, 278, 279, 317, 320, 338, 339, ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo}
"""TIFF's tags of bits, strips and compression, and pointers."""
SUFFIXES = pytest.mark.parametrize("suffix", [".png", ".tif"])


@pytest.fixture(params=["one strip", "many strips"])
def deep(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> NDArray[np.uint16]:
    """Noise with black and white rows, (50, 70, 3)."""
    if request.param == "many strips":
        monkeypatch.setattr(module, "STRIP", 1000)
    rgb = np.random.default_rng(0).integers(0, 65536, (50, 70, 3), dtype=np.uint16)
    rgb[:9], rgb[20:30] = 0, 65535
    return rgb


@SUFFIXES
@pytest.mark.parametrize("clear", [False, True])
def test_every_bit_comes_back(tmp_path: Path, deep: NDArray[np.uint16], suffix: str, clear: bool) -> None:
    alpha = np.random.default_rng(1).integers(0, 256, (50, 70), dtype=np.uint8) if clear else None
    path = write_image(tmp_path / f"a{suffix}", deep, alpha)
    picture = read_image(path, keep_profile=True, keep_depth=True)
    assert picture.deep is not None
    np.testing.assert_array_equal(picture.deep, deep)
    np.testing.assert_array_equal(picture.rgb, np.rint(deep / 257))
    if alpha is None:
        assert picture.alpha is None
    else:
        np.testing.assert_array_equal(picture.alpha, alpha)
    assert read_image(path).deep is None
    with Image.open(path) as file:
        file.load()
        assert file.mode == ("RGBA" if clear else "RGB")
    seen = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert seen is not None
    np.testing.assert_array_equal(seen[..., 2::-1], deep)
    assert is_whole(path)
    path.write_bytes(path.read_bytes()[:-20])
    assert not is_whole(path)


@SUFFIXES
def test_metadata_is_written_as_with_eight_bits(tmp_path: Path, deep: NDArray[np.uint16], suffix: str) -> None:
    xmp = packet({"{http://purl.org/dc/elements/1.1/}source": "a photo"})
    origin, text = Origin(camera_exif(1).tobytes(), display_p3(), xmp), {"facegen": "upres \u00fc"}
    paths = [
        write_image(tmp_path / f"{rgb.dtype}{suffix}", rgb, text=text, origin=origin, label="composite")
        for rgb in (deep, eight_bits(deep))
    ]
    facts, origins, exif = (
        [read(path) for path in paths]
        for read in (picture_facts, lambda path: read_image(path, keep_profile=True).origin, _exif_without_layout)
    )
    assert facts[0] == facts[1]
    assert facts[0].text == text  # type: ignore[attr-defined]
    assert origins[0] == origins[1]
    assert origins[0].profile == display_p3()  # type: ignore[attr-defined]
    assert exif[0] == exif[1]


@pytest.mark.parametrize("orientation", range(1, 9))
@SUFFIXES
def test_turned_pictures_are_set_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (8, 12, 3), dtype=np.uint16)
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    picture = read_image(
        write_image(tmp_path / f"a{suffix}", deep, origin=Origin(exif.tobytes())), keep_profile=True, keep_depth=True
    )
    assert picture.deep is not None
    assert picture.rgb.shape == picture.deep.shape
    write_image(tmp_path / f"b{suffix}", eight_bits(deep), origin=Origin(exif.tobytes()))
    np.testing.assert_array_equal(eight_bits(picture.deep), read_image(tmp_path / f"b{suffix}").rgb)


def test_gray_keeps_its_bits_unless_it_is_converted(tmp_path: Path) -> None:
    gray = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    Image.fromarray(gray).save(tmp_path / "a.png")
    picture = read_image(tmp_path / "a.png", keep_depth=True)
    assert picture.deep is not None
    np.testing.assert_array_equal(picture.deep, np.repeat(gray[..., None], 3, axis=2))


def test_other_formats_get_eight_bits(tmp_path: Path, deep: NDArray[np.uint16]) -> None:
    assert read_image(write_image(tmp_path / "a.webp", deep), keep_depth=True).deep is None


def _exif_without_layout(path: Path) -> object:
    """EXIF of a file without the tags that describe the layout of its samples."""
    first, *others = exif_in(path)
    return {tag: value for tag, value in first.items() if tag not in LAYOUT}, others
