"""Detect heads in photos: YuNet finds the faces, and dlib's landmarks give the exact frame of each head.

YuNet (W. Wu et al., 2023; facegen/faces/yunet) detects faces of about 10 to 300 px, also in profile, rotated by up to
60 degrees. It takes large heads that are upside down, and some that are sideways, for upright ones, but with less
confidence. So a head with low confidence is compared in all four quarter turns, and a photo without heads is searched
again in the other three. YuNet's five points give only a rough angle, so the head is cut out upright and dlib searches
the crop, repeatedly, until its 68 landmarks stay in place. A profile, in which dlib finds no face, keeps YuNet's
points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facegen.arrays import RGB, Points
from facegen.errors import ImageError
from facegen.faces.align import HeadFrame, crop_head, frame_matrix, head_frame, transform_points
from facegen.faces.landmarks import landmarks_in_head

YUNET = Path(__file__).parent / "yunet" / "face_detection_yunet_2023mar.onnx"
SEARCH_SIDES = (320, 1024, 2560)
"""Longest sides at which a photo is searched: the smallest for faces that fill it, the largest for faces of 10 px."""
SURELY_FOUND = 40
"""Side of a head in pixels that is always detected, so that no larger search is needed for it."""
LARGEST_ENLARGEMENT = 4.0
"""Largest enlargement of a small photo for the search."""
LIKELY, SURE = 0.6, 0.8
"""Smallest confidence of YuNet for a face that dlib confirms, and for one in which dlib finds no face."""
SURELY_UPRIGHT = 0.92
"""Smallest confidence of YuNet for a head that must be upright: good portraits have 0.92 to 0.97, and at most 0.91
upside down."""
TURNED_SIDE = 128
"""Side of the crops in which YuNet compares the quarter turns of a head."""
ADVANTAGE = 0.02
"""Confidence by which another quarter turn must exceed the first."""
UPRIGHT_SIDE = 256
"""Side of the upright crop that dlib searches."""
SOUGHT_SIDE = 176
"""Side at which dlib searches the crop, with half the work of 256: the face has 100 px, and dlib needs 80."""
ROUNDS, SETTLED = 3, 0.01
"""Largest number of searches of the upright crop, and the largest rotation of a final frame, as a share of its side."""
SAME_HEAD = 0.35
"""Two frames show one head if their centres are nearer than this share of the larger one's side."""
_LOCK = Lock()  # the detector stores the size of its input


@dataclass(frozen=True)
class FoundHead:
    """A head in a photo."""

    frame: HeadFrame
    score: float
    """YuNet's confidence, 0..1."""
    landmarks: Points | None = field(default=None, compare=False)
    """(68, 2), dlib's points that give the frame, in photo pixels; None if YuNet's points give it."""

    def scaled(self, factor: float) -> FoundHead:
        """Return the same head in a photo `factor` times as large."""
        landmarks = None if self.landmarks is None else self.landmarks * factor
        return FoundHead(self.frame.scaled(factor), self.score, landmarks)

    def moved(self, x: int, y: int) -> FoundHead:
        """Return the same head in a photo with `x` more columns on the left and `y` more rows above."""
        frame = replace(self.frame, center=(self.frame.center[0] + x, self.frame.center[1] + y))
        return FoundHead(frame, self.score, None if self.landmarks is None else self.landmarks + np.array([x, y]))


def heads_in_photo(rgb: RGB, smallest: float = 0) -> list[FoundHead]:
    """Detect every head in a photo, at any angle or in profile, and return the largest first.

    Next to upright heads, one that is sideways is sometimes missed, as is a small one that is upside down.

    Args:
        rgb: (H, W, 3) uint8, any size; a face needs about 10 px if the longest side has 2560.
        smallest: heads with a smaller side, in photo pixels, may be missing, which saves time.
    """
    factors = _factors(rgb, smallest)
    heads = _confirmed(rgb, _search(rgb, factors))
    if not heads:
        coarse = factors[: len(SEARCH_SIDES) - 1]  # the largest search takes as long as five others
        turned = _confirmed(rgb, [head for turns in (1, 2, 3) for head in _search(rgb, coarse, turns)])
        heads = [head for head in turned if head.landmarks is not None]  # YuNet takes an inverted cat for a face
    if max(rgb.shape[:2]) * max(factors, default=0) > SEARCH_SIDES[1]:
        _yunet.cache_clear()  # or it keeps the memory of the largest search: 280 MB at 2560 px
    return sorted(heads, key=lambda head: -head.frame.side)


