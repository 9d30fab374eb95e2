"""Cut the heads out of a photo, upright, if they have enough real detail."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict

from facegen.arrays import RGB, Points
from facegen.data.manifest import Entry
from facegen.data.reading import Length, Pixels
from facegen.errors import ImageError
from facegen.faces.align import HeadFrame, crop_head, frame_matrix, transform_points
from facegen.faces.detect import FoundHead, heads_in_photo
from facegen.faces.landmarks import landmarks_in_head
from facegen.files import sha256_of
from facegen.jobs import Outcome, Task
from facegen.media.images import read_image, write_image
from facegen.ops.color import WEIGHTS

SEARCHED_SIDE = 256
"""Photos are reduced for the search until a head as large as the crop has this side in pixels."""
REPORTED = 0.25
"""Heads in the background are not even reported if they are smaller than this share of the crop's side."""
CUT_OFF = 0.15
"""Heads are omitted if more than this share of their square is outside the photo; crops show a mirrored photo there."""
LONGEST_STEM, STEM_BYTES = 80, 200
"""Characters, and bytes in UTF-8, of a photo's name that a crop's name repeats at most."""
Suffix = Literal[".png", ".webp"]
Reason = Literal["too small", "cut off"]
TOO_SMALL: Reason = "too small"
OUTSIDE: Reason = "cut off"
CROP_NAME = re.compile(r"pictures/[^/]+-\d+-[0-9a-f]{8}\.(png|webp)")
"""Names of crops; files with other names are never deleted."""


@dataclass(frozen=True)
class LeftOut:
    """A head that was found but not cut out."""

    face: Pixels
    """Number of the head in the photo, the largest first, from 1 on."""
    side: Length
    """Side of the head's square in the photo, in pixels."""
    reason: Reason


class Photo(BaseModel):
    """A photo as it was when it was cut."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bytes: int
    """Length of the file."""
    modified: int
    """Time of the file's last change, in nanoseconds since 1970."""
    sha256: str
    duplicate_of: str = ""
    """The photo with the same bytes that was cut instead; "" if this one was cut."""
    faces: Pixels = 0
    """Heads found, including those left out."""
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class Cut(Outcome):
    """The crops of a photo that could be read."""

    photo: Photo | None = None
    entries: tuple[Entry, ...] = ()
    """The crops written, in order of face."""


@dataclass(frozen=True)
class PhotoCutter:
    """Cuts the heads out of photos below `raw` and writes them into the set `out`."""

    raw: Path
    out: Path
    size: int
    """Side of the crops in pixels; smaller heads are omitted rather than enlarged."""
    suffix: Suffix

    def __call__(self, task: Task) -> Cut:
        """Write the crops of one photo."""
        source = name_below(self.raw, task.source)
        sha256, status = sha256_of(task.source), task.source.stat()
        rgb = read_image(task.source).rgb
        entries: list[Entry] = []
        left_out: list[LeftOut] = []
        for face, head in enumerate(find_heads(rgb, self.size), start=1):
            if head.frame.side < self.size:
                left_out.append(LeftOut(face, round(head.frame.side, 1), TOO_SMALL))
            elif share_outside(rgb, head.frame) > CUT_OFF:
                left_out.append(LeftOut(face, round(head.frame.side, 1), OUTSIDE))
            else:
                entries.append(self._write(source, sha256, face, rgb, head))
        photo = Photo(
            bytes=status.st_size, modified=status.st_mtime_ns, sha256=sha256, faces=len(entries) + len(left_out),
            left_out=tuple(left_out),
        )  # fmt: skip
        return Cut(task.source, photo=photo, entries=tuple(entries))

    def _write(self, source: str, sha256: str, face: int, rgb: RGB, head: FoundHead) -> Entry:
        crop = crop_head(rgb, head.frame, self.size)
        unique = hashlib.sha256(f"{sha256} {source}".encode()).hexdigest()[:8]
        stem = PurePosixPath(source).stem[:LONGEST_STEM].encode()[:STEM_BYTES].decode(errors="ignore")
        file = f"pictures/{stem}-{face}-{unique}{self.suffix}"
        path = write_image(self.out / file, crop)
        x, y = head.frame.center
        turn = math.degrees(math.atan2(head.frame.right[1], head.frame.right[0]))  # clockwise
        return Entry(
            file=file,
            source=source,
            source_sha256=sha256,
            face=face,
            frame=(round(x, 2), round(y, 2), round(head.frame.side, 2), round(turn, 2)),
            landmarks=tuple((x, y) for x, y in landmarks_of(head, crop).round(2).tolist()),
            size=self.size,
            sharpness=sharpness(crop),
            sha256=sha256_of(path),
        )


def find_heads(rgb: RGB, size: int) -> list[FoundHead]:
    """Find the heads in a photo, the largest first; heads under a quarter of the crops' size may be missing."""
    factor = min(1.0, SEARCHED_SIDE / size)
    searched = cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) if factor < 1 else rgb
    heads = heads_in_photo(np.asarray(searched, dtype=np.uint8), smallest=REPORTED * size * factor)
    return [head.scaled(1 / factor) for head in heads]


def landmarks_of(head: FoundHead, crop: RGB) -> Points:
    """Find dlib's 68 points (x, y) in pixels of a head's crop: those that set the head's frame, else in the crop."""
    if head.landmarks is None:
        return landmarks_in_head(crop).points
    return transform_points(head.landmarks, frame_matrix(head.frame, len(crop)))


def name_below(raw: Path, photo: Path) -> str:
    """Return a photo's path below the folder of photos; ImageError if it is not UTF-8, as manifests are."""
    name = photo.relative_to(raw).as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ImageError(f"{photo}: the file's name is not UTF-8 text; rename it.") from None
    return name


def share_outside(rgb: RGB, frame: HeadFrame) -> float:
    """Estimate the share of a head's square outside the photo, 0..1, from 32 x 32 points."""
    steps = (np.arange(32) + 0.5) / 16 - 1
    right, down = np.meshgrid(steps, steps)
    points = right[..., None] * frame.right + down[..., None] * frame.down + frame.center
    height, width = rgb.shape[:2]
    return float(1 - ((points >= 0) & (points < (width, height))).all(axis=-1).mean())


def sharpness(rgb: RGB) -> float:
    """Compute the variance of the 4-neighbour Laplacian of luma in [0, 1], in the middle half of a crop, the face.

    Source: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy" (2000). Only crops of one size compare:
    a larger crop of the same face has less.
    """
    quarter = rgb.shape[0] // 4
    middle = rgb[quarter : rgb.shape[0] - quarter, quarter : rgb.shape[1] - quarter]
    luma = cv2.transform(middle.astype(np.float32), np.array([WEIGHTS], np.float32) / 255)
    return float(f"{cv2.Laplacian(luma, cv2.CV_32F).var():.6g}")
