"""Metadata in picture files: EXIF, ICC profile and XMP of the source, facegen's text, the label of generated media.

facegen's text is in text chunks of PNG, and in the XMP packet of other formats. EXIF is the photographer's: facegen
adds nothing to it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from PIL import Image, PngImagePlugin
from PIL.ExifTags import IFD, Base

from facegen import __version__
from facegen.errors import UsageError

Label = Literal["generated", "composite"]
"""A picture made by networks, or a photograph with parts made by networks."""

SOURCE_TYPES: dict[Label, str] = {
    "generated": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
    "composite": "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia",
}
"""The IPTC's terms for the labels, see https://cv.iptc.org/newscodes/digitalsourcetype/."""

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XMP, IPTC, FACEGEN = "http://ns.adobe.com/xap/1.0/", "http://iptc.org/std/Iptc4xmpExt/2008-02-29/", "urn:facegen:xmp:"
PHOTOSHOP, DC = "http://ns.adobe.com/photoshop/1.0/", "http://purl.org/dc/elements/1.1/"
_META = "adobe:ns:meta/"
_XMP_CHUNK, _XMP_TAG = "XML:com.adobe.xmp", 700  # where PNG and TIFF keep XMP
_TEXT, _CREATOR, _SOURCE_TYPE = f"{{{FACEGEN}}}Text", f"{{{XMP}}}CreatorTool", f"{{{IPTC}}}DigitalSourceType"
_XMP_KEPT = {  # namespaces of texts by people; the others describe the source's samples
    DC: "dc", XMP: "xmp", PHOTOSHOP: "photoshop", IPTC: "Iptc4xmpExt",
    "http://ns.adobe.com/xap/1.0/rights/": "xmpRights", "http://ns.adobe.com/lightroom/1.0/": "lr",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "Iptc4xmpCore", "http://ns.useplus.org/ldf/xmp/1.0/": "plus",
    "http://creativecommons.org/ns#": "cc",
}  # fmt: skip
_XMP_DROPPED = {  # properties in those namespaces that do not hold for the result
    f"{{{DC}}}format", _CREATOR, f"{{{XMP}}}Thumbnails", _SOURCE_TYPE,
    *(f"{{{PHOTOSHOP}}}{name}" for name in ("ColorMode", "ICCProfile", "History", "DocumentAncestors")),
    *(f"{{{PHOTOSHOP}}}{name}" for name in ("LegacyIPTCDigest", "SidecarForExtension")),
}  # fmt: skip
_EXIF_KEPT = {  # tags of the first directory; its other tags describe the source's samples
    Base.ImageDescription, Base.Make, Base.Model, Base.XResolution, Base.YResolution, Base.ResolutionUnit,
    Base.Software, Base.DateTime, Base.Artist, Base.HostComputer, Base.Copyright, Base.Rating, Base.RatingPercent,
    Base.XPTitle, Base.XPComment, Base.XPAuthor, Base.XPKeywords, Base.XPSubject,
}  # fmt: skip
_EXIF_DROPPED = {  # tags of the second directory that do not hold for the result, or are addresses in the source
    Base.ExifImageWidth, Base.ExifImageHeight, Base.ComponentsConfiguration, Base.CompressedBitsPerPixel,
    Base.ExifInteroperabilityOffset, Base.MakerNote,
}  # fmt: skip
_SEGMENT, _XMP_HEAD = 65_533, 29
"""Bytes of a JPEG segment; bytes in it that identify it as XMP."""
_SRGB = 1  # EXIF's ColorSpace

for _uri, _prefix in {**_XMP_KEPT, _META: "x", RDF: "rdf", FACEGEN: "facegen"}.items():
    ElementTree.register_namespace(_prefix, _uri)


