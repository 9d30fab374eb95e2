"""Recognise results that were cut short, as by an interrupted copy, without decoding them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from facegen.errors import FileError
from facegen.media.decoding import opened

_STRIP_OFFSETS, _STRIP_SIZES = 273, 279  # TIFF's tags


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
