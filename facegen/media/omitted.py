"""Find the content of a photo's file that its results omit, such as a gain map, to report it."""

from __future__ import annotations

from pathlib import Path

from facegen.errors import ImageError

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
