"""Writing PNG strip by strip, for pictures of which Pillow's copy, 4 bytes a pixel, would fill the memory."""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_UP = 2
"""Filter: each row as its difference to the one above (PNG specification, section 9.2)."""
_STRIP = 256
"""Rows at a time."""


def save_png(path: Path, rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, options: dict[str, Any]) -> None:
    """Write a PNG with what Pillow would write beside the pixels.

    Args:
        rgb: (H, W, 3); memory that is mapped from a file is given back as it has been read.
        alpha: (H, W) or None.
        options: as for Pillow's `save`, "compress_level" and "compress_type" among them.
    """
    height, width = rgb.shape[:2]
    line = Image.fromarray(_samples(rgb, alpha, 0, 1))
    frame = BytesIO()
    line.save(frame, "PNG", **options)
    with path.open("wb") as file:
        file.write(_SIGNATURE)
        for kind, body in _chunks(frame.getvalue()):
            if kind == b"IDAT":
                for part in _packed(rgb, alpha, options["compress_level"], options["compress_type"]):
                    file.write(_chunk(kind, part))
            else:
                file.write(_chunk(kind, struct.pack(">II", width, height) + body[8:] if kind == b"IHDR" else body))


def _packed(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, level: int, strategy: int) -> Iterator[bytes]:
    """The filtered and compressed rows, in parts."""
    packer = zlib.compressobj(level, strategy=strategy)
    above = np.zeros((1, rgb.shape[1], 3 if alpha is None else 4), np.uint8)
    for top in range(0, len(rgb), _STRIP):
        rows = _samples(rgb, alpha, top, top + _STRIP)
        differences = rows - np.concatenate([above, rows[:-1]])  # modulo 256
        lines = np.insert(differences.reshape(len(rows), -1), 0, _UP, axis=1)
        above = rows[-1:].copy()
        yield packer.compress(lines)
        _give_back(rgb)
    yield packer.flush()


def _samples(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, top: int, bottom: int) -> NDArray[np.uint8]:
    """(n, W, 3) or, with alpha, (n, W, 4)."""
    rows = rgb[top:bottom]
    return rows if alpha is None else np.dstack([rows, alpha[top:bottom]])


def _give_back(array: NDArray[np.uint8]) -> None:
    """Let the system take the memory of an array that is mapped from a file; it is read again when needed."""
    owner: Any = array
    while isinstance(owner, np.ndarray | memoryview):
        owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of each chunk of a PNG file."""
    at = len(_SIGNATURE)
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        yield kind, png[at + 8 : at + 8 + length]
        at += length + 12


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
