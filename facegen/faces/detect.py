"""Heads in photos: YuNet finds the faces, dlib's landmarks find how each head is turned.

YuNet (W. Wu et al., 2023; facegen/faces/yunet) finds faces of about 10 to 300 px, turned by up to 60 degrees, and in
profile. It finds large heads upside down and some that lie on a side as well, but takes them for upright and is less
sure of them: a head of which it is not sure is looked at in all four quarter turns. A photo that shows no head is
searched again on its sides and upside down, for faces of 10 px in 1024. YuNet's five points give the tilt only
roughly, so the head is cut out upright by them and dlib searches the crop, until its 68 landmarks stay in place. A
profile, in which dlib finds no face, keeps YuNet's five points.
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

from facegen.arrays import RGB
from facegen.errors import ImageError
from facegen.faces.align import HeadFrame, Points, crop_head, frame_matrix, head_frame, transform_points
from facegen.faces.landmarks import landmarks_in_head

YUNET = Path(__file__).parent / "yunet" / "face_detection_yunet_2023mar.onnx"
SEARCH_SIDES = (320, 1024, 2560)
"""Longest sides at which a photo is searched: the first finds faces that fill it, the last those of 10 px in 2560."""
SURELY_FOUND = 40
"""Side in pixels from which a head, at the size that is searched, needs no finer search to be found."""
LARGEST_ENLARGEMENT = 4.0
"""Small photos are enlarged for the search, at most so many times."""
LIKELY, SURE = 0.6, 0.8
"""YuNet's confidence from which dlib is asked, and from which a face counts even if dlib sees none."""
SURELY_UPRIGHT = 0.92
"""YuNet's confidence from which a head is upright: it has 0.92 to 0.97 in good portraits, and at most 0.91 upside
down."""
TURNED_SIDE = 128
"""Side of the crops in which YuNet compares the quarter turns of a head."""
SURER = 0.02
"""Confidence by which another quarter turn must beat the one proposed."""
UPRIGHT_SIDE = 256
"""Side of the upright crop that dlib searches."""
SOUGHT_SIDE = 176
"""Side at which dlib searches it: half the work of 256, and the face has 100 px, of which dlib needs 80."""
ROUNDS, SETTLED = 3, 0.01
"""Searches of the upright crop at most, and the share of its side by which a frame that is done may still turn."""
SAME_HEAD = 0.35
"""Two frames whose centres are nearer than this part of the larger one's side show one head."""
_LOCK = Lock()  # the detector holds the size of the picture that it looks at


@dataclass(frozen=True)
class FoundHead:
    """A head in a photo."""

    frame: HeadFrame
    score: float
    """YuNet's confidence, 0..1."""
    landmarks: Points | None = field(default=None, compare=False)
    """(68, 2), dlib's points that set the frame, in photo pixels; None if YuNet's five did."""

    def scaled(self, factor: float) -> FoundHead:
        """The same head in a photo `factor` times as large."""
        landmarks = None if self.landmarks is None else self.landmarks * factor
        return FoundHead(self.frame.scaled(factor), self.score, landmarks)

    def moved(self, x: int, y: int) -> FoundHead:
        """The same head in a photo that has so many more columns on the left, and rows above."""
        frame = replace(self.frame, center=(self.frame.center[0] + x, self.frame.center[1] + y))
        return FoundHead(frame, self.score, None if self.landmarks is None else self.landmarks + np.array([x, y]))


def heads_in_photo(rgb: RGB, smallest: float = 0) -> list[FoundHead]:
    """Every head in a photo, the largest first: at any angle, or in profile.

    Where others are upright, a head on its side is missed now and then, and a small one upside down.

    Args:
        rgb: (H, W, 3) uint8, any size; a face counts from about 10 px of the longest side's 2560 on.
        smallest: heads whose side is less, in photo pixels, may be missing, which saves the finer searches.
    """
    factors = _factors(rgb, smallest)
    heads = _confirmed(rgb, _search(rgb, factors))
    if not heads:
        coarse = factors[: len(SEARCH_SIDES) - 1]  # the finest search takes as long as five others
        turned = _confirmed(rgb, [head for turns in (1, 2, 3) for head in _search(rgb, coarse, turns)])
        heads = [head for head in turned if head.landmarks is not None]  # upside down, YuNet takes a cat for a face
    if max(rgb.shape[:2]) * max(factors, default=0) > SEARCH_SIDES[1]:
        _yunet.cache_clear()  # it would keep what it needed for the largest search: 280 MB at 2560 px
    return sorted(heads, key=lambda head: -head.frame.side)


def _confirmed(rgb: RGB, proposed: list[FoundHead]) -> list[FoundHead]:
    """The heads among those proposed, each once and upright."""
    seen = (_set_upright(rgb, _turned_up(rgb, head)) for head in _distinct(proposed))
    return _distinct([head for head in seen if head is not None])


def _factors(rgb: RGB, smallest: float) -> list[float]:
    """Sizes at which to search, each once, up to the first that shows the smallest head; none of a strip so thin that
    no face fits in."""
    shortest, longest = sorted(rgb.shape[:2])
    first, *others = (side / longest for side in SEARCH_SIDES)
    factors = dict.fromkeys([min(first, LARGEST_ENLARGEMENT), *(min(other, 1.0) for other in others)])
    enough = next((factor for factor in factors if factor * smallest >= SURELY_FOUND), max(factors))
    return [factor for factor in factors if factor <= enough and shortest * factor >= 8]


