"""XMP packets: what is carried from the original's, what is not, and that nothing damaged gets in the way."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from facegen.media.xmp import DC, FACEGEN, IPTC, PHOTOSHOP, RDF, XMP, carry, packet, simple_properties


def original(body: str, attributes: str = "") -> bytes:
    """Return a packet whose one description says this."""
    spaces = f'xmlns:dc="{DC}" xmlns:xmp="{XMP}" xmlns:photoshop="{PHOTOSHOP}" xmlns:i="{IPTC}" xmlns:rdf="{RDF}"'
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {spaces}><rdf:Description rdf:about="" {attributes}>{body}'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def test_properties_come_back() -> None:
    properties = {f"{{{XMP}}}CreatorTool": "facegen <&> ü", f"{{{FACEGEN}}}Text": '{"a": "]]>"}'}
    assert properties.items() <= simple_properties(packet(properties)).items()


def test_what_people_wrote_is_carried() -> None:
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
def test_what_is_not_so_of_the_result_is_dropped(attribute: str) -> None:
    assert carry(original("", attribute)) is None


@pytest.mark.parametrize(
    "data", [None, b"", b"\0", b"<x", b"\xff", b"<a/>", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", original("<dc:a>")]
)
def test_what_is_damaged_says_nothing(data: bytes | None) -> None:
    assert simple_properties(data) == {}
    assert carry(data) is None
