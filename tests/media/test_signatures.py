"""Content that phones add to a photo's file is found; a full disk leaves no file; a result cut short is recognised."""

from __future__ import annotations

import sys
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, MpoImagePlugin

from facegen.errors import FileError, ImageError
from facegen.media.images import read_image, write_image
from facegen.media.metadata import Origin
from facegen.media.signatures import is_whole, omitted_from
from facegen.media.video_writer import write_video
from tests.fullness import names, run_on_full_disk
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


# --- whole files ---

SUFFIXES = (".png", ".jpg", ".webp", ".avif", ".jxl", ".tif", ".mp4")
WRITE = """
from pathlib import Path
from facegen.errors import FileError
from tests.media.test_signatures import write
try:
    write(Path(sys.argv[2]), exif=sys.argv[3] == "True")
except FileError as error:
    sys.exit(str(error))
"""


def write(path: Path, *, exif: bool = True) -> Path:
    """Write noise as a picture or film."""
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    if path.suffix == ".mp4":
        return write_video(path, [rgb, rgb], Fraction(25))
    camera = Image.Exif()
    camera[271] = "Camera"
    return write_image(path, rgb, origin=Origin(exif=camera.tobytes() if exif else None))


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of file sizes")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_on_a_full_disk_there_is_an_error_and_no_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    size = write(path).stat().st_size
    path.unlink()
    for missing in (1, size // 2):
        result = run_on_full_disk(WRITE, size - missing, path, True)
        assert result.stderr.startswith(f"{path}: cannot be written (File too large)"), result.stderr
        assert names(tmp_path) == []


@pytest.mark.parametrize("exif", [True, False])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_result_cut_short_is_not_whole(tmp_path: Path, suffix: str, exif: bool) -> None:
    path = write(tmp_path / f"a{suffix}", exif=exif)
    assert is_whole(path)
    content = path.read_bytes()
    for missing in (1, 10, len(content) // 2, len(content) - 20):
        path.write_bytes(content[:-missing])
        assert not is_whole(path)


def test_missing_and_empty_files_are_not_whole_and_other_files_are(tmp_path: Path) -> None:
    assert not is_whole(tmp_path / "none.png")
    (tmp_path / "a.png").touch()
    assert not is_whole(tmp_path / "a.png")
    (tmp_path / "a.json").write_text("{}")
    assert is_whole(tmp_path / "a.json")


def test_a_name_too_long_for_a_film_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be written"):
        write_video(tmp_path / ("x" * 300 + ".mp4"), [np.zeros((8, 8, 3), np.uint8)], Fraction(25))
