"""Content that phones add to a photo's file is found, and results do not claim to have it."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, MpoImagePlugin

from facegen.errors import ImageError
from facegen.media.images import read_image, write_image
from facegen.media.omitted import omitted_from
from tests.media.test_images import scene

GAIN = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0" '
    b'xmlns:Container="http://ns.google.com/photos/1.0/container/" '
    b'xmlns:Item="http://ns.google.com/photos/1.0/container/item/"><Container:Directory><rdf:Seq>'
    b'<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="Primary" Item:Mime="image/jpeg"/></rdf:li>'
    b'<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="GainMap" Item:Mime="image/jpeg"/></rdf:li>'
    b"</rdf:Seq></Container:Directory></rdf:Description></rdf:RDF></x:xmpmeta>"
)
MOTION = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:Camera="http://ns.google.com/photos/1.0/camera/" Camera:MotionPhoto="1" '
    b'Camera:MotionPhotoVersion="1"/></rdf:RDF></x:xmpmeta>'
)


def ultra_hdr(path: Path) -> Path:
    """Save a JPEG with a gain map as a phone does: two pictures by MPF, named in the first one's XMP packet."""
    first, gain = Image.fromarray(scene()), Image.new("L", (30, 20), 90)
    first.save(path, "MPO", save_all=True, append_images=[gain], xmp=GAIN, quality=95)
    return path


def motion_photo(path: Path) -> Path:
    """Save a JPEG with a film appended."""
    memory = BytesIO()
    Image.fromarray(scene()).save(memory, "JPEG", xmp=MOTION, quality=95)
    path.write_bytes(memory.getvalue() + b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(5000))
    return path


@pytest.mark.parametrize(("save", "name"), [(ultra_hdr, "gain map"), (motion_photo, "film of a motion photo")])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_content_added_by_a_phone_is_named_and_results_do_not_claim_it(
    tmp_path: Path, save: object, name: str, suffix: str
) -> None:
    photo = save(tmp_path / "photo.jpg")  # type: ignore[operator]
    assert omitted_from(photo) == [name]
    picture = read_image(photo, keep_profile=True)
    np.testing.assert_allclose(picture.rgb.astype(int), scene(), atol=24)
    result = write_image(tmp_path / f"result{suffix}", picture.rgb, text={"facegen": "x"}, origin=picture.origin)
    assert omitted_from(result) == []
    with Image.open(result) as file:
        assert not isinstance(file, MpoImagePlugin.MpoImageFile)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_a_plain_picture_has_no_further_content(tmp_path: Path, suffix: str) -> None:
    assert omitted_from(write_image(tmp_path / f"a{suffix}", scene())) == []


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_bits_that_are_not_read_are_named(tmp_path: Path, bits: int) -> None:
    path = write_image(tmp_path / "a.avif", scene())
    data = path.read_bytes()
    assert data.count(b"pixi") == 1
    at = data.index(b"pixi") + 9
    path.write_bytes(data[:at] + bytes([bits] * 3) + data[at + 3 :])  # the bits that the file states
    assert omitted_from(path) == (["bits beyond 8 a sample"] if bits > 8 else [])


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        omitted_from(tmp_path / "a.jpg")
