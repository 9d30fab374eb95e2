"""Read films: upright frames in RGB, each with its time, and the text that facegen wrote into the file."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from av.video.stream import VideoStream

from facegen.arrays import RGB
from facegen.errors import FileError, one_line
from facegen.files import refuse_special
from facegen.media.images import CLIP_SUFFIXES
from facegen.media.metadata import read_text

HD_LINES = 720
"""If a film states no colour matrix, players assume BT.709 from this number of lines on, and BT.601 below."""
EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT
"""Colours are converted exactly, and equally on every processor."""
CUT_OFF = 0.01
"""Share of a film's frames that may be missing at its end: players omit some, and rates are rounded."""
_UNKNOWN_MATRIX = 2
_CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,avi,caf,eac3,flac,flv,gif,h264,hevc,ivf,m4v,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,"
    "mpeg,mpegts,mpegvideo,ogg,tta,w64,wav,wv"
)
"""FFmpeg's names of the formats that are read; playlists, which lead to other files and addresses, are not."""
_COMPLAINTS = {
    "video": ("cannot be read as a film", "has no picture, only sound; expected a film."),
    "audio": ("its sound cannot be read", "has no sound; choose a file with an audio stream."),
}


class Clip:
    """A film file and its properties; its first frame is decoded as a check.

    Raises:
        FileError: if the file cannot be read, or has no picture.
    """

    path: Path
    fps: Fraction  # average frames a second
    size: tuple[int, int]  # width and height of an upright frame with square pixels
    count: int | None  # of frames; None if the file does not state it
    duration: Fraction | None  # of the picture, in seconds; None if the file does not state it
    has_audio: bool

    def __init__(self, path: Path) -> None:
        self.path = path
        with closing(open_media(path, "video")) as film:
            stream = film.streams.video[0]
            self.fps = stream.average_rate or stream.guessed_rate or Fraction(25)
            self.has_audio = bool(film.streams.audio)
            self.duration = _duration(film, stream)
            longest = self.duration or Fraction(film.duration or 0, av.time_base)
            self.count = stream.frames or round(longest * self.fps) or None
        first = next(self.frames(), None)
        if first is None:
            raise FileError(f"{path}: holds no frame; expected a film.")
        height, width = first[1].shape[:2]
        self.size = (width, height)

    def frames(self) -> Generator[tuple[Fraction, RGB], None, None]:
        """Yield each frame, (H, W, 3), with its time in seconds after the start of the file, which is its sound's too.

        Frames of a variable rate keep their times. A frame that is not later than the one before is omitted, as players
        never show it. Close the iterator to stop early. A damaged file raises FileError.
        """
        number, latest = 0, Fraction(-1)
        with closing(open_media(self.path, "video")) as film:
            stream = film.streams.video[0]
            stream.thread_type = "AUTO"
            start = start_of(film)
            try:
                for number, frame in enumerate(film.decode(stream), start=1):
                    time = self._time(frame, number, start)
                    if time > latest:
                        yield time, _upright(frame, stream)
                        latest = time
            except FFmpegError as error:
                text = f"{self.path}: is damaged after frame {number} ({one_line(error)}); repair it first."
                raise FileError(text) from None

    def missing(self, times: Sequence[Fraction]) -> int:
        """Estimate how many frames are missing at the end of a file that was cut off, as by a broken download.

        Args:
            times: of all frames that could be read, at least one.
        Returns:
            0 if the file has about as many frames as it states, or states none.
        """
        if self.count is None or self.duration is None:
            return 0
        shown = times[-1] * self.fps + 1  # frames until then at an even rate; times may have gaps
        missing = min(self.count - len(times), round(self.duration * self.fps - shown))
        return missing if missing > max(CUT_OFF * self.count, 1) else 0

    def _time(self, frame: VideoFrame, number: int, start: Fraction) -> Fraction:
        if frame.pts is None or frame.time_base is None:
            return (number - 1) / self.fps
        return max(frame.pts * frame.time_base - start, Fraction(0))


def _duration(film: InputContainer, stream: VideoStream) -> Fraction | None:
    """Find the picture's duration in seconds; the sound may be longer."""
    if stream.duration is not None and stream.time_base is not None:
        return stream.duration * stream.time_base
    if found := re.fullmatch(r"(\d+):(\d\d):(\d\d\.\d+)", stream.metadata.get("DURATION", "")):  # Matroska
        hours, minutes, seconds = map(Fraction, found.groups())
        return 3600 * hours + 60 * minutes + seconds
    return None if film.duration is None or film.streams.audio else Fraction(film.duration, av.time_base)


def is_clip(path: Path) -> bool:
    """Return whether a file is a film, by its suffix."""
    return path.suffix.lower() in CLIP_SUFFIXES


def video_text(path: Path) -> dict[str, str]:
    """Read the text that `write_video` wrote into a film; {} if there is none."""
    with closing(open_media(path, "video")) as film:
        fields = {key.lower(): value for key, value in film.metadata.items()}
    return read_text(fields.get("comment", "{}"))  # another program's is no JSON object


def open_media(path: Path, kind: Literal["video", "audio"]) -> InputContainer:
    """Open a file for its picture or its sound; close it after use.

    Raises:
        FileError: if it cannot be read, or has no stream of that kind.
    """
    unreadable, missing = _COMPLAINTS[kind]
    refuse_special(path)
    try:
        only = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
        file = av.open(f"file:{path}", options=only, metadata_errors="replace")
    except (FFmpegError, OSError) as error:
        raise FileError(f"{path}: {unreadable} ({one_line(error)}); check the path.") from None
    if not any(stream.type == kind for stream in file.streams):
        file.close()
        raise FileError(f"{path}: {missing}")
    return file


def start_of(file: InputContainer) -> Fraction:
    """Return the time in seconds at which a file starts."""
    return Fraction(file.start_time or 0, av.time_base)


def _upright(frame: VideoFrame, stream: VideoStream) -> RGB:
    """Convert a frame to (H, W, 3) RGB in full range, with square pixels, turned as the file requires."""
    assumed = Colorspace.ITU709 if frame.height >= HD_LINES else Colorspace.ITU601
    rgb = frame.reformat(
        width=round(frame.width * (stream.sample_aspect_ratio or 1)), format="rgb24", interpolation=EXACT, threads=1,
        src_colorspace=assumed if frame.colorspace == _UNKNOWN_MATRIX else None, dst_color_range=ColorRange.JPEG,
    )  # fmt: skip
    return np.ascontiguousarray(np.rot90(rgb.to_ndarray(), round(frame.rotation / 90)), dtype=np.uint8)
