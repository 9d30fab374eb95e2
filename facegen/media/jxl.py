"""Facts that the JPEG XL plugin does not offer: a picture's size before it is decoded, and its XMP packet.

Source: ISO/IEC 18181-1 (size header) and 18181-2 (boxes).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

CODESTREAM, CONTAINER = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
"""First bytes of the two kinds of JPEG XL files."""
_RATIOS = {1: (1, 1), 2: (6, 5), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_WIDTHS = (9, 13, 18, 30)
_HEADER = 16
"""Number of bytes in which the size header surely ends."""


@dataclass(frozen=True)
class JXLFacts:
    """Size and XMP packet of a JPEG XL file."""

    size: tuple[int, int]
    """Width and height before the picture is turned."""
    xmp: bytes | None


def jxl_facts(data: bytes) -> JXLFacts | None:
    """Read the facts from a file's bytes; None if they are not JPEG XL, or the boxes are damaged."""
    if data.startswith(CODESTREAM):
        return JXLFacts(_size(data), None)
    if not data.startswith(CONTAINER):
        return None
    boxes = list(_boxes(data))
    streams = [body[4:] if kind == b"jxlp" else body for kind, body in boxes if kind in (b"jxlc", b"jxlp")]
    start = b"".join(stream[:_HEADER] for stream in streams)
    if not start.startswith(CODESTREAM):
        return None
    return JXLFacts(_size(start), next((body for kind, body in boxes if kind == b"xml "), None))


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of each box; stop at an impossible length."""
    at = 0
    while at + 8 <= len(data):
        length, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if length == 1:
            length, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        end = len(data) if length == 0 else at + length
        if end < at + head:
            return
        yield kind, data[at + head : end]
        at = end


def _size(stream: bytes) -> tuple[int, int]:
    """Read the size header, whose bits are in order from the lowest of each byte."""
    bits = int.from_bytes(stream[2:_HEADER], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    small = take(1)

    def side() -> int:
        return 8 * (take(5) + 1) if small else take(_WIDTHS[take(2)]) + 1

    height, ratio = side(), take(3)
    if not ratio:
        return side(), height
    over, under = _RATIOS[ratio]
    return height * over // under, height
