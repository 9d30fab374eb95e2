"""Damage files of every kind at random, and read them: `python -m tests.fuzz --minutes 60`, or `make fuzz`."""

from __future__ import annotations

import argparse
import random
import time
import traceback
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from facegen.errors import FacegenError
from facegen.media.images import picture_facts, read_image, write_image
from facegen.media.metadata import Origin
from facegen.media.record import is_ours, read_record
from facegen.media.signatures import is_whole
from facegen.media.video_reader import Clip
from facegen.media.video_writer import write_video
from facegen.recipe import PipelineRecipe, load_recipe
from facegen.weights import read_card
from tests import tiny

PICTURES = (".png", ".jpg", ".webp", ".tif", ".gif", ".bmp", ".ppm", ".avif")
FILMS = (".mp4", ".webm", ".mkv", ".mov")


def originals(folder: Path) -> Iterator[Path]:
    """Write a small good file of every kind."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[271] = "Camera"
    for suffix in PICTURES:
        path = folder / f"picture{suffix}"
        if suffix in (".png", ".jpg", ".webp", ".tif"):
            text = {"facegen": "sample", "facegen-record": "{}"}
            write_image(path, rgb, text=text, origin=Origin(exif=exif.tobytes()), label="generated")
        else:
            Image.fromarray(rgb).save(path)
        yield path
    for suffix in FILMS:
        yield write_video(folder / f"film{suffix}", [rgb, rgb[::-1]], Fraction(25), text={"facegen": "video"})
    yield tiny.save_all(folder)
    yield folder / "dcgan" / "card.toml"


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Change, cut out, repeat or insert bytes at a few places."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8, 32))):
        at, length = rng.randrange(len(data) + 1), rng.choice((1, 1, 4, 64))
        change = rng.randrange(5)
        if change == 0:
            data[at : at + length] = rng.randbytes(length)
        elif change == 1:
            del data[at : at + length]
        elif change == 2:
            data[at:at] = data[max(at - length, 0) : at]
        elif change == 3:
            data[at : at + 4] = rng.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0"))
        else:
            del data[at if rng.random() < 0.1 else len(data) :]
    return bytes(data)


def readers(path: Path) -> list[Callable[[Path], object]]:
    """Return all that reads a file of this kind."""
    if path.name == "card.toml":
        return [lambda card: read_card(card.parent)]
    if path.suffix == ".toml":
        return [lambda recipe: load_recipe(recipe, PipelineRecipe)]
    if path.suffix in FILMS:
        return [lambda film: sum(1 for _ in Clip(film).frames()), is_ours, is_whole, read_record]
    return [read_image, picture_facts, is_ours, is_whole, read_record]


def fuzz(folder: Path, seconds: float, seed: int = 0) -> tuple[int, list[str]]:
    """Read damaged files for so long; return how many there were, and the traceback of each that was no clear error."""
    rng, started, count = random.Random(seed), time.monotonic(), 0
    good = {path: path.read_bytes() for path in originals(folder)}
    failures: list[str] = []
    while time.monotonic() - started < seconds:
        path = rng.choice(list(good))
        content = damaged(good[path], rng)
        path.write_bytes(content)
        count += 1
        for read in readers(path):
            try:
                read(path)
            except FacegenError:
                continue
            except Exception:
                failures.append(f"{path.name}, seed {seed}, file {count}: {content.hex()}\n{traceback.format_exc()}")
    return count, failures


def main() -> None:
    """Fuzz for some minutes, with a new seed; print the failures, and exit with 1 if there were any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9)
    options = parser.parse_args()
    with TemporaryDirectory(prefix="facegen-fuzz-") as folder:
        count, failures = fuzz(Path(folder), 60 * options.minutes, options.seed)
    print(*failures, f"seed {options.seed}: {count} files, {len(failures)} without a clear error", sep="\n")
    raise SystemExit(bool(failures))


if __name__ == "__main__":
    main()
