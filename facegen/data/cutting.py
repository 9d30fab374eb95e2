"""One photo into crops: every head found, and cut out upright where it has real detail enough."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from facegen.data.manifest import Entry
from facegen.errors import ImageError
from facegen.faces.align import HeadFrame, Points, crop_head, frame_matrix, transform_points
from facegen.faces.detect import FoundHead, heads_in_photo
from facegen.faces.landmarks import landmarks_in_head
from facegen.files import sha256_of
from facegen.jobs import Outcome, Task
from facegen.media.images import read_image, write_image
from facegen.ops.color import WEIGHTS

PICTURES = "pictures"
"""Folder of the crops, below the set."""
SEARCHED_SIDE = 256
"""Photos are searched at the size at which a head that just fits the crop has this side in pixels."""
REPORTED = 0.25
"""Part of the crop's side below which a head in the background is not even reported."""
CUT_OFF = 0.15
"""Part of a head's square, outside the photo, from which the head is left out; cropping would mirror the rest."""
LONGEST_STEM = 80
TOO_SMALL, OUTSIDE = "too small", "cut off"


@dataclass(frozen=True)
class LeftOut:
    """A head that was found and not cut out."""

    face: int
    """Which of the photo, the largest first, from 1 on."""
    side: float
    """Of its square in the photo, in pixels."""
    reason: str
    """`TOO_SMALL` or `OUTSIDE`."""


@dataclass(frozen=True)
class Cut(Outcome):
    """What became of a photo that could be read."""

    faces: int = 0
    """How many were found."""
    bytes: int = 0
    """Length of the photo's file."""
    modified: int = 0
    """When it was written, in nanoseconds since 1970."""
    sha256: str = ""
    entries: tuple[Entry, ...] = ()
    """Of the crops written, in order of face."""
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class PhotoCutter:
    """Cuts the heads out of one photo after the other; can be sent to other processes."""

    raw: Path
    """Folder of the photos."""
    out: Path
    """The set."""
    size: int
    """Side of the crops in pixels; smaller heads are not enlarged but left out."""
    suffix: str
    """Of the crops' files; ".png" is lossless."""

    def __call__(self, task: Task) -> Cut:
        """Write the crops of one photo.

        Raises:
            ImageError: if the photo cannot be read, or a crop cannot be written.
        """
        source = name_below(self.raw, task.source)
        sha256, status = sha256_of(task.source), task.source.stat()
        rgb = read_image(task.source).rgb
        entries: list[Entry] = []
        left_out: list[LeftOut] = []
        for face, head in enumerate(find_heads(rgb, self.size), start=1):
            reason = self._reason_against(rgb, head.frame)
            if reason:
                left_out.append(LeftOut(face, round(head.frame.side, 1), reason))
            else:
                entries.append(self._write(source, sha256, face, rgb, head))
        return Cut(
            task.source, faces=len(entries) + len(left_out), bytes=status.st_size, modified=status.st_mtime_ns,
            sha256=sha256, entries=tuple(entries), left_out=tuple(left_out),
        )  # fmt: skip

    def _reason_against(self, rgb: NDArray[np.uint8], frame: HeadFrame) -> str:
        if frame.side < self.size:
            return TOO_SMALL
        return OUTSIDE if share_outside(rgb, frame) > CUT_OFF else ""

    def _write(self, source: str, sha256: str, face: int, rgb: NDArray[np.uint8], head: FoundHead) -> Entry:
        crop = crop_head(rgb, head.frame, self.size)
        unique = hashlib.sha256(f"{sha256} {source}".encode()).hexdigest()[:8]
        file = f"{PICTURES}/{PurePosixPath(source).stem[:LONGEST_STEM]}-{face}-{unique}{self.suffix}"
        path = write_image(self.out / file, crop)
        x, y = head.frame.center
        return Entry(
            file=file,
            source=source,
            source_sha256=sha256,
            face=face,
            frame=(round(x, 2), round(y, 2), round(head.frame.side, 2), round(turn(head.frame), 2)),
            landmarks=tuple((x, y) for x, y in landmarks_of(head, crop).round(2).tolist()),
            size=self.size,
            sharpness=sharpness(crop),
            sha256=sha256_of(path),
        )


def find_heads(rgb: NDArray[np.uint8], size: int) -> list[FoundHead]:
    """The heads in a photo, the largest first, found in a smaller copy of it where the crops are large.

    Args:
        rgb: (H, W, 3) uint8.
        size: side of the crops in pixels; heads of less than a quarter of it may be missing.
    """
    factor = min(1.0, SEARCHED_SIDE / size)
    searched = cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) if factor < 1 else rgb
    heads = heads_in_photo(np.asarray(searched, dtype=np.uint8), smallest=REPORTED * size * factor)
    return [head.scaled(1 / factor) for head in heads]


def landmarks_of(head: FoundHead, crop: NDArray[np.uint8]) -> Points:
    """dlib's 68 points (x, y) in pixels of a head's crop: those that set its frame, or, if none did, found in the crop.

    Args:
        crop: (S, S, 3) uint8.
    """
    if head.landmarks is None:
        return landmarks_in_head(crop).points
    return transform_points(head.landmarks, frame_matrix(head.frame, len(crop)))


def name_below(raw: Path, photo: Path) -> str:
    """A photo's name below the folder of photos, with "/" between folders.

    Raises:
        ImageError: if it is no text, and so cannot be remembered.
    """
    name = photo.relative_to(raw).as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ImageError(f"{photo}: the file's name is not UTF-8 text; rename it.") from None
    return name


def turn(frame: HeadFrame) -> float:
    """Degrees by which a head leans clockwise, -180 to 180."""
    return math.degrees(math.atan2(frame.right[1], frame.right[0]))


def share_outside(rgb: NDArray[np.uint8], frame: HeadFrame) -> float:
    """The part of a head's square that lies outside the photo, 0..1, told by 32 x 32 points."""
    steps = (np.arange(32) + 0.5) / 16 - 1
    right, down = np.meshgrid(steps, steps)
    points = right[..., None] * frame.right + down[..., None] * frame.down + frame.center
    height, width = rgb.shape[:2]
    return float(1 - ((points >= 0) & (points < (width, height))).all(axis=-1).mean())


def sharpness(rgb: NDArray[np.uint8]) -> float:
    """Variance of the 4-neighbour Laplacian of luma in [0, 1], in the middle half of a crop, where the face is.

    Source: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy" (2000). It tells crops of one size
    apart; a larger crop of the same face has less.

    Args:
        rgb: (S, S, 3) uint8 aligned crop.
    Returns:
        0 and more, to 6 digits.
    """
    quarter = rgb.shape[0] // 4
    middle = rgb[quarter : rgb.shape[0] - quarter, quarter : rgb.shape[1] - quarter]
    luma = cv2.transform(middle.astype(np.float32), np.array([WEIGHTS], np.float32) / 255)
    return float(f"{cv2.Laplacian(luma, cv2.CV_32F).var():.6g}")