def _confirmed(rgb: RGB, proposed: list[FoundHead]) -> list[FoundHead]:
    """Return the proposed heads that are confirmed, each once and with an upright frame."""
    checked = (_refine(rgb, _best_turn(rgb, head)) for head in _distinct(proposed))
    return _distinct([head for head in checked if head is not None])


def _factors(rgb: RGB, smallest: float) -> list[float]:
    """Return the factors by which the photo is resized for the searches, without those that are too large for the
    smallest head, or so small that no face fits into a narrow photo.
    """
    shortest, longest = sorted(rgb.shape[:2])
    first, *others = (side / longest for side in SEARCH_SIDES)
    factors = dict.fromkeys([min(first, LARGEST_ENLARGEMENT), *(min(other, 1.0) for other in others)])
    enough = next((factor for factor in factors if factor * smallest >= SURELY_FOUND), max(factors))
    return [factor for factor in factors if factor <= enough and shortest * factor >= 8]


def _search(rgb: RGB, factors: list[float], turns: int = 0) -> list[FoundHead]:
    """Return YuNet's heads in the photo, resized by each of the factors, after some counterclockwise quarter turns."""
    heads = []
    for factor in factors:
        interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        small = np.rot90(cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=interpolation), turns)
        for points, score in _faces(np.ascontiguousarray(small, dtype=np.uint8)):
            frame = _frame(points / factor)
            for turn in reversed(range(turns)):  # the photo before each turn had this width:
                frame = frame and _turned_back(frame, rgb.shape[1 - turn % 2])
            if frame is not None and _inside(frame, rgb):
                heads.append(FoundHead(frame, score))
    return heads


def _turned_back(frame: HeadFrame, width: int) -> HeadFrame:
    """Rotate a frame clockwise with its photo, which has the given width afterwards."""
    (x, y), right, down = frame.center, frame.right, frame.down
    return HeadFrame((width - y, x), (-right[1], right[0]), (-down[1], down[0]))


def _best_turn(rgb: RGB, head: FoundHead) -> FoundHead:
    """If YuNet's confidence is low, return the head in the quarter turn in which it is highest."""
    if head.score >= SURELY_UPRIGHT:
        return head
    unturned, *others = (_head_in(rgb, frame) for frame in _quarter_turns(head.frame))
    best = max((other for other in others if other), key=lambda other: other.score, default=head)
    better = best.score > (unturned or head).score + ADVANTAGE and _same_head(best.frame, head.frame)
    return best if better and _inside(best.frame, rgb) else head


def _quarter_turns(frame: HeadFrame) -> list[HeadFrame]:
    """Return the frame, and the same square rotated by one, two and three quarter turns."""
    x, y = frame.right
    return [HeadFrame(frame.center, right, (-right[1], right[0])) for right in ((x, y), (-y, x), (-x, -y), (y, -x))]


def _head_in(rgb: RGB, frame: HeadFrame) -> FoundHead | None:
    """Return YuNet's head with the highest confidence in the crop of a frame."""
    points, score = _best_face(crop_head(rgb, frame, TURNED_SIDE, antialias=False))
    found = None if points is None else _frame(transform_points(points, _to_photo(frame, TURNED_SIDE)))
    return None if found is None else FoundHead(found, score)