@dataclass(frozen=True)
class Origin:
    """Metadata of a source file that its results keep."""

    exif: bytes | None = None
    """EXIF, upright, without thumbnail, pixel sizes and the maker's notes."""
    profile: bytes | None = None
    """The ICC profile of the values; None stands for sRGB."""
    xmp: bytes | None = None
    """Captions, keywords, rights and other texts from the XMP packet; see `carry`."""


PLAIN = Origin()


@dataclass(frozen=True)
class Facts:
    """Format and metadata of a picture file."""

    format: str
    """Pillow's name for it: "PNG", "JPEG", "WEBP", "TIFF"."""
    text: Mapping[str, str]
    """A PNG's text chunks before its pixels; in other formats, the text that `write_image` wrote."""
    source_type: str | None
    """IPTC's digital source type, written by any program: "trainedAlgorithmicMedia"."""
    creator: str
    """The program that wrote it, "facegen 0.2.0"; "" if unknown."""


def origin_of(file: Image.Image, profile: bytes | None) -> Origin:
    """Return the metadata of an open file that still hold once its pixels are upright and in `profile`."""
    return Origin(_carried_exif(file, profile), profile, carry(_packet_in(file)))


def _carried_exif(file: Image.Image, profile: bytes | None) -> bytes | None:
    """Return EXIF for an `Origin`; None if it is missing or damaged."""
    try:
        found = file.getexif()
        exif = Image.Exif()
        exif.update({tag: value for tag, value in found.items() if tag in _EXIF_KEPT})
        photo = {tag: value for tag, value in found.get_ifd(IFD.Exif).items() if tag not in _EXIF_DROPPED}
        if profile is None and Base.ColorSpace in photo:
            photo[Base.ColorSpace] = _SRGB
        for directory, entries in ((IFD.Exif, photo), (IFD.GPSInfo, found.get_ifd(IFD.GPSInfo))):
            if entries:
                exif[directory] = entries
        if Base.Orientation in found:
            exif[Base.Orientation] = 1
        return exif.tobytes() if len(exif) else None
    except Exception:  # damaged EXIF is no reason to refuse the picture
        return None


def orientation(file: Image.Image) -> int:
    """Return EXIF's orientation, 1 to 8; 1 (upright) if it is missing or damaged.

    JPEG XL turns its pixels itself: its EXIF counts only if the file was made of a JPEG's data.
    """
    if file.format == "JXL" and not getattr(file, "jpeg", False):
        return 1
    try:
        return int(file.getexif().get(Base.Orientation, 1))
    except Exception:  # as above
        return 1


def save_options(file_format: str, text: Mapping[str, str], origin: Origin, label: Label | None) -> dict[str, Any]:
    """Return the options for Pillow's `save` that write text, origin and label into a file of this format."""
    for key in text:
        if not (1 <= len(key) <= 79 and key.isascii() and key.isprintable()):
            raise UsageError(f"text key {key!r}: expected 1 to 79 printable ASCII characters.")
    options: dict[str, Any] = {"icc_profile": origin.profile} if origin.profile else {}
    xmp = _xmp_for({} if file_format == "PNG" else text, origin, label)
    if file_format == "TIFF":
        exif = Image.Exif()
        if origin.exif:
            exif.load(origin.exif)
            options["compression"] = "raw"  # with any other, Pillow leaves writing to libtiff, which fails on EXIF
        if xmp:
            exif[_XMP_TAG] = xmp
        return options | {"exif": exif}
    if origin.exif:
        options["exif"] = origin.exif
    if file_format != "PNG":
        return options | ({"xmp": xmp} if xmp else {})
    chunks = PngImagePlugin.PngInfo()
    for key, value in text.items():
        chunks.add_text(key, value)
    if xmp:
        chunks.add_itxt(_XMP_CHUNK, xmp.decode())
    return options | {"pnginfo": chunks}


