"""Broken and odd pictures, films and names, over 600 of them, as strangers, cameras and broken downloads leave them."""

from __future__ import annotations

import io
import os
import random
import socket
import struct
import zlib
from collections.abc import Callable
from contextlib import chdir
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from facegen.arrays import RGB
from facegen.media.video_writer import write_video
from tests.fuzz import damaged
from tests.video.films import beep

Make = Callable[[Path], object]
PICTURES = ("png", "jpg", "webp", "tif", "gif", "bmp", "ppm", "avif")
FILMS = ("mp4", "webm", "mkv", "mov")
CUTS = (1, 4, 12, 0.1, 0.25, 0.5, 0.75, 0.9, -20, -4, -1)
"""Bytes that are left of a file, or a share of them, or the bytes that its end lacks."""
DAMAGED = 14
"""Files of each format with bytes changed, inserted or cut out at random."""
EXTENSIONS = {"jpg": "JPEG", "tif": "TIFF", "ppm": "PPM"}
NO_PICTURES: dict[str, bytes] = {
    "empty": b"",
    "nul": b"\0" * 4096,
    "text": b"a photo of my grandmother\n",
    "html": b"<!doctype html><title>404</title><h1>Not Found</h1>",
    "json": b'{"error": "quota exceeded"}',
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "xml": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbbbbbbbb">]><a>' + b"&b;" * 1000 + b"</a>",
    "pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF",
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\nshowpage\n",
    "zip": b"PK\x03\x04" + b"\0" * 60,
    "gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + b"\0" * 60,
    "elf": b"\x7fELF\x02\x01\x01" + b"\0" * 60,
    "exe": b"MZ\x90\0" + b"\0" * 60,
    "script": b"#!/bin/sh\nrm -rf ~\n",
    "sqlite": b"SQLite format 3\0" + b"\0" * 84,
    "psd": b"8BPS\0\x01" + b"\0" * 60,
    "ico": b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0 \0" + b"\0" * 60,
    "dng": b"II*\0\x08\0\0\0\x01\0\x12\xc6\x01\0\x04\0\0\0\x01\x04\0\0\0\0\0\0",
    "lists": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "m3u": b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n",
    "utf16": "a photo".encode("utf-16"),
    "noise": random.Random(0).randbytes(5000),
    "random after a PNG's head": b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(500),
    "random after a JPEG's head": b"\xff\xd8\xff\xe0\0\x10JFIF\0" + random.Random(2).randbytes(500),
    "random after a film's head": b"\0\0\0\x18ftypmp42\0\0\0\0" + random.Random(3).randbytes(500),
}
NAMES = (
    b"caf\xe9", b"a\nb", b"a\rb", b"\x1b[31mred\x07", b"[/b]", b"[red]:smile:", b"-rf", b"--out", b"%s%n{0}{x}",
    b"$(id)`id`", b"=1+1", b" ", b"a ", b"a.", b"..", b"'\"", b"\\", b"*?", b"CON", b"~", b"#", b"\xff\xfe",
    "顔😀".encode(), "e\u0301\u202egnp".encode(), b"x" * 200, b"x" * 245, b"x" * 251, "é".encode() * 125,
)  # fmt: skip


@cache
def odd_files() -> dict[str, Make]:
    """Name -> what makes that file, or whatever it is; the suffix of the name is the file's."""
    return {**_broken(), **_odd_pictures(), **_forged(), **_odd_films(), **_others()}


