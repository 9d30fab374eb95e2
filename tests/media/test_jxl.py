"""JPEG XL photos: size before decoding, orientation, metadata."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import Base

from facegen.errors import ImageError, MissingExtraError
from facegen.media import decoding
from facegen.media.images import read_image
from facegen.media.jxl import CODESTREAM, CONTAINER, JXLFacts, jxl_facts
from facegen.media.metadata import DC, packet, simple_properties
from tests.media.test_images import scene

pytest.importorskip("pillow_jxl")
SIZES = [(8, 8), (256, 256), (257, 3), (64, 48), (480, 320), (320, 180), (300, 250), (600, 300), (1, 1), (9000, 8)]


def encoded(width: int, height: int, **options: object) -> bytes:
    memory = BytesIO()
    Image.new("RGB", (width, height), "gray").save(memory, "JXL", **options)
    return memory.getvalue()


@pytest.mark.parametrize("size", SIZES)
def test_the_size_is_known_without_decoding(size: tuple[int, int]) -> None:
    bare, boxed = encoded(*size), encoded(*size, xmp=b"<x/>")
    assert bare.startswith(CODESTREAM)
    assert boxed.startswith(CONTAINER)
    assert jxl_facts(bare) == JXLFacts(size, None)
    assert jxl_facts(boxed) == JXLFacts(size, b"<x/>")


@pytest.mark.parametrize("data", [b"", b"\x89PNG", CONTAINER, CONTAINER + b"\0\0\0\x04jxlc" + bytes(99)])
def test_other_bytes_have_no_facts(data: bytes) -> None:
    assert jxl_facts(data) is None


def test_a_photo_is_read_with_its_caption(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[Base.Orientation], exif[Base.Make] = 6, "Camera"  # JPEG XL turns pixels itself, and EXIF does not count
    xmp = packet({f"{{{DC}}}source": "a caption"})
    Image.fromarray(scene()).save(tmp_path / "a.jxl", exif=exif.tobytes(), xmp=xmp, quality=95)
    picture = read_image(tmp_path / "a.jxl", keep_profile=True)
    assert np.abs(picture.rgb.astype(int) - scene()).mean() < 4
    assert picture.origin.profile is None
    assert simple_properties(picture.origin.xmp)[f"{{{DC}}}source"] == "a caption"
    assert picture.origin.exif is not None
    kept = Image.Exif()
    kept.load(picture.origin.exif)
    assert (kept[Base.Orientation], kept[Base.Make]) == (1, "Camera")


@pytest.mark.filterwarnings("ignore:Using JPEG reconstruction")
def test_a_file_made_of_a_jpegs_data_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[Base.Orientation] = 6
    Image.fromarray(scene()).save(tmp_path / "a.jpg", exif=exif, quality=95)
    with Image.open(tmp_path / "a.jpg") as file:
        file.save(tmp_path / "a.jxl")
    np.testing.assert_array_equal(read_image(tmp_path / "a.jxl").rgb, read_image(tmp_path / "a.jpg").rgb)


def test_too_large_a_file_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jxl").write_bytes(encoded(400, 300))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50_000)
    monkeypatch.setattr("pillow_jxl.JpegXLImagePlugin.Decoder", None)
    with pytest.raises(ImageError, match="has more than 0 megapixels"):
        read_image(tmp_path / "a.jxl")


def test_a_damaged_file_and_a_missing_reader_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jxl").write_bytes(encoded(400, 300)[:40])
    with pytest.raises(ImageError, match=r"a.jxl: (cannot be decoded|is a damaged JPEG XL)"):
        read_image(tmp_path / "a.jxl")
    monkeypatch.setattr(decoding, "_readable", lambda: ("PNG",))
    with pytest.raises(MissingExtraError, match=r"reading JPEG XL .*pip install 'facegen\[jxl\]"):
        read_image(tmp_path / "a.jxl")