def _refine(rgb: RGB, head: FoundHead) -> FoundHead | None:
    """Correct the frame of a head by dlib's landmarks; return None if dlib finds no face and YuNet's score is low."""
    near, left, top = _surroundings(rgb, head.frame)
    factor = min(1.0, UPRIGHT_SIDE / head.frame.side)
    if factor < 1:
        near = np.asarray(cv2.resize(near, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    found, confirmed = head.moved(-left, -top).scaled(factor), False
    for _ in range(ROUNDS):
        corrected = _search_upright(near, found)
        if corrected is None:
            break
        settled = math.dist(corrected.frame.right, found.frame.right) < SETTLED * found.frame.side
        found, confirmed = corrected, confirmed or corrected.landmarks is not None
        if settled:
            break
    return found.scaled(1 / factor).moved(left, top) if confirmed or head.score >= SURE else None


def _surroundings(rgb: RGB, frame: HeadFrame) -> tuple[RGB, int, int]:
    """Cut out the part of a photo around a head; return it and its left and top in the photo."""
    (x, y), reach = frame.center, 2 * frame.side
    left, top = max(int(x - reach), 0), max(int(y - reach), 0)
    return rgb[top : int(y + reach) + 1, left : int(x + reach) + 1], left, top


def _search_upright(rgb: RGB, head: FoundHead) -> FoundHead | None:
    """Find the head again in its upright crop; return None if the crop shows no head, or another one."""
    crop = crop_head(rgb, head.frame, UPRIGHT_SIDE, antialias=False)
    landmarks = landmarks_in_head(crop, SOUGHT_SIDE)
    points = landmarks.points if landmarks.detected else _best_face(crop)[0]
    if points is None:
        return None
    placed = transform_points(points, _to_photo(head.frame, UPRIGHT_SIDE))
    frame = _frame(placed)
    if frame is None or not _same_head(frame, head.frame) or not _inside(frame, rgb):
        return None
    return FoundHead(frame, head.score, placed if landmarks.detected else None)


def _to_photo(frame: HeadFrame, side: int) -> Points:
    """Return the (2, 3) matrix from the pixels of a frame's crop with this side to those of the photo."""
    return np.asarray(cv2.invertAffineTransform(frame_matrix(frame, side)), dtype=np.float64)


def _best_face(rgb: RGB) -> tuple[Points | None, float]:
    """Return YuNet's points of the face with the highest confidence, and that confidence."""
    return max(_faces(rgb), key=lambda face: face[1], default=(None, 0.0))


def _faces(rgb: RGB) -> list[tuple[Points, float]]:
    """Return YuNet's faces in a picture: (68, 2) landmarks, of which only those for `head_frame` are set, and score."""
    return [(_landmarks(row), float(row[14])) for row in yunet_faces(rgb, LIKELY)]


def _landmarks(row: NDArray[np.float32]) -> Points:
    """Convert a row of YuNet (box, two eyes, nose, two mouth corners, score; left first) to dlib's order of points."""
    points = np.zeros((68, 2))
    left_eye, right_eye, _, left_corner, right_corner = row[4:14].reshape(5, 2)
    points[36:42], points[42:48] = left_eye, right_eye
    points[48], points[54] = left_corner, right_corner
    return points


def _frame(points: Points) -> HeadFrame | None:
    """Return the frame of these landmarks; None if they are not those of a head."""
    try:
        return head_frame(points)
    except ImageError:
        return None


def _inside(frame: HeadFrame, rgb: RGB) -> bool:
    height, width = rgb.shape[:2]
    return bool(0 <= frame.center[0] < width and 0 <= frame.center[1] < height)


def _distinct(heads: list[FoundHead]) -> list[FoundHead]:
    """Keep the head with the highest score where several frames show one head."""
    kept: list[FoundHead] = []
    for head in sorted(heads, key=lambda head: -head.score):
        if not any(_same_head(head.frame, other.frame) for other in kept):
            kept.append(head)
    return kept


def _same_head(one: HeadFrame, other: HeadFrame) -> bool:
    near: bool = math.dist(one.center, other.center) < SAME_HEAD * max(one.side, other.side)
    return near and 0.5 < one.side / other.side < 2


def yunet_faces(rgb: RGB, score: float) -> NDArray[np.float32]:
    """Detect faces in an (H, W, 3) picture with YuNet, with at least this score in [0, 1].

    Returns:
        (N, 15): left, top, width, height, five points (x, y), score; in pixels.
    """
    with _LOCK:
        detector = _yunet()
        detector.setScoreThreshold(score)
        detector.setInputSize((rgb.shape[1], rgb.shape[0]))
        _, found = detector.detect(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    return np.zeros((0, 15), np.float32) if found is None else np.asarray(found, np.float32)


@cache
def _yunet() -> Any:
    """Load YuNet (230 kB) once, without OpenCV's warning that its new engine has no targets."""
    model = np.fromfile(YUNET, np.uint8)  # on Windows, OpenCV cannot open a path that is not ASCII
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        return cv2.FaceDetectorYN.create("onnx", model, model[:0], (UPRIGHT_SIDE, UPRIGHT_SIDE))
    finally:
        cv2.utils.logging.setLogLevel(level)