def make_odd_file(folder: Path, name: str) -> Path:
    """Make one of `odd_files` in a folder; returns its path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    odd_files()[name](path)
    return path


def photo() -> RGB:
    """(48, 64, 3): a smooth picture with an edge."""
    y, x = np.mgrid[:48, :64]
    return np.stack([3 * x, 5 * y, 90 + 60 * (x > 30)], axis=-1).astype(np.uint8)


def encoded(suffix: str, picture: Image.Image | None = None, **options: Any) -> bytes:
    """A good file of a format."""
    file = io.BytesIO()
    (picture or Image.fromarray(photo())).save(file, EXTENSIONS.get(suffix, suffix.upper()), **options)
    return file.getvalue()


def film(suffix: str, folder: Path, frames: int = 12) -> bytes:
    path = folder / f"good.{suffix}"
    write_video(path, [np.roll(photo(), n, axis=1) for n in range(frames)], Fraction(10))
    content = path.read_bytes()
    path.unlink()
    return content


def written(content: bytes) -> Make:
    return lambda path: path.write_bytes(content)


def _broken() -> dict[str, Make]:
    """Every format cut off, damaged, followed and preceded by others' bytes, and under another's name."""
    found: dict[str, Make] = {}
    for kind in (*PICTURES, *FILMS):
        for number, cut in enumerate(CUTS):
            found[f"cut-{number}.{kind}"] = _changed(kind, partial(_cut, cut))
        for seed in range(DAMAGED):
            found[f"damaged-{seed}.{kind}"] = _changed(kind, partial(damaged_by, seed))
        found[f"followed.{kind}"] = _changed(kind, lambda data: data + b"\0" * 999)
        found[f"twice.{kind}"] = _changed(kind, lambda data: data + data)
        found[f"preceded.{kind}"] = _changed(kind, lambda data: b"\0" * 3 + data)
        for other in (*PICTURES, *FILMS):
            if other != kind and (kind in PICTURES) == (other in PICTURES):
                found[f"is-{kind}.{other}"] = _changed(kind, lambda data: data)
    return found


def _changed(kind: str, change: Callable[[bytes], bytes]) -> Make:
    def make(path: Path) -> None:
        content = film(kind, path.parent) if kind in FILMS else encoded(kind)
        path.write_bytes(change(content))

    return make


def damaged_by(seed: int, content: bytes) -> bytes:
    """Damage bytes at random, always in the same way."""
    return damaged(content, random.Random(seed))


def _cut(at: float, content: bytes) -> bytes:
    return content[: int(at * len(content)) if 0 < at < 1 else int(at)]


def _odd_pictures() -> dict[str, Make]:
    """Sound pictures of every mode, size and build, which must give a result or a clear reason why not."""
    base, loop = Image.fromarray(photo()), b"\x08\0\0\0"
    found: dict[str, Make] = {}
    for mode, kinds in {
        "1": "png tif gif bmp", "L": "png jpg webp tif gif bmp avif", "LA": "png webp tif", "P": "png gif bmp tif",
        "RGBA": "png webp tif gif avif", "CMYK": "jpg tif", "YCbCr": "jpg tif", "LAB": "tif", "I;16": "png tif",
        "I": "tif", "F": "tif",
    }.items():  # fmt: skip
        picture = base.convert("L").convert(mode) if mode == "I;16" else base.convert(mode)
        found |= {f"mode-{mode.replace(';', '')}.{kind}": _saved(picture, kind) for kind in kinds.split()}
    for width, height in ((1, 1), (1, 300), (300, 1), (2, 2), (3, 1000), (5, 5), (17, 16), (4000, 3)):
        found[f"size-{width}x{height}.png"] = _saved(base.resize((width, height)), "png")
        found[f"size-{width}x{height}.jpg"] = _saved(base.resize((width, height)), "jpg")
    for turn in (0, 2, 3, 4, 5, 6, 7, 8, 9, 65535):
        exif = Image.Exif()
        exif[274] = turn
        found[f"turned-{turn}.jpg"] = _saved(base, "jpg", exif=exif)
    several: dict[str, Any] = {"save_all": True, "append_images": [base.rotate(9), base.rotate(20)]}
    found |= {f"several.{kind}": _saved(base, kind, **several) for kind in ("gif", "webp", "png", "tif", "avif")}
    for name, options in {
        "no-exif": {"exif": b"Exif\0\0II*\0\xff\xff\xff\xff"},
        "loop-exif": {"exif": b"Exif\0\0II*\0" + loop + b"\x01\0i\x87\x04\0\x01\0\0\0" + loop + loop},
        "no-icc": {"icc_profile": b"not a profile"},
        "long-icc": {"icc_profile": b"x" * 300_000}, "no-xmp": {"xmp": b"<x:xmpmeta"},
        "bomb-xmp": {"xmp": b'<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "' + b"&b;" * 999 + b'">]><a>&c;</a>'},
    }.items():  # fmt: skip
        found |= {f"{name}.{kind}": _saved(base, kind, **options) for kind in ("jpg", "webp")}
    flat = {"black": (0, 0, 0), "white": (255, 255, 255)}
    found |= {f"{name}.png": _saved(Image.new("RGB", (40, 40), colour), "png") for name, colour in flat.items()}
    clear = base.convert("RGBA")
    clear.putalpha(0)
    return found | {
        "clear.png": _saved(clear, "png"),
        "interlaced.jpg": _saved(base, "jpg", progressive=True),
        "quality-1.jpg": _saved(base, "jpg", quality=1),
        "dots.png": _saved(base, "png", dpi=(0.0001, 1e7)),
        "bilevel.tif": _saved(base.convert("1"), "tif", compression="group4"),
        "wide16.png": _saved(Image.fromarray(photo()[..., 0].astype(np.uint16) * 257), "png"),
    }


def _saved(picture: Image.Image, kind: str, **options: Any) -> Make:
    def make(path: Path) -> None:
        picture.save(path, EXTENSIONS.get(kind, kind.upper()), **options)

    return make


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG file of these chunks and no end."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunks)


def tiff(*tags: tuple[int, int, int, int]) -> bytes:
    """A TIFF file of one directory of tags (number, type, count, value), which leads to itself as the next."""
    rows = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + rows + struct.pack("<I", 8) + b"\x80" * 64


def _forged() -> dict[str, Make]:
    """Files made by hand to lie: sizes that no memory holds, text that unpacks without end, loops."""
    rows = zlib.compress(b"\0" * 100_000_000, 9)
    text = chunk(b"zTXt", b"facegen\0\0" + rows)
    end = chunk(b"IEND", b"")
    plain = tiff((256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 100))
    many = tiff((256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (262, 3, 1, 2), (273, 4, 1, 100), (277, 3, 1, 999))
    wide = tiff((256, 4, 1, 2**31), (257, 4, 1, 2**31), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 100))
    contents = {
        "huge.png": png(2**31 - 1, 2**31 - 1, end), "bomb.png": png(30_000, 30_000, chunk(b"IDAT", rows), end),
        "edge.png": png(13_000, 13_000, chunk(b"IDAT", zlib.compress(b"")), end), "none.png": png(0, 0, end),
        "text.png": png(1, 1, text, chunk(b"IDAT", zlib.compress(b"\0" * 4)), end),
        "early.png": png(8, 8, end), "depth.png": png(8, 8, end, depth=3), "colour.png": png(8, 8, end, colour=5),
        "chunk.png": png(8, 8, struct.pack(">I", 2**31) + b"IDAT"),
        "palette.png": png(8, 8, chunk(b"IDAT", zlib.compress(b"\x05" * 72)), end, colour=3),
        "loop.tif": plain, "many.tif": many, "wide.tif": wide, "tags.tif": tiff(*[(n, 3, 1, n) for n in range(999)]),
        "big.tif": b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**60), "zero.tif": b"II*\0\0\0\0\0",
        "huge.gif": b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x08\x01\0\0;",
        "none.gif": b"GIF89a\0\0\0\0\0\0\0;", "head.gif": b"GIF89a", "huge.bmp": b"BM" + struct.pack(
            "<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, 2**30, 2**30, 1, 24, 0, 0, 0, 0, 0, 0),
        "minus.bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, -8, -8, 1, 24, 0, 0, 0, 0, 0, 0),
        "huge.ppm": b"P6 99999999 99999999 255\n", "digits.ppm": b"P6 " + b"9" * 6000 + b" 1 255\n",
        "words.ppm": b"P6 a b c\n", "deep.ppm": b"P5 2 2 65535\n" + b"\xff" * 8,
        "text.ppm": b"P3 2 2 255\n" + b"1 " * 12,
        "huge.webp": b"RIFF\xff\xff\xff\xffWEBPVP8X\x0a\0\0\0\x10\0\0\0\xff\xff\xff\xff\xff\xff",
        "huge.jpg": b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03\x01\x22\0\x02\x11\x01\x03\x11\x01\xff\xd9",
        "head.jpg": b"\xff\xd8\xff", "fill.jpg": b"\xff\xd8" + b"\xff" * 100_000,
        "app.jpg": b"\xff\xd8\xff\xe1\xff\xff",
        "box.avif": b"\0\0\0\0ftypavif" + b"\0" * 40, "box.mp4": b"\0\0\0\x01ftypmp42" + b"\xff" * 40,
        "boxes.mp4": b"\0\0\0\x08ftyp" * 5000, "nested.mp4": b"".join(
            struct.pack(">I4s", 8 * (999 - n), b"moov") for n in range(999)),
        "ebml.webm": b"\x1aE\xdf\xa3\xff" + b"\xff" * 99,
        "none.avi": b"RIFF\x04\0\0\0AVI ", "head.avi": b"RIFF\xff\xff\xff\xffAVI LIST\xff\xff\xff\xffhdrl",
    }  # fmt: skip
    return {f"forged-{name}": written(content) for name, content in contents.items()}


def _odd_films() -> dict[str, Make]:
    """Films of one frame, of frames that have no size to speak of, and of sound alone."""

    def made(frames: int, height: int, width: int, rate: Fraction = Fraction(10)) -> Make:
        pictures = [np.full((height, width, 3), 9 * number, np.uint8) for number in range(frames)]
        return lambda path: write_video(path, pictures, rate)

    def sound(path: Path) -> None:
        beep(path.with_suffix(".mp4"), 0.1)

    return {
        "film-one.mp4": made(1, 32, 32), "film-one.webm": made(1, 32, 32), "film-small.mp4": made(3, 2, 2),
        "film-pixel.mp4": made(3, 1, 1), "film-odd.mp4": made(3, 33, 35), "film-wide.mkv": made(2, 2, 900),
        "film-slow.mp4": made(2, 32, 32, Fraction(1, 100)), "film-fast.mp4": made(3, 32, 32, Fraction(1000)),
        "film-is-gif.mp4": lambda path: path.write_bytes(encoded("gif")), "film-sound.mp4": sound,
    }  # fmt: skip


def _others() -> dict[str, Make]:
    """Files that are something else, have odd names, or are no files at all."""
    found: dict[str, Make] = {
        f"no-{name}.{kind}": written(text) for name, text in NO_PICTURES.items() for kind in ("png", "jpg", "mp4")
    }
    good, wide = encoded("png"), Image.new("RGB", (300, 300), "grey")
    ImageDraw.Draw(wide).ellipse((90, 60, 210, 240), "tan")
    found |= {os.fsdecode(name) + ".png": written(good) for name in NAMES}

    def device(path: Path) -> None:
        path.symlink_to("/dev/zero")

    found |= {
        "folder.png": lambda path: path.mkdir(), "folder.mp4": lambda path: path.mkdir(),
        "nowhere.png": lambda path: path.symlink_to("not-there"), "loop.png": lambda path: path.symlink_to(path.name),
        "pipe.png": os.mkfifo, "pipe.mp4": os.mkfifo, "socket.png": _socket, "device.mp4": device, "device.png": device,
        "not-there.png": lambda path: None, "not-there.mp4": lambda path: None, "no-suffix": written(good),
        "UPPER.PNG": written(good), "oval.png": lambda path: wide.save(path),
        "deep/" * 40 + "a.png": written(good),
    }  # fmt: skip
    return found


def _socket(path: Path) -> None:
    with chdir(path.parent), socket.socket(socket.AF_UNIX) as made:  # its path has at most 107 bytes
        made.bind(path.name)
