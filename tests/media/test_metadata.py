"""Metadata kept from file to file: EXIF and XMP of the source, facegen's text, the label of generated media."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base

from facegen import __version__
from facegen.errors import UsageError
from facegen.media.images import picture_facts, picture_text, read_image, write_image
from facegen.media.metadata import (
    DC,
    IPTC,
    PHOTOSHOP,
    PLAIN,
    RDF,
    SOURCE_TYPES,
    XMP,
    Label,
    carry,
    packet,
    simple_properties,
)
from tests.media.test_decoding import display_p3
from tests.media.test_images import scene

SUFFIXES = (".png", ".jpg", ".webp", ".tif")
TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def camera_exif(orientation: int = 6) -> Image.Exif:
    """Return EXIF as a camera writes it, with the size of its picture and the maker's notes."""
    exif = Image.Exif()
    exif.update({Base.ImageDescription: "Ada, in the garden", Base.Make: "Zeiß", Base.Artist: "A. Photographer"})
    exif.update({Base.Copyright: "(c) 2024", Base.Orientation: orientation, Base.DateTime: "2024:05:01 12:00:00"})
    exif.update({Base.XResolution: 300.0, Base.ResolutionUnit: 2, Base.YCbCrPositioning: 2})
    exif[IFD.Exif] = {
        Base.ExposureTime: 0.005, Base.ISOSpeedRatings: 200, Base.DateTimeOriginal: "2024:05:01 12:00:00",
        Base.ExifImageWidth: 4000, Base.ExifImageHeight: 3000, Base.ColorSpace: 65535, Base.MakerNote: b"addresses",
    }  # fmt: skip
    exif[IFD.GPSInfo] = {1: "N", 2: (48.0, 8.0, 30.0), 3: "E", 4: (11.0, 34.0, 0.0)}
    return exif


def exif_in(path: Path) -> tuple[dict[int, Any], dict[int, Any], dict[int, Any], dict[int, Any]]:
    """EXIF of a file: first, photo, GPS and thumbnail directory."""
    with Image.open(path) as file:
        exif = file.getexif()
        return (dict(exif), *(dict(exif.get_ifd(part)) for part in (IFD.Exif, IFD.GPSInfo, IFD.IFD1)))  # type: ignore[return-value]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_exif_is_carried_over(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(scene()).save(tmp_path / f"a{suffix}", exif=camera_exif().tobytes())
    picture = read_image(tmp_path / f"a{suffix}")
    assert picture.rgb.shape == (60, 40, 3)  # turned
    path = write_image(tmp_path / f"b{suffix}", picture.rgb, text={"facegen": "x"}, origin=picture.origin)
    first, photo, gps, thumbnail = exif_in(path)
    kept = {Base.ImageDescription: "Ada, in the garden", Base.Artist: "A. Photographer", Base.Copyright: "(c) 2024"}
    assert {tag: first[tag] for tag in kept} == kept
    assert first[Base.XResolution] == 300
    assert first.get(Base.Orientation, 1) == 1
    assert photo[Base.ExposureTime] == pytest.approx(0.005)
    assert photo[Base.DateTimeOriginal] == "2024:05:01 12:00:00"
    assert photo[Base.ColorSpace] == 1  # sRGB now
    assert not {Base.ExifImageWidth, Base.ExifImageHeight, Base.MakerNote} & set(photo)
    assert gps[2] == (48, 8, 30)
    assert not thumbnail
    assert Base.YCbCrPositioning not in first
    again = read_image(path)
    assert again.rgb.shape == (60, 40, 3)
    assert again.origin.exif == picture.origin.exif


def test_colour_space_stays_with_its_profile(tmp_path: Path) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.jpg", exif=camera_exif(1).tobytes(), icc_profile=display_p3())
    picture = read_image(tmp_path / "a.jpg", keep_profile=True)
    path = write_image(tmp_path / "b.jpg", picture.rgb, origin=picture.origin)
    assert exif_in(path)[1][Base.ColorSpace] == 65535


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_plain_file_has_no_origin_and_no_text(tmp_path: Path, suffix: str) -> None:
    path = write_image(tmp_path / f"a{suffix}", scene())
    assert read_image(path).origin == PLAIN
    assert picture_text(path) == {}


# --- XMP of others ---

PHOTOGRAPHERS = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:City="Jena"
  xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/" crs:Exposure2012="+1.5"
  xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"
  xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="Another 1.0" xmp:Rating="5">
 <dc:title xmlns:dc="http://purl.org/dc/elements/1.1/"><rdf:Alt>
  <rdf:li xml:lang="de">Für Ada &amp; Co</rdf:li></rdf:Alt></dc:title></rdf:Description>
<rdf:Description rdf:about="" xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
  i:DigitalSourceType="{TERMS}digitalCapture"/>
