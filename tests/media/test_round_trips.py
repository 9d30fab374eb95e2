"""From every format to every format: pixels, colours, orientation, transparency and metadata are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base

from facegen.errors import MissingExtraError
from facegen.media import decoding
from facegen.media.images import WRITABLE, picture_facts, read_image, write_image
from facegen.media.metadata import DC, Origin, carry, packet, save_options, simple_properties
from tests.media.test_decoding import display_p3
from tests.media.test_images import scene
from tests.media.test_metadata import camera_exif

CAPTION = f"{{{DC}}}source"
LOSSLESS: dict[str, dict[str, Any]] = {
    ".png": {}, ".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}, ".tif": {},
    ".avif": {"quality": 100, "subsampling": "4:4:4"}, ".jxl": {"lossless": True}, ".bmp": {}, ".gif": {},
}  # fmt: skip
"""Suffix -> options with which Pillow loses little or nothing."""
BARE = (".bmp", ".gif")
"""Formats without metadata."""
RESULTS = (".png", ".jpg", ".webp", ".avif", ".jxl", ".tif")


def save_photo(path: Path) -> Path:
    """Save the scene as a camera does: on its side, in Display P3, with a caption.

    JPEG XL turns pixels itself, and its package writes no profile.
    """
    turned, options, profile = Image.fromarray(scene()), LOSSLESS[path.suffix], None
    if path.suffix not in (*BARE, ".jxl"):
        turned, profile = turned.transpose(Image.Transpose.ROTATE_90), display_p3()
    if path.suffix not in BARE:
        origin = Origin(camera_exif(6).tobytes(), profile, carry(packet({CAPTION: "a garden"})))
        options = options | save_options(WRITABLE[path.suffix][0], {}, origin, None)
    turned.save(path, **options)
    return path


def test_every_format_that_is_written_is_in_the_table() -> None:
    assert {WRITABLE[suffix][0] for suffix in RESULTS} == {name for name, _ in WRITABLE.values()}
    assert set(RESULTS) <= set(LOSSLESS)


@pytest.mark.parametrize("result", RESULTS)
@pytest.mark.parametrize("source", LOSSLESS)
def test_a_photo_keeps_its_pixels_and_metadata(tmp_path: Path, source: str, result: str) -> None:
    if ".jxl" in (source, result):
        pytest.importorskip("pillow_jxl")
    photo = save_photo(tmp_path / f"photo{source}")
    picture, seen = read_image(photo, keep_profile=True), read_image(photo).rgb
    assert np.abs(picture.rgb.astype(int) - scene()).mean() < 4
    alpha = scene()[..., 0].copy()
    path = write_image(
        tmp_path / f"result{result}", picture.rgb, alpha, {"k": "v"}, origin=picture.origin, label="composite"
    )
    again, shown = read_image(path, keep_profile=True), read_image(path)
    if result == ".jpg":  # transparent parts become white
        seen = 255 - (255 - seen.astype(int)) * alpha[..., None] // 255
    else:
        assert again.alpha is not None
        assert np.abs(again.alpha.astype(int) - alpha).max() <= 2
    assert np.abs(shown.rgb.astype(int) - seen).mean() < 3
    assert again.origin.profile == (None if result == ".jxl" else picture.origin.profile)
    assert (picture.origin.profile is None) == (source in (*BARE, ".jxl"))
    assert (picture_facts(path).text["k"], picture_facts(path).source_type) == (
        "v", "compositeWithTrainedAlgorithmicMedia",
    )  # fmt: skip
    check_metadata(picture.origin.exif, picture.origin.xmp, bare=source in BARE)
    check_metadata(again.origin.exif, again.origin.xmp, bare=source in BARE)


def check_metadata(exif: bytes | None, xmp: bytes | None, *, bare: bool) -> None:
    if bare:
        assert (exif, xmp) == (None, None)
        return
    found, wanted = Image.Exif(), camera_exif()
    assert exif is not None
    found.load(exif)
    assert found.get(Base.Orientation, 1) == 1
    assert all(found[tag] == wanted[tag] for tag in (Base.Artist, Base.Copyright, Base.ImageDescription))
    assert found.get_ifd(IFD.GPSInfo)[2] == (48, 8, 30)
    assert simple_properties(xmp)[CAPTION] == "a garden"


def test_without_its_package_jpeg_xl_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_readable", lambda: ("PNG",))
    with pytest.raises(MissingExtraError, match=r"a.jxl: writing JPEG XL .*pip install 'facegen\[jxl\]"):
        write_image(tmp_path / "a.jxl", scene())
