"""What a picture file says beside its pixels: EXIF and profile carried over, text of ours, the mark of generated media.

Each format keeps facegen's text in one place: PNG in text chunks, JPEG, WebP and TIFF in the XMP packet. EXIF is the
photographer's: nothing of facegen's goes there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image, PngImagePlugin
from PIL.ExifTags import IFD, Base

from facegen import __version__
from facegen.errors import UsageError
from facegen.media.xmp import FACEGEN, IPTC, XMP, carry, packet, simple_properties

Label = Literal["generated", "composite"]
"""A picture that is all made by networks, or a photograph with parts of it made by them."""

SOURCE_TYPES: dict[Label, str] = {
    "generated": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
    "composite": "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia",
}
"""The IPTC's terms for them, see https://cv.iptc.org/newscodes/digitalsourcetype/."""

_XMP_CHUNK, _XMP_TAG = "XML:com.adobe.xmp", 700  # where PNG and TIFF keep XMP
_TEXT, _CREATOR, _SOURCE_TYPE = f"{{{FACEGEN}}}Text", f"{{{XMP}}}CreatorTool", f"{{{IPTC}}}DigitalSourceType"
_KEPT = {  # of EXIF's first directory; the others there describe the samples of the file that was read
    Base.ImageDescription, Base.Make, Base.Model, Base.XResolution, Base.YResolution, Base.ResolutionUnit,
    Base.Software, Base.DateTime, Base.Artist, Base.HostComputer, Base.Copyright, Base.Rating, Base.RatingPercent,
    Base.XPTitle, Base.XPComment, Base.XPAuthor, Base.XPKeywords, Base.XPSubject,
}  # fmt: skip
_DROPPED = {  # of EXIF's second directory: what is no longer so, or an address in the old file
    Base.ExifImageWidth, Base.ExifImageHeight, Base.ComponentsConfiguration, Base.CompressedBitsPerPixel,
    Base.ExifInteroperabilityOffset, Base.MakerNote,
}  # fmt: skip
_SRGB = 1  # EXIF's ColorSpace


@dataclass(frozen=True)
class Origin:
    """What a file brought along and its results carry on."""

    exif: bytes | None = None
    """EXIF, upright, without thumbnail, pixel sizes and the maker's notes."""
    profile: bytes | None = None
    """The ICC profile that the values are in; None is sRGB."""
    xmp: bytes | None = None
    """What people wrote into the XMP packet: captions, keywords, rights; see `facegen.media.xmp.carry`."""


PLAIN = Origin()
"""Of a picture that brought nothing along."""


def carried_xmp(file: Image.Image) -> bytes | None:
    """XMP as an `Origin` keeps it; None if there is nothing to keep."""
    return carry(_packet_in(file))


def carried_exif(file: Image.Image, profile: bytes | None) -> bytes | None:
    """EXIF as an `Origin` keeps it, to go with upright values in `profile`; None if there is none or it is damaged."""
    try:
        found = file.getexif()
        exif = Image.Exif()
        exif.update({tag: value for tag, value in found.items() if tag in _KEPT})
        photo = {tag: value for tag, value in found.get_ifd(IFD.Exif).items() if tag not in _DROPPED}
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
    """EXIF's orientation, 1 to 8; 1 (upright) if there is none or it is damaged."""
    try:
        return int(file.getexif().get(Base.Orientation, 1))
    except Exception:  # as above
        return 1


def save_options(file_format: str, text: Mapping[str, str], origin: Origin, label: Label | None) -> dict[str, Any]:
    """What Pillow's `save` needs to put text, origin and label into a file of this format.

    Raises:
        UsageError: if a key of `text` is not 1 to 79 printable ASCII characters.
    """
    for key in text:
        if not (1 <= len(key) <= 79 and key.isascii() and key.isprintable()):
            raise UsageError(f"text key {key!r}: expected 1 to 79 printable ASCII characters.")
    options: dict[str, Any] = {"icc_profile": origin.profile} if origin.profile else {}
    xmp = _packet({} if file_format == "PNG" else text, origin, label)
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
    if file_format == "PNG":
        return options | {"pnginfo": _chunks(text, xmp)}
    return options | ({"xmp": xmp} if xmp else {})


def text_of(file: Image.Image) -> dict[str, str]:
    """The text in an open file: of a PNG, the text chunks before its pixels; of others, what facegen put there."""
    if isinstance(file, PngImagePlugin.PngImageFile):  # not its `text`, for which Pillow decodes the pixels
        found = {str(key): str(value) for key, value in file.info.items() if isinstance(value, str)}
        return {key: value for key, value in found.items() if key != _XMP_CHUNK}
    try:
        text = json.loads(simple_properties(_packet_in(file)).get(_TEXT, "{}"))
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in text.items()} if isinstance(text, dict) else {}


def source_type_of(file: Image.Image) -> str | None:
    """IPTC's digital source type of an open file, whoever wrote it: the term alone, "trainedAlgorithmicMedia"."""
    return simple_properties(_packet_in(file)).get(_SOURCE_TYPE, "").strip().rpartition("/")[2] or None


def _packet(text: Mapping[str, str], origin: Origin, label: Label | None) -> bytes | None:
    """An XMP packet, or None if there is nothing to say."""
    said = {}
    if label is not None:
        said[_SOURCE_TYPE] = SOURCE_TYPES[label]
    if text:
        said[_TEXT] = json.dumps(dict(text))
    if not said and not origin.xmp:
        return None
    return packet({_CREATOR: f"facegen {__version__}"} | said, origin.xmp)


def _packet_in(file: Image.Image) -> bytes | None:
    found = file.info.get("xmp") or file.info.get(_XMP_CHUNK)
    return found.encode() if isinstance(found, str) else found


def _chunks(text: Mapping[str, str], xmp: bytes | None) -> PngImagePlugin.PngInfo:
    chunks = PngImagePlugin.PngInfo()
    for key, value in text.items():
        chunks.add_text(key, value)
    if xmp:
        chunks.add_itxt(_XMP_CHUNK, xmp.decode())
    return chunks
