"""Write PNG and TIFF with 16 bits a sample, which Pillow cannot; Pillow provides their metadata."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from io import BytesIO
from itertools import accumulate
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, TiffImagePlugin, TiffTags

Deep = NDArray[np.uint16]
"""A picture, (H, W, 3), or with its alpha (H, W, 4)."""

DEEP_FORMATS = ("PNG", "TIFF")
"""Pillow's names of the formats that keep 16 bits."""
STRIP = 1_000_000
"""Samples compressed at a time, about."""
LEVEL = 1
"""zlib's compression level; the lower bytes of samples are noise, which higher levels do not make smaller."""
_Tag = TiffImagePlugin
_DEFLATE, _RGB, _DIFFERENCES, _TOGETHER, _UNASSOCIATED = 8, 2, 2, 1, 2
_TIFF_HEADER = 8


def save_deep(file: BinaryIO, file_format: str, rgb: Deep, alpha: NDArray[np.uint8] | None, **options: Any) -> None:
    """Write 16 bits a sample.

    Args:
        file: empty, writable and seekable.
        file_format: one of `DEEP_FORMATS`.
        rgb: (H, W, 3).
        alpha: (H, W), or None.
        options: the metadata, as `save_options` returns it for Pillow.
    """
    write = _write_png if file_format == "PNG" else _write_tiff
    write(file, rgb, alpha, options)


def _write_png(file: BinaryIO, rgb: Deep, alpha: NDArray[np.uint8] | None, options: Mapping[str, Any]) -> None:
    """Write PNG's chunks (www.w3.org/TR/png): the header, Pillow's metadata, the pixels, the end."""
    height, width = rgb.shape[:2]
    file.write(b"\x89PNG\r\n\x1a\n")
    colour = 2 if alpha is None else 6
    PngImagePlugin.putchunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
    for name, data in _png_metadata(options):
        PngImagePlugin.putchunk(file, name, data)
    packer = zlib.compressobj(LEVEL)
    for strip in _strips(rgb, alpha):
        samples = strip.astype(">u2").view(np.uint8).reshape(*strip.shape, 2)
        before = np.zeros_like(samples)
        before[:, 1:] = samples[:, :-1]
        rows = np.full((len(samples), 1 + samples[0].size), 1, np.uint8)  # each row begins with its filter: 1, Sub
        rows[:, 1:] = (samples - before).reshape(len(samples), -1)
        PngImagePlugin.putchunk(file, b"IDAT", packer.compress(rows.tobytes()))
    PngImagePlugin.putchunk(file, b"IDAT", packer.flush())
    PngImagePlugin.putchunk(file, b"IEND", b"")


def _png_metadata(options: Mapping[str, Any]) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and content of the chunks in which Pillow writes metadata."""
    with BytesIO() as memory:
        Image.new("RGB", (1, 1)).save(memory, "PNG", **options)
        data = memory.getvalue()
    at = 8
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        if name not in (b"IHDR", b"IDAT", b"IEND"):
            yield name, data[at + 8 : at + 8 + length]
        at += 12 + length


def _write_tiff(file: BinaryIO, rgb: Deep, alpha: NDArray[np.uint8] | None, options: Mapping[str, Any]) -> None:
    """Write a TIFF (Adobe, TIFF 6.0, 1992): the pixels in strips after room for the directory, then the directory."""
    height, width = rgb.shape[:2]
    channels, rows = 3 if alpha is None else 4, _rows(rgb, alpha)
    directory = _tiff_metadata(options)
    directory[_Tag.IMAGEWIDTH], directory[_Tag.IMAGELENGTH] = width, height
    directory[_Tag.BITSPERSAMPLE] = (16,) * channels
    directory[_Tag.COMPRESSION], directory[_Tag.PREDICTOR] = _DEFLATE, _DIFFERENCES
    directory[_Tag.PHOTOMETRIC_INTERPRETATION], directory[_Tag.PLANAR_CONFIGURATION] = _RGB, _TOGETHER
    directory[_Tag.SAMPLESPERPIXEL], directory[_Tag.ROWSPERSTRIP] = channels, rows
    if alpha is not None:
        directory[_Tag.EXTRASAMPLES] = _UNASSOCIATED
    for tag in (_Tag.STRIPOFFSETS, _Tag.STRIPBYTECOUNTS):
        directory.tagtype[tag] = TiffTags.LONG
        directory[tag] = (0,) * -(-height // rows)
    start = _TIFF_HEADER + len(directory.tobytes(_TIFF_HEADER))
    file.seek(start)
    sizes = [file.write(zlib.compress(_differences(strip), LEVEL)) for strip in _strips(rgb, alpha)]
    directory[_Tag.STRIPBYTECOUNTS] = tuple(sizes)
    directory[_Tag.STRIPOFFSETS] = tuple(accumulate(sizes[:-1], initial=0))  # Pillow adds where the directory ends
    file.seek(0)
    directory.save(file)


def _tiff_metadata(options: Mapping[str, Any]) -> TiffImagePlugin.ImageFileDirectory_v2:
    """Return a directory with the EXIF, profile and XMP of Pillow's options."""
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    exif: Image.Exif = options["exif"]
    for tag, value in exif.items():
        directory[tag] = exif.get_ifd(tag) if tag in TiffTags.TAGS_V2_GROUPS else value
    if profile := options.get("icc_profile"):
        directory[_Tag.ICCPROFILE] = profile
    return directory


def _differences(strip: Deep) -> bytes:
    """Encode each pixel as its difference to the pixel on its left, little-endian."""
    coded = strip.copy()
    coded[:, 1:] -= strip[:, :-1]
    return coded.astype("<u2").tobytes()


def _rows(rgb: Deep, alpha: NDArray[np.uint8] | None) -> int:
    width: int = rgb.shape[1]
    return max(STRIP // (width * (3 if alpha is None else 4)), 1)


def _strips(rgb: Deep, alpha: NDArray[np.uint8] | None) -> Iterator[Deep]:
    """Yield the rows with their alpha, (h, W, 3 or 4), about `STRIP` samples at a time."""
    rows = _rows(rgb, alpha)
    for top in range(0, len(rgb), rows):
        strip = rgb[top : top + rows]
        if alpha is not None:
            strip = np.dstack([strip, alpha[top : top + rows].astype(np.uint16) * 257])
        yield np.asarray(strip, dtype=np.uint16)
