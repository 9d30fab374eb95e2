"""Compare films by their temporal metrics and their sharpness."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from facegen.arrays import RGB
from facegen.errors import ImageError, UsageError
from facegen.evaluation.report import Evaluation, Figure, Protocol, Sheet
from facegen.evaluation.temporal import FLOW, TemporalMeter, TemporalMetrics
from facegen.files import is_folder
from facegen.media.images import find_pictures, read_image
from facegen.media.sheets import FilmSheet
from facegen.media.video_reader import Clip, is_clip
from facegen.weights import CARD_FILE

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
