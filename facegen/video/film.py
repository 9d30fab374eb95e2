"""A film: walks -> faces -> upscaled, steadily -> kept frame by frame -> encoded."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from facegen.errors import UsageError
from facegen.media.images import picture_text, write_image
from facegen.media.record import RECORD_KEY
from facegen.media.sheets import FilmSheet
from facegen.media.video_reader import video_text
from facegen.media.video_writer import check_video_path, write_video, written_pictures
from facegen.pipeline import FacePipeline
from facegen.video.cells import Cell, FilmOptions, Frame, made_frames
from facegen.video.interpolate import interpolate
from facegen.video.store import JSON, FrameStore
from facegen.video.walk import Walk

Item = TypeVar("Item")

SHAPING = ("facegen", "torch", "device", "recipe", "weights")
"""Of a record: what the bytes of a frame depend on beside the walks and the film's own options."""
LEAD = 12
"""Frames made before the first of a loop, that lead to it; the film's last ones fade into them, as what came before
leaves its mark on a frame, and the loop would jump from its end to its start."""


class Track(Protocol):
    """Passes items on one by one, and shows how far they are."""

    def __call__(self, items: Iterable[Item], total: int, done: int, description: str) -> Iterable[Item]: ...


@dataclass(frozen=True, kw_only=True)
class FilmFile:
    """How the frames become a file.

    Raises:
        UsageError: if the suffix or codec is unknown, there is no room for sound, or a loop cannot be interpolated.
    """

    path: Path
    """See `write_video` for what the suffix means."""
    text: Mapping[str, str]
    """The film's record; see `record_text`."""
    count: int
    """Frames of the film. Those that are made are fewer if others are put between them; see `made`."""
    interpolate: int = 1
    """How many times the film has the frames a second that are made: 1, 2 or 4."""
    loop: bool = False
    """Whether the first frame follows the last, so that frames are put between these too."""
    audio: Path | None = None
    """A file whose sound is laid under the film."""
    codec: str | None = None
    """Another than the suffix's own; see `write_video`."""
    sheet: bool = False
    """Write a contact sheet beside the film."""
    keep_frames: bool = False
    """Leave the frames' folder beside the film."""

    def __post_init__(self) -> None:
        check_video_path(self.path, self.codec)
        if self.audio is not None and self.path.suffix.lower() in ("", ".gif"):
            raise UsageError(f"{self.path}: holds no sound; leave --audio away, or write .mp4.")
        if self.loop and self.count % self.interpolate:
            raise UsageError(
                f"{self.path}: a loop of {self.count} frames cannot be interpolated {self.interpolate} times, as that "
                "does not divide it; choose another length or frame rate, or leave --interpolate away."
            )

    @property
    def made(self) -> int:
        """Frames from which interpolation makes at least those of the film."""
        steps = math.ceil((self.count if self.loop else self.count - 1) / self.interpolate)
        return steps if self.loop else steps + 1

    @property
    def frames(self) -> Path:
        """Folder of the frames made so far."""
        return self.path.with_name(f"{self.path.name}.frames")

    @property
    def sheet_path(self) -> Path:
        """out.mp4 -> out-sheet.png"""
        return self.path.with_name(f"{self.path.stem}-sheet.png")


def frame_count(seconds: Fraction, fps: Fraction) -> int:
    """Frames of a film: the nearest whole number to seconds x fps, at least 1."""
    return max(round(seconds * fps), 1)


def written_before(file: FilmFile) -> bool:
    """Whether the film, and its sheet if it is to have one, are there, made by the same command from the same."""
    if file.frames.exists() or not file.path.exists() or (file.sheet and not file.sheet_path.is_file()):
        return False
    return file.text.items() <= _text(file).items()


def _text(file: FilmFile) -> dict[str, str]:
    """What a film that is there says; {} of a folder that has not its frames, neither fewer nor more."""
    if not file.path.is_dir():
        return video_text(file.path)
    pictures = written_pictures(file.path)
    return picture_text(pictures[-1]) if len(pictures) == file.count else {}


def make_film(
    pipeline: FacePipeline,
    walks: Sequence[Walk],
    options: FilmOptions,
    file: FilmFile,
    *,
    track: Track = lambda items, total, done, description: items,
    say: Callable[[str], object] = lambda line: None,
) -> list[Path]:
    """Make a film of faces that walk, or go on with it where it was stopped.

    Every frame is kept in a folder beside the film as soon as it is made, and the folder goes when the film is written.
    The film's bytes are the same however often it was stopped. Memory does not grow with its length.

    Args:
        walks: one for each face, all of `file.made` frames.
        track: shows progress.
        say: told what was there already, and what had to be dropped.
    Returns:
        the files written.
    Raises:
        UsageError: if there is no walk, or one is of another length.
        ImageError: if a file cannot be written or read.
    """
    if {walk.count for walk in walks} != {file.made}:
        counts = [walk.count for walk in walks]
        raise UsageError(f"film: walks of {counts} frames; expected one or more, of {file.made}.")
    lead = min(LEAD, file.made) if file.loop and options.remembers else 0
    total = lead + file.made
    cells = [Cell(pipeline, walk, options) for walk in walks]
    with FrameStore(file.frames, frames_key(walks, options, file.text), warn=say) as store:
        if store.done:
            say(f"{file.path}: {store.done} of {total} frames are done already.")
        made = made_frames(cells, options.columns, store.state(), range(store.done - lead, file.made))
        for frame, state in track(made, total, store.done, "frames"):
            store.add(frame, state)
        written = _write(file, options.fps, _closed(store.frames(), lead, file.made), track)
        if not file.keep_frames:
            store.remove()
    return written


def frames_key(walks: Sequence[Walk], options: FilmOptions, text: Mapping[str, str]) -> dict[str, JSON]:
    """All that the bytes of a film's frames depend on."""
    record = json.loads(text[RECORD_KEY])
    shaping = {key: record[key] for key in SHAPING}
    return shaping | {
        "walks": [
            asdict(walk.options)
            | {"count": walk.count, "keyframes": hashlib.sha256(walk.keyframes.tobytes()).hexdigest()}
            for walk in walks
        ],
        "fps": str(options.fps),
        "size": options.size,
        "upscaled": options.upscaled,
        "columns": options.columns,
        "steady": asdict(options.steady),
    }


def _closed(frames: Iterator[Frame], lead: int, count: int) -> Iterator[Frame]:
    """The `count` frames of a film that come after the first `lead`; the last of them fade into these."""
    leading = list(islice(frames, lead))
    for number, frame in enumerate(frames, start=lead - count + 1):  # the last frame has number `lead`
        if number > 0:
            share = number / (lead + 1)
            frame = np.rint((1 - share) * frame + share * leading[number - 1]).astype(np.uint8)
        yield frame


def _write(file: FilmFile, made_fps: Fraction, frames: Iterator[Frame], track: Track) -> list[Path]:
    """Encode the frames, and write the sheet if it is wanted."""
    fps = made_fps * file.interpolate
    if file.interpolate > 1:
        frames = islice(interpolate(frames, file.interpolate, loop=file.loop), file.count)
    shown = track(frames, file.count, 0, "encoding")
    sheet = FilmSheet(file.count, fps)
    if file.sheet:
        shown = sheet.watch(shown)
    written = [write_video(file.path, shown, fps, audio=file.audio, text=file.text, codec=file.codec)]
    if file.sheet:
        written.append(write_image(file.sheet_path, sheet.picture(), text=file.text, label="generated"))
    return written
