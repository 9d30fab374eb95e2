"""Temporal metrics of films: warping error, flicker, landmark jitter, sharpness, measured frame by frame.

Motion between two frames is found by Farneback's flow (G. Farneback, "Two-Frame Motion Estimation Based on Polynomial
Expansion", SCIA 2003), which no other part of facegen uses, on frames reduced by area to a quarter of their sides, so
that fine detail, which may flicker, does not affect it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facegen.arrays import RGB
from facegen.errors import ImageError, ShapeError, UsageError
from facegen.evaluation.report import Evaluation, Figure, Protocol, Sheet
from facegen.faces.landmarks import faces_in_photo
from facegen.files import is_folder
from facegen.media.images import find_pictures, read_image
from facegen.media.sheets import FilmSheet
from facegen.media.video_reader import Clip, is_clip
from facegen.ops.flow import Flow, resize_flow, trust, warp
from facegen.weights import CARD_FILE

Plane = NDArray[np.float32]
REDUCED = 4
"""Factor by which frames are reduced for the flow."""
SURE = 0.5
"""Pixels are measured where the trust in the flow, see `facegen.ops.flow.trust`, is at least this."""
FINE = 1 / 256
"""Standard deviation of the Gaussian that separates fine detail, as a share of the shorter side: 3 px of 768. It is at
least one pixel."""
FLOW = f"Farneback's flow on frames reduced {REDUCED}x by area, where there and back agree"
GUESSED = 1000
"""Frames assumed, for the sheet, in a film that does not state its number of frames."""
FIGURES = (
    ("Warping error, squared 8-bit steps a second", "warping", FLOW, "lower"),
    ("Flicker energy, squared 8-bit steps a second", "flicker", FLOW, "lower"),
    ("Landmark jitter, % of eye distance a second", "jitter", "dlib, the largest face", "lower"),
    ("Sharpness (variance of the Laplacian)", "sharpness", "luma", "equal"),
)
"""Name, field of `TemporalMetrics`, method, wanted value."""


@dataclass(frozen=True)
class TemporalMetrics:
    """Figures of one film; None if it has too few frames, or no face. Lower is better, except for sharpness."""

    frames: int
    seconds: float
    warping: float | None
    """Mean square difference of a frame and its predecessor warped to it, where the flow is trusted, in squared 8-bit
    steps, times the frames per second (W.-S. Lai et al., "Learning Blind Video Temporal Consistency", ECCV 2018, there
    in [0, 1] and not per second). Real changes, such as one face turning into another, count too."""
    flicker: float | None
    """Mean square second difference in time, along the motion, of the luma's fine detail, in squared 8-bit steps, times
    the frames per second: the energy of changes that revert."""
    jitter: float | None
    """Mean length of the second difference in time of dlib's landmarks, in % of the distance between the eyes' outer
    corners, times the frames per second."""
    sharpness: float
    """Variance of the Laplacian of the luma, in squared 8-bit steps, mean over frames."""


class TemporalMeter:
    """Measures a film frame by frame; only two frames stay in memory.

    Args:
        fps: frames per second, more than 0.
    """

    def __init__(self, fps: float) -> None:
        if not fps > 0:
            raise UsageError(f"TemporalMeter: {fps} frames per second, expected more than 0.")
        self._fps, self._has_face = fps, True
        self._warping: list[float] = []
        self._flicker: list[float] = []
        self._jitter: list[float] = []
        self._sharpness: list[float] = []
        self._frames: deque[_Measured] = deque(maxlen=2)
        self._points: deque[NDArray[np.float64] | None] = deque(maxlen=3)

    def add(self, frame: RGB) -> None:
        """Measure the next frame, (H, W, 3) uint8; all frames have one size."""
        if self._frames and frame.shape != self._frames[-1].frame.shape:
            raise ShapeError(f"frame {len(self._sharpness) + 1} has shape {frame.shape}, expected "
                             f"{self._frames[-1].frame.shape} as those before.")  # fmt: skip
        measured = _measure(frame, self._frames[-1] if self._frames else None)
        self._sharpness.append(float(cv2.Laplacian(measured.luma, cv2.CV_32F).var()))
        if self._frames:
            self._warping.append(_warping_error(self._frames[-1], measured))
        if len(self._frames) == 2:
            self._flicker.append(_flicker_energy(self._frames[0], self._frames[1], measured))
        self._frames.append(measured)
        if self._has_face:
            self._add_points(frame)

    def _add_points(self, frame: RGB) -> None:
        """Find the largest face and measure its jitter; a film without a face in its first frame gets none."""
        faces = faces_in_photo(frame)
        self._has_face = bool(faces or self._points)
        self._points.append(faces[0].points if faces else None)
        three = [points for points in self._points if points is not None]
        if len(three) == 3:
            eyes = float(np.linalg.norm(three[1][36] - three[1][45]))
            self._jitter.append(100 * float(np.linalg.norm(three[0] - 2 * three[1] + three[2], axis=1).mean()) / eyes)

    def result(self) -> TemporalMetrics:
        """Compute the metrics of the frames so far, at least one."""
        count = len(self._sharpness)
        if not count:
            raise UsageError("TemporalMeter: no frames, so there is nothing to measure.")

        def per_second(values: Sequence[float]) -> float | None:
            return float(np.mean(values)) * self._fps if values else None

        warping, flicker, jitter = map(per_second, (self._warping, self._flicker, self._jitter))
        return TemporalMetrics(count, count / self._fps, warping, flicker, jitter, float(np.mean(self._sharpness)))


@dataclass(frozen=True)
class _Measured:
    """A frame and its motion from the frame before; the first has none."""

    frame: RGB  # (H, W, 3)
    luma: Plane  # (H, W), 0..255
    fine: Plane  # (H, W): the luma minus its Gaussian mean
    reduced: RGB  # (h, w): the luma, reduced by area
    flow: Flow | None  # (H, W, 2): where each pixel was in the frame before
    back: Flow | None  # (H, W, 2): where each pixel of the frame before is in this one
    sure: NDArray[Any]  # (H, W) bool: where `flow` is trusted


def _measure(frame: RGB, before: _Measured | None) -> _Measured:
    luma = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), dtype=np.float32)
    fine = luma - cv2.GaussianBlur(luma, (0, 0), max(FINE * min(luma.shape), 1))
    size = (luma.shape[1], luma.shape[0])
    small = (max(size[0] // REDUCED, 1), max(size[1] // REDUCED, 1))
    reduced = np.asarray(np.rint(cv2.resize(luma, small, interpolation=cv2.INTER_AREA)), dtype=np.uint8)
    if before is None:
        return _Measured(frame, luma, fine, reduced, None, None, np.zeros(luma.shape, dtype=bool))
    flow, back = _farneback(before.reduced, reduced), _farneback(reduced, before.reduced)
    sure = cv2.resize(trust(flow, back), size, interpolation=cv2.INTER_LINEAR) >= SURE
    return _Measured(frame, luma, fine, reduced, resize_flow(flow, size), resize_flow(back, size), sure)


def _farneback(before: RGB, after: RGB) -> Flow:
    """Find where each pixel of a reduced frame was in the frame before: (h, w, 2)."""
    still = np.zeros((*after.shape, 2), dtype=np.float32)
    flow = cv2.calcOpticalFlowFarneback(after, before, still, 0.5, 4, 15, 3, 7, 1.5, 0)
    return np.asarray(flow, dtype=np.float32)


def _warping_error(before: _Measured, after: _Measured) -> float:
    """Average the squared difference of colours where the flow is trusted."""
    assert after.flow is not None
    moved = warp(before.frame.astype(np.float32), after.flow, cv2.INTER_CUBIC)
    return _mean(np.square(after.frame - moved).mean(-1), after.sure)


def _flicker_energy(first: _Measured, middle: _Measured, last: _Measured) -> float:
    """Average the square of first + last - 2 middle, warped to the middle frame, where both flows are trusted."""
    assert middle.flow is not None
    assert last.back is not None
    sure = middle.sure & (warp(last.sure.astype(np.float32), last.back, cv2.INTER_LINEAR) >= SURE)
    around = warp(first.fine, middle.flow, cv2.INTER_CUBIC) + warp(last.fine, last.back, cv2.INTER_CUBIC)
    return _mean(np.square(around - 2 * middle.fine), sure)


def _mean(values: Plane, where: NDArray[Any]) -> float:
    return float(values[where].mean(dtype=np.float64)) if where.any() else 0.0


@dataclass(frozen=True)
class Film:
    """A film file, or a folder of frames."""

    path: Path
    fps: Fraction
    size: tuple[int, int]  # width, height
    count: int  # of frames, estimated if the file does not state it

    def frames(self) -> Iterator[RGB]:
        """Read each frame, (H, W, 3), in order."""
        if is_folder(self.path):
            yield from (read_image(file).rgb for file in find_pictures([self.path]))
        else:
            yield from (rgb for _, rgb in Clip(self.path).frames())


def is_film(path: Path) -> bool:
    """Return whether a path is a film file or a folder of frames, rather than weights."""
    if not is_folder(path):
        return is_clip(path)
    try:
        return not (path / CARD_FILE).exists() and bool(find_pictures([path]))
    except ImageError:  # no pictures in it
        return False


def open_film(path: Path, fps: Fraction) -> Film:
    """Open a film; `fps` is the rate of a folder of frames."""
    if is_folder(path):
        files = find_pictures([path])
        height, width = read_image(files[0]).rgb.shape[:2]
        return Film(path, fps, (width, height), len(files))
    clip = Clip(path)
    return Film(path, clip.fps, clip.size, clip.count or GUESSED)


def evaluate_films(paths: Sequence[Path], fps: Fraction, report: Callable[[str], None]) -> Evaluation:
    """Measure films, as `is_film` finds them, frame by frame; `fps` is the rate of folders of frames.

    Raises:
        UsageError: if one is named twice, or sizes or frame rates differ, as their figures would not be comparable.
        FileError: if one cannot be read.
    """
    if len(set(paths)) < len(paths):
        raise UsageError(f"{' '.join(map(str, paths))}: names the same film twice; name each once.")
    first, *others = films = [open_film(path, fps) for path in paths]
    for other in others:
        if (first.size, first.fps) != (other.size, other.fps):
            each = [f"{film.path} has {film.size[0]} × {film.size[1]} px at {film.fps} fps" for film in (first, other)]
            raise UsageError(f"{', '.join(each)}; only films of one size and frame rate are measured side by side.")
    found, sheets = {}, []
    for film in films:
        report(f"measuring {film.count} frames of {film.path}")
        sheet, meter = FilmSheet(film.count, film.fps), TemporalMeter(float(film.fps))
        for frame in sheet.watch(film.frames()):
            meter.add(frame)
        found[str(film.path)] = meter.result()
        sheets.append(Sheet(str(film.path), sheet.picture()))
    facts = {"films": ", ".join(found), "frames": ", ".join(str(x.frames) for x in found.values())}
    return Evaluation("Films", tuple(found), _figures(found, first), tuple(sheets), facts)


def _figures(found: dict[str, TemporalMetrics], film: Film) -> tuple[Figure, ...]:
    least, size = min(x.frames for x in found.values()), f"{film.size[0]} × {film.size[1]} px"

    def figure(name: str, field: str, features: str, wanted: str) -> Figure:
        protocol = Protocol(features, least, size, f"all frames, {film.fps} a second")
        return Figure(name, {column: getattr(x, field) for column, x in found.items()}, protocol, wanted)

    return tuple(figure(*each) for each in FIGURES)
