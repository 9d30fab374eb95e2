"""Which picture files were compressed in blocks, whose borders may show as a grid."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from facegen.media.decoding import opened
from facegen.media.metadata import orientation

_CHUNKS_FROM = 12  # after "RIFF", the length and "WEBP"


def block_side(path: Path, side: int) -> int:
    """Side in pixels of the smallest blocks that a file's luma was compressed in: 8 of JPEG, 4 of lossy WebP, else 0.

    AVIF and HEIC choose the side for every block, so 0. Of a picture that EXIF turns or mirrors it is 0 where part of a
    block would then come first. What a picture went through before it was stored is not seen.

    Args:
        side: of the picture as it is used; of one that is stored larger or smaller, and so resized, the answer is 0.
    Raises:
        ImageError, MissingExtraError: as `facegen.media.images.picture_facts`.
    """
    with opened(path, any_size=True) as file:
        picture_format, size, upright = file.format, file.size, orientation(file) == 1
    if size != (side, side):
        return 0
    block = _of_format(path, picture_format)
    in_parts = not upright and block > 0 and side % block > 0
    return 0 if in_parts else block


def _of_format(path: Path, picture_format: str | None) -> int:
    """Side of the blocks of an upright file."""
    if picture_format == "WEBP":
        with path.open("rb") as stored:
            return 4 if _is_lossy(stored) else 0
    return 8 if picture_format in ("JPEG", "MPO") else 0


def _is_lossy(webp: BinaryIO) -> bool:
    """Whether the picture is in a chunk "VP8 ", not "VP8L" (RFC 9649, section 2)."""
    webp.seek(_CHUNKS_FROM)
    while header := webp.read(8):
        if header[:4] in (b"VP8 ", b"VP8L"):
            return header[:4] == b"VP8 "
        length = int.from_bytes(header[4:], "little")
        webp.seek(length + length % 2, 1)
    return False  # an animation, whose frames have chunks of their own
