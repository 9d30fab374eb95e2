"""The pictures of a set as the page asks for them: by a key that tells no path, no larger than they are shown."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from PIL import Image

from facegen.data.manifest import Entry
from facegen.errors import ImageError
from facegen.media.decoding import opened, split_alpha, to_rgb, upright

SIDES = (384, 512, 768, 1024, 1536, 2048)
"""Sides in pixels in which pictures are sent."""
CACHE_BYTES = 64 * 2**20
"""Memory that the versions made may take together."""
_QUALITY = 88


def face_key(folder: Path, file: str) -> str:
    """20 hex digits that stand for a crop of a set, the same in every run; the folder has to be resolved."""
    name = f"{folder}\0{file}"
    return hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:20]


class Pictures:
    """Small JPEG versions of a set's crops; the latest are kept in memory. Several threads may use it."""

    def __init__(self, folder: Path, entries: Iterable[Entry], cache_bytes: int = CACHE_BYTES) -> None:
        self._folder = folder.resolve()
        self._files = {face_key(self._folder, entry.file): entry.file for entry in entries}
        self._cache: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._lock = threading.Lock()

    def file_of(self, key: str) -> str | None:
        """The crop that a key stands for, as the manifest calls it; None if it is not of this set."""
        return self._files.get(key)

    def jpeg(self, key: str, side: int) -> bytes:
        """A crop as JPEG, its longer side at most `side` pixels, never enlarged.

        Raises:
            ImageError: if the key is unknown, the file is gone, damaged, or lies outside the set.
            MissingExtraError: as `facegen.media.images.read_image`.
        """
        with self._lock:
            if (key, side) in self._cache:
                self._cache.move_to_end((key, side))
                return self._cache[key, side]
        content = _shrunk(self._path(key), side)
        with self._lock:
            self._cache[key, side] = content
            while sum(map(len, self._cache.values())) > self._cache_bytes:
                self._cache.popitem(last=False)
        return content

    def _path(self, key: str) -> Path:
        """Where a crop's file is, links followed."""
        file = self._files.get(key)
        if file is None:
            raise ImageError(f"face {key!r}: is not in this set; reload the page.")
        try:
            path = (self._folder / file).resolve(strict=True)
        except (OSError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
            raise ImageError(f"{file}: no such file in the set; run facegen data prepare again.") from None
        if not path.is_relative_to(self._folder):
            raise ImageError(f"{file}: leads out of the set; copy the picture into it.")
        return path


def _shrunk(path: Path, side: int) -> bytes:
    with opened(path) as file:
        file.draft(None, (side, side))  # a JPEG is decoded at a half, a quarter or an eighth where that is enough
        colour, _ = split_alpha(upright(path, file))
        picture, _ = to_rgb(colour, file.info.get("icc_profile"), keep_profile=False)
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        content = BytesIO()
        picture.save(content, "JPEG", quality=_QUALITY)
    return content.getvalue()