def _search(rgb: RGB, factors: list[float], turns: int = 0) -> list[FoundHead]:
    """Heads that YuNet proposes in the photo at these multiples of its size, turned so often against the clock."""
    heads = []
    for factor in factors:
        interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        small = np.rot90(cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=interpolation), turns)
        for points, score in _faces(np.ascontiguousarray(small, dtype=np.uint8)):
            frame = _frame(points / factor)
            for turn in reversed(range(turns)):  # undo the last first; before it, the photo was so wide:
                frame = frame and _turned_back(frame, rgb.shape[1 - turn % 2])
            if frame is not None and _inside(frame, rgb):
                heads.append(FoundHead(frame, score))
    return heads


def _turned_back(frame: HeadFrame, width: int) -> HeadFrame:
    """Turn a frame clockwise with its photo, which is so wide then."""
    (x, y), right, down = frame.center, frame.right, frame.down
    return HeadFrame((width - y, x), (-right[1], right[0]), (-down[1], down[0]))


def _turned_up(rgb: RGB, head: FoundHead) -> FoundHead:
    """Turn a head of which YuNet is not sure by the quarter turns that make it surest; by none if there is no doubt."""
    if head.score >= SURELY_UPRIGHT:
        return head
    as_it_is, *others = (_surest(rgb, frame) for frame in _quarter_turns(head.frame))
    best = max((other for other in others if other), key=lambda other: other.score, default=head)
    turned = best.score > (as_it_is or head).score + SURER and _same_head(best.frame, head.frame)
    return best if turned and _inside(best.frame, rgb) else head


def _quarter_turns(frame: HeadFrame) -> list[HeadFrame]:
    """The same square, with each of its edges on top, its own first."""
    x, y = frame.right
    return [HeadFrame(frame.center, right, (-right[1], right[0])) for right in ((x, y), (-y, x), (-x, -y), (y, -x))]


def _surest(rgb: RGB, frame: HeadFrame) -> FoundHead | None:
    """The head of which YuNet is surest in the crop of a frame."""
    points, score = _best_face(crop_head(rgb, frame, TURNED_SIDE, antialias=False))
    found = None if points is None else _frame(transform_points(points, _to_photo(frame, TURNED_SIDE)))
    return None if found is None else FoundHead(found, score)


def _set_upright(rgb: RGB, head: FoundHead) -> FoundHead | None:
    """Set the head's frame by dlib's landmarks; None if dlib sees no face and YuNet's score is low."""
    near, left, top = _surroundings(rgb, head.frame)
    factor = min(1.0, UPRIGHT_SIDE / head.frame.side)
    if factor < 1:
        near = np.asarray(cv2.resize(near, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    found, confirmed = head.moved(-left, -top).scaled(factor), False
    for _ in range(ROUNDS):
        seen = _search_upright(near, found)
        if seen is None:
            break
        settled = math.dist(seen.frame.right, found.frame.right) < SETTLED * found.frame.side
        found, confirmed = seen, confirmed or seen.landmarks is not None
        if settled:
            break
    return found.scaled(1 / factor).moved(left, top) if confirmed or head.score >= SURE else None


def _surroundings(rgb: RGB, frame: HeadFrame) -> tuple[RGB, int, int]:
    """The part of a photo in which a head may still turn out to be, and where its left and top are in the photo."""
    (x, y), reach = frame.center, 2 * frame.side
    left, top = max(int(x - reach), 0), max(int(y - reach), 0)
    return rgb[top : int(y + reach) + 1, left : int(x + reach) + 1], left, top


def _search_upright(rgb: RGB, head: FoundHead) -> FoundHead | None:
    """Find the head again in its upright crop; None if that shows none, or another."""
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
    """The (2, 3) matrix from pixels of the frame's crop of this side to the photo's."""
    return np.asarray(cv2.invertAffineTransform(frame_matrix(frame, side)), dtype=np.float64)


def _best_face(rgb: RGB) -> tuple[NDArray[np.float64] | None, float]:
    """YuNet's points of the face it is surest of, and its confidence."""
    return max(_faces(rgb), key=lambda face: face[1], default=(None, 0.0))


def _faces(rgb: RGB) -> list[tuple[NDArray[np.float64], float]]:
    """YuNet's faces in a picture: landmarks (68, 2) of which only those are set that `head_frame` reads, and score."""
    return [(_landmarks(row), float(row[14])) for row in yunet_faces(rgb, LIKELY)]


def _landmarks(row: NDArray[np.float32]) -> NDArray[np.float64]:
    """YuNet's row (box, two eyes, nose, two mouth corners, score), the viewer's left ones first, in dlib's order."""
    points = np.zeros((68, 2))
    left_eye, right_eye, _, left_corner, right_corner = row[4:14].reshape(5, 2)
    points[36:42], points[42:48] = left_eye, right_eye
    points[48], points[54] = left_corner, right_corner
    return points


def _frame(points: Points) -> HeadFrame | None:
    """The frame of these landmarks; None if they show no head."""
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
    """Find faces in an (H, W, 3) picture by YuNet, of at least this score in [0, 1].

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
    """Load YuNet (230 kB) once, without OpenCV's warning that its new engine knows no targets."""
    model = np.fromfile(YUNET, np.uint8)  # on Windows, OpenCV opens no path with letters beyond ASCII
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        return cv2.FaceDetectorYN.create("onnx", model, model[:0], (UPRIGHT_SIDE, UPRIGHT_SIDE))
    finally:
        cv2.utils.logging.setLogLevel(level)
