"""Films to frames: upright, in RGB, each with its time."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from facegen.errors import ImageError, one_line
from facegen.media.video_color import to_rgb

CLIP_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv")
"""What is taken for a film by its name."""


class Clip:
    """A film file, and what it says of itself; its first frame is decoded to see that it can be.

    Raises:
        ImageError: if the file cannot be read, or has no picture.
    """

    path: Path
    fps: Fraction
    """Frames a second, on average."""
    size: tuple[int, int]
    """Width and height of a frame, upright and with square pixels."""
    count: int | None
    """Frames, as far as the file tells."""
    duration: Fraction | None
    """Seconds, as far as the file tells."""
    has_audio: bool

    def __init__(self, path: Path) -> None:
        self.path = path
        with closing(open_media(path, "video")) as film:
            stream = film.streams.video[0]
            self.fps = stream.average_rate or stream.guessed_rate or Fraction(25)
            self.has_audio = bool(film.streams.audio)
            self.duration = None if film.duration is None else Fraction(film.duration, av.time_base)
            self.count = stream.frames or (None if self.duration is None else round(self.duration * self.fps))
        first = next(self.frames(), None)
        if first is None:
            raise ImageError(f"{path}: holds no frame; expected a film.")
        height, width = first[1].shape[:2]
        self.size = (width, height)

    def frames(self) -> Generator[tuple[Fraction, NDArray[np.uint8]], None, None]:
        """Each frame, (H, W, 3), with its time in seconds from the start of the file, where its sound starts as well.

        Frames of a variable rate keep their times. A frame whose time does not rise is left out, as players never show
        it. Close the iterator to stop early.

        Raises:
            ImageError: if the file is damaged.
        """
        number, latest = 0, Fraction(-1)
        with closing(open_media(self.path, "video")) as film:
            stream = film.streams.video[0]
            stream.thread_type = "AUTO"
            start = Fraction(film.start_time or 0, av.time_base)
            try:
                for number, frame in enumerate(film.decode(stream), start=1):
                    time = self._time(frame, number, start)
                    if time > latest:
                        yield time, _upright(frame, stream)
                        latest = time
            except FFmpegError as error:
                where = f"after frame {number}"
                raise ImageError(f"{self.path}: is damaged {where} ({one_line(error)}); repair it first.") from None

    def _time(self, frame: VideoFrame, number: int, start: Fraction) -> Fraction:
        if frame.pts is None or frame.time_base is None:
            return (number - 1) / self.fps
        return max(frame.pts * frame.time_base - start, Fraction(0))


def is_clip(path: Path) -> bool:
    """Whether a path is taken for a film, by its name."""
    return path.suffix.lower() in CLIP_SUFFIXES


def _upright(frame: VideoFrame, stream: VideoStream) -> NDArray[np.uint8]:
    """(H, W, 3) in RGB, with square pixels, turned as the file asks."""
    rgb = to_rgb(frame, width=round(frame.width * (stream.sample_aspect_ratio or 1)))
    return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)))


_UNREADABLE = {"video": "cannot be read as a film", "audio": "its sound cannot be read"}
_LACKING = {
    "video": "has no picture, only sound; expected a film.",
    "audio": "has no sound; expected a file with an audio stream, or leave it away.",
}


def open_media(path: Path, kind: Literal["video", "audio"]) -> InputContainer:
    """Open a file for its picture or its sound; close it after use.

    Raises:
        ImageError: if it cannot be read, or has no stream of that kind.
    """
    try:
        file = av.open(str(path))
    except (FFmpegError, OSError) as error:
        raise ImageError(f"{path}: {_UNREADABLE[kind]} ({one_line(error)}); check the path.") from None
    if not any(stream.type == kind for stream in file.streams):
        with closing(file):
            raise ImageError(f"{path}: {_LACKING[kind]}")
    return file