def fit_jpeg(
    text: Mapping[str, str], origin: Origin, label: Label | None
) -> tuple[dict[str, str], Origin, list[str]]:
    """Omit metadata beyond the 64 KB that JPEG has for EXIF and for XMP; also return the names of what was omitted."""
    kept, omitted = dict(text), []
    if origin.exif and len(origin.exif) > _SEGMENT:
        origin, omitted = replace(origin, exif=None), ["EXIF"]
    if origin.xmp and len(_xmp_for(kept, origin, label) or b"") > _SEGMENT - _XMP_HEAD:
        origin, omitted = replace(origin, xmp=None), [*omitted, "XMP"]
    while kept and len(_xmp_for(kept, origin, label) or b"") > _SEGMENT - _XMP_HEAD:
        longest = max(kept, key=lambda key: len(kept[key]))
        del kept[longest]
        omitted.append(longest)
    return kept, origin, omitted


def facts_of(file: Image.Image) -> Facts:
    """Return format and metadata of an open file."""
    properties = simple_properties(_packet_in(file))
    if isinstance(file, PngImagePlugin.PngImageFile):  # its attribute `text` would decode the pixels
        found = {str(key): str(value) for key, value in file.info.items() if isinstance(value, str)}
        text = {key: value for key, value in found.items() if key != _XMP_CHUNK}
    else:
        text = read_text(properties.get(_TEXT, "{}"))
    source_type = properties.get(_SOURCE_TYPE, "").strip().rpartition("/")[2] or None
    return Facts(str(file.format), text, source_type, properties.get(_CREATOR, ""))


def read_text(written: str) -> dict[str, str]:
    """Read text that facegen wrote as a JSON object; {} if it is none."""
    try:
        text = json.loads(written)
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in text.items()} if isinstance(text, dict) else {}


def _packet_in(file: Image.Image) -> bytes | None:
    found = file.info.get("xmp") or file.info.get(_XMP_CHUNK)
    return found.encode() if isinstance(found, str) else found


def _xmp_for(text: Mapping[str, str], origin: Origin, label: Label | None) -> bytes | None:
    """Write an XMP packet; None if there is nothing to write."""
    properties = {} if label is None else {_SOURCE_TYPE: SOURCE_TYPES[label]}
    if text:
        properties[_TEXT] = json.dumps(dict(text))
    if not properties and not origin.xmp:
        return None
    return packet({_CREATOR: f"facegen {__version__}"} | properties, origin.xmp)


def packet(properties: Mapping[str, str], carried: bytes | None = None) -> bytes:
    """Write an XMP packet of "{namespace}name" -> value, and of the properties that `carry` returned."""
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
    """Reduce a packet to the properties that also hold for a result; None if there are none."""
    kept = Element(f"{{{RDF}}}Description")
    for original in _descriptions(data):
        kept.attrib |= {name: value for name, value in original.attrib.items() if _is_kept(name)}
        kept.extend(child for child in original if _is_kept(child.tag))
    if not kept.attrib and not len(kept):
        return None
    root = Element(f"{{{RDF}}}RDF")
    root.append(kept)
    return ElementTree.tostring(root)


def simple_properties(data: bytes | None) -> dict[str, str]:
    """Return the properties in a packet that are plain text; {} if the packet is missing or damaged."""
    found: dict[str, str] = {}
    for description in _descriptions(data):
        found |= description.attrib | {child.tag: child.text or "" for child in description}
    return found


def _descriptions(data: bytes | None) -> list[Element]:
    """Return the descriptions in a packet; none if it is missing or damaged."""
    if not data or b"<!DOCTYPE" in data:  # XMP has no DOCTYPE; one could only serve to overload the parser
        return []
    try:
        root = ElementTree.fromstring(data.strip(b"\0 \r\n\t"))
    except (ElementTree.ParseError, ValueError):
        return []
    return [node for rdf in root.iter(f"{{{RDF}}}RDF") for node in rdf if node.tag == f"{{{RDF}}}Description"]


def _is_kept(name: str) -> bool:
    return name not in _XMP_DROPPED and name[1:].partition("}")[0] in _XMP_KEPT