</rdf:RDF></x:xmpmeta><?xpacket end="w"?>
"""


def packet_in(path: Path) -> bytes:
    """Return a file's XMP packet."""
    with Image.open(path) as file:
        packet = file.info.get("xmp") or file.info["XML:com.adobe.xmp"].encode()
        assert isinstance(packet, bytes)
        return packet


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_photographers_xmp_is_carried_over(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.jpg", xmp=PHOTOGRAPHERS.encode())
    assert picture_facts(tmp_path / "a.jpg").source_type == "digitalCapture"
    origin = read_image(tmp_path / "a.jpg").origin
    path = write_image(tmp_path / f"b{suffix}", scene(), text={"k": "v"}, origin=origin, label="composite")
    packet = packet_in(path).decode()
    assert "Für Ada &amp; Co" in packet
    assert 'photoshop:City="Jena"' in packet
    assert 'xmp:Rating="5"' in packet
    for gone in ("Exposure2012", "tiff:", "Another 1.0", "digitalCapture"):
        assert gone not in packet
    assert picture_facts(path).source_type == "compositeWithTrainedAlgorithmicMedia"
    assert picture_text(path) == {"k": "v"}
    assert read_image(path).origin == origin
    again = write_image(tmp_path / f"c{suffix}", scene(), origin=origin)
    assert read_image(again).origin == origin


def test_a_picture_upscaled_twice_has_one_label_and_one_text(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.jpg", scene(), text={"k": "old"}, label="generated")
    assert read_image(path).origin.xmp is None
    again = write_image(
        tmp_path / "b.jpg", scene(), text={"k": "new"}, origin=read_image(path).origin, label="composite"
    )
    assert picture_text(again) == {"k": "new"}
    assert packet_in(again).count(b"DigitalSourceType>") == 2  # its beginning and its end


# --- text ---


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_text_is_read_as_it_was_written(tmp_path: Path, suffix: str) -> None:
    text = {"recipe": "pipelines/face.toml", "note": "für 顔 \u2013 'quotes', {braces} <&>]]>\nand lines", "empty": ""}
    path = write_image(tmp_path / f"a{suffix}", scene(), text=text)
    assert picture_text(path) == text
    assert read_image(path).rgb.shape == scene().shape


@pytest.mark.parametrize("text", ["no JSON", "[1, 2]", "12"])
def test_facegens_text_is_empty_if_it_is_not_a_json_object(tmp_path: Path, text: str) -> None:
    path = write_image(tmp_path / "a.jpg", scene(), text={"k": "v"})
    with Image.open(path) as file:
        packet = file.info["xmp"].replace(b'{"k": "v"}', text.encode())
    Image.fromarray(scene()).save(path, xmp=packet)
    assert picture_text(path) == {}


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("key", ["", "k" * 80, "Schlüssel", "two\nlines"])
def test_text_keys_are_short_and_plain(tmp_path: Path, key: str, suffix: str) -> None:
    with pytest.raises(UsageError, match="expected 1 to 79 printable ASCII"):
        write_image(tmp_path / f"a{suffix}", scene(), text={key: "value"})


# --- label ---


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("label", "term"),
    [("generated", "trainedAlgorithmicMedia"), ("composite", "compositeWithTrainedAlgorithmicMedia")],
)
def test_label_is_iptcs_digital_source_type(tmp_path: Path, suffix: str, label: Label, term: str) -> None:
    path = write_image(tmp_path / f"a{suffix}", scene(), label=label)
    [description] = ElementTree.fromstring(packet_in(path)).iter(
        "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"
    )
    found = {node.tag: node.text for node in description}
    term_in_file = found["{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"]
    assert term_in_file == TERMS + term == SOURCE_TYPES[label]
    assert found["{http://ns.adobe.com/xap/1.0/}CreatorTool"] == f"facegen {__version__}"
    assert picture_facts(path).source_type == term
    assert picture_text(path) == {}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_picture_has_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.jpg", exif=camera_exif().tobytes())
    origin = read_image(tmp_path / "a.jpg").origin
    text = {"facegen-record": json.dumps({"a": 1})}
    paths = [write_image(tmp_path / f"{n}{suffix}", scene(), text=text, origin=origin, label="composite") for n in "bc"]
    assert paths[0].read_bytes() == paths[1].read_bytes()


# --- XMP packets ---


def original(body: str, attributes: str = "") -> bytes:
    """Return a packet with one description, which has this body and these attributes."""
    spaces = f'xmlns:dc="{DC}" xmlns:xmp="{XMP}" xmlns:photoshop="{PHOTOSHOP}" xmlns:i="{IPTC}" xmlns:rdf="{RDF}"'
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {spaces}><rdf:Description rdf:about="" {attributes}>{body}'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def test_keywords_and_ratings_are_carried() -> None:
    keywords = "<dc:subject><rdf:Bag><rdf:li>garden</rdf:li><rdf:li>Ada</rdf:li></rdf:Bag></dc:subject>"
    data = packet({f"{{{XMP}}}CreatorTool": "new"}, carry(original(keywords, 'xmp:Rating="5"')))
    found = simple_properties(data)
    assert found[f"{{{XMP}}}Rating"] == "5"
    assert found[f"{{{XMP}}}CreatorTool"] == "new"
    root = ElementTree.fromstring(data)
    assert [node.text for node in root.iter(f"{{{RDF}}}li")] == ["garden", "Ada"]
    assert len(list(root.iter(f"{{{RDF}}}Description"))) == 1


def test_structures_within_are_not_taken_for_properties() -> None:
    rights = "<i:Rights><rdf:Description><xmp:Label>red</xmp:Label></rdf:Description></i:Rights>"
    data = original(rights)
    assert f"{{{XMP}}}Label" not in simple_properties(data)
    carried = carry(carry(data))
    assert carried is not None
    assert carried.count(b"red") == 1


@pytest.mark.parametrize(
    "attribute",
    ['xmp:CreatorTool="x"', 'photoshop:ICCProfile="x"', 'i:DigitalSourceType="x"', 'dc:format="image/jpeg"'],
)
def test_properties_that_do_not_hold_for_the_result_are_dropped(attribute: str) -> None:
    assert carry(original("", attribute)) is None


@pytest.mark.parametrize(
    "data", [None, b"", b"\0", b"<x", b"\xff", b"<a/>", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", original("<dc:a>")]
)
def test_damaged_packets_have_no_properties(data: bytes | None) -> None:
    assert simple_properties(data) == {}
    assert carry(data) is None
