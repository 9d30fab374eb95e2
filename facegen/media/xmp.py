"""XMP packets: what facegen says in one, beside what a photographer said in the packet of the original."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XMP, IPTC, FACEGEN = "http://ns.adobe.com/xap/1.0/", "http://iptc.org/std/Iptc4xmpExt/2008-02-29/", "urn:facegen:xmp:"
PHOTOSHOP, DC = "http://ns.adobe.com/photoshop/1.0/", "http://purl.org/dc/elements/1.1/"
_META = "adobe:ns:meta/"

_KEPT = {  # namespaces of what people write; the others are programs' notes on the samples of the original
    DC: "dc", XMP: "xmp", PHOTOSHOP: "photoshop", IPTC: "Iptc4xmpExt",
    "http://ns.adobe.com/xap/1.0/rights/": "xmpRights", "http://ns.adobe.com/lightroom/1.0/": "lr",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "Iptc4xmpCore", "http://ns.useplus.org/ldf/xmp/1.0/": "plus",
    "http://creativecommons.org/ns#": "cc",
}  # fmt: skip
_DROPPED = {  # in those namespaces: what is not so of a picture made from the original
    f"{{{DC}}}format", f"{{{XMP}}}CreatorTool", f"{{{XMP}}}Thumbnails", f"{{{IPTC}}}DigitalSourceType",
    *(f"{{{PHOTOSHOP}}}{name}" for name in ("ColorMode", "ICCProfile", "History", "DocumentAncestors")),
    *(f"{{{PHOTOSHOP}}}{name}" for name in ("LegacyIPTCDigest", "SidecarForExtension")),
}  # fmt: skip

for _uri, _prefix in {**_KEPT, _META: "x", RDF: "rdf", FACEGEN: "facegen"}.items():
    ElementTree.register_namespace(_prefix, _uri)


def packet(properties: Mapping[str, str], carried: bytes | None = None) -> bytes:
    """Write a packet.

    Args:
        properties: values by their names, as "{namespace}name".
        carried: what `carry` took out of the original's.
    """
    description = Element(f"{{{RDF}}}Description", {f"{{{RDF}}}about": ""})
    for name, value in properties.items():
        ElementTree.SubElement(description, name).text = value
    for original in _descriptions(carried):
        description.attrib |= original.attrib
        description.extend(original)
    root = Element(f"{{{_META}}}xmpmeta")
    ElementTree.SubElement(root, f"{{{RDF}}}RDF").append(description)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{body}<?xpacket end="r"?>'.encode()


def carry(data: bytes | None) -> bytes | None:
    """A packet with what holds of a picture made from the original too; None if that is nothing."""
    kept = Element(f"{{{RDF}}}Description")
    for original in _descriptions(data):
        kept.attrib |= {name: value for name, value in original.attrib.items() if _holds(name)}
        kept.extend(child for child in original if _holds(child.tag))
    if not kept.attrib and not len(kept):
        return None
    root = Element(f"{{{RDF}}}RDF")
    root.append(kept)
    return ElementTree.tostring(root)


def simple_properties(data: bytes | None) -> dict[str, str]:
    """The values in a packet that are single texts, by their names; {} if there is none or it is damaged."""
    found: dict[str, str] = {}
    for description in _descriptions(data):
        found |= description.attrib | {child.tag: child.text or "" for child in description}
    return found


def _descriptions(data: bytes | None) -> list[Element]:
    """What a packet says, in one piece or several; nothing if it is damaged."""
    if not data or b"<!DOCTYPE" in data:  # XMP has none; it could only be there to blow up the parser
        return []
    try:
        root = ElementTree.fromstring(data.strip(b"\0 \r\n\t"))
    except (ElementTree.ParseError, ValueError):
        return []
    return [node for rdf in root.iter(f"{{{RDF}}}RDF") for node in rdf if node.tag == f"{{{RDF}}}Description"]


def _holds(name: str) -> bool:
    return name not in _DROPPED and name[1:].partition("}")[0] in _KEPT
