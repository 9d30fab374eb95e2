"""Recognise by bytes, without decoding: results that were cut short, and content of photos that results omit."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from facegen.errors import FileError, ImageError
from facegen.media.decoding import opened

OMITTED: dict[str, tuple[bytes, ...]] = {
    "gain map": (
        b"http://ns.adobe.com/hdr-gain-map/1.0/", b"http://ns.apple.com/HDRGainMap/1.0/",
        b"urn:iso:std:iso:ts:21496:-1", b"urn:com:apple:photo:2020:aux:hdrgainmap",
    ),
    "film of a motion photo": (
        b'MotionPhoto="1"', b"MotionPhoto>1<", b'MicroVideo="1"', b"MicroVideo>1<", b'Semantic="MotionPhoto"',
        b"Semantic>MotionPhoto<", b"MotionPhoto_Data",
    ),
    "depth map": (
        b'Semantic="Depth"', b"Semantic>Depth<", b"http://ns.google.com/photos/1.0/depthmap/",
        b"urn:mpeg:hevc:2015:auxid:2",
    ),
    "bits beyond 8 a sample": tuple(
        b"pixi\0\0\0\0" + bytes([count]) + count * bytes([bits]) for count in (1, 3, 4) for bits in (10, 12, 16)
    ),
    "content credentials": (b"jumdc2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71",),
}  # fmt: skip
"""Content -> byte strings; a file with that content has at least one, in its XMP packet or in the content's box.

HDR gain maps of Adobe and Google (Ultra HDR), Apple, and ISO 21496-1; motion photos of Google and Samsung; depth maps
of Google, and of MPEG (ISO/IEC 23008-2); the bits of AVIF and HEIC (pixi, ISO/IEC 23008-12); C2PA's manifest store,
which is in the same JUMBF box in every kind of file.
"""
_STRIP_OFFSETS, _STRIP_SIZES = 273, 279  # TIFF's tags


def omitted_from(path: Path) -> list[str]:
    """Name the content of a picture file that its results will lack: keys of `OMITTED`.

    Raises:
        ImageError: if the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}); check the path.") from None
    return [name for name, signatures in OMITTED.items() if any(signature in data for signature in signatures)]


def is_whole(path: Path) -> bool:
    """Return whether a picture or MP4 file that facegen wrote has its end; other files are whole unless empty."""
    try:
        size = path.stat().st_size
        if not size:
            return False
        with path.open("rb") as file:
            head = file.read(16)
            file.seek(max(size - 12, 0))
            tail = file.read()
            if head[4:8] in (b"ftyp", b"JXL "):
                return _boxes_end(file, size)
        if head.startswith((b"II*\0", b"MM\0*")):
            return _strips_end(path) <= size
    except (OSError, FileError):
        return False
    if head.startswith(b"\x89PNG"):
        return tail[4:8] == b"IEND"
    if head.startswith(b"\xff\xd8"):
        return tail.endswith(b"\xff\xd9")
    return head[:4] != b"RIFF" or int.from_bytes(head[4:8], "little") + 8 <= size


def _strips_end(path: Path) -> int:
    """Return where the last pixels of a TIFF file end."""
    with opened(path, any_size=True) as file:
        tags = file.tag_v2  # type: ignore[attr-defined]
        return int(max(map(sum, zip(tags[_STRIP_OFFSETS], tags[_STRIP_SIZES], strict=True))))


def _boxes_end(file: BinaryIO, size: int) -> bool:
    """Return whether the last box of an MP4, AVIF or JPEG XL file ends where the file does (ISO/IEC 14496-12, 4.2)."""
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(16).ljust(16, b"\0")
        (length,) = struct.unpack(">I", head[:4])
        if length == 1:
            (length,) = struct.unpack(">Q", head[8:])
        if length < 8:
            return False
        at += length
    return at == size
