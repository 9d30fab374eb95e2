"""Frames to films: the suffix chooses container and codec, times are exact, the same frames give the same bytes.

YCbCr is BT.709 in limited range, converted and tagged so. Where the codec halves the chroma, a film needs even sides:
an odd one gets its last row or column once more, so that nothing is cropped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import chain, count, pairwise
from pathlib import Path

from av.error import FFmpegError

from facegen.errors import ImageError, UsageError, did_you_mean, one_line
from facegen.files import replacing
from facegen.media.gif import write_gif
from facegen.media.images import write_image
from facegen.media.metadata import Label
from facegen.media.muxing import LOSSLESS, Codec, FrameStream, write_film
from facegen.media.video_color import Frame
from facegen.media.video_metadata import add_gif_comment, add_xmp, film_metadata

FINEST = 1_000_000_000
"""Ticks a second that containers can count; times that need more are rounded to `COARSER` a second."""
COARSER = 90_000

PICTURES = "frame-*.png"
"""Names of PNG frames; the number in them has six digits."""

_STARTS = {"movie_timescale": str(COARSER)}  # or the first frame's time is rounded to 1/1000 s
_MP4 = {"movflags": "+faststart"} | _STARTS
_MP4_SOUND = ("aac", "mp3", "ac3", "eac3", "alac", "opus")
_MOV_SOUND = ("aac", "mp3", "ac3", "alac", "pcm_s16le", "pcm_s24le")
_WEBM_SOUND = ("opus", "vorbis")
_MKV_SOUND = (*_MP4_SOUND, "flac", "vorbis", "pcm_s16le", "pcm_s24le")
_H264 = {"preset": "medium", "crf": "17"}
_VP9 = {"crf": "24", "deadline": "good", "cpu-used": "3", "row-mt": "1"}
_AV1 = {"crf": "26", "preset": "8"}
_FORMS: dict[str, dict[str, Codec]] = {
    ".mp4": {"h264": Codec("mp4", "libx264", "yuv420p", _H264, _MP4, _MP4_SOUND, "aac")},
    ".webm": {
        "vp9": Codec("webm", "libvpx-vp9", "yuv420p", _VP9, {}, _WEBM_SOUND, "libopus"),
        "av1": Codec("webm", "libsvtav1", "yuv420p", _AV1, {}, _WEBM_SOUND, "libopus"),
    },
    ".mov": {"prores": Codec("mov", "prores_ks", "yuv422p10le", {"profile": "3"}, _STARTS, _MOV_SOUND, "pcm_s16le")},
    ".mkv": {"ffv1": replace(LOSSLESS, copied=_MKV_SOUND, sound="flac")},
    ".gif": {"gif": Codec("gif", "gif", "pal8", {}, {"loop": "0"})},
}
"""Suffix -> codec -> how such films are written; the first codec is the default."""
VIDEO_SUFFIXES = tuple(_FORMS)
"""What `write_video` can write, beside folders of PNG frames."""


def write_video(
    path: Path,
    frames: Iterable[Frame],
    fps: Fraction,
    *,
    audio: Path | None = None,
    times: Sequence[Fraction] | None = None,
    text: Mapping[str, str] | None = None,
    codec: str | None = None,
    label: Label = "generated",
) -> Path:
    """Write a film, complete or not at all; missing folders are made, and the memory does not grow with its length.

    .mp4 is H.264 that plays in browsers, .webm VP9 or AV1, .mov ProRes 422 HQ, .mkv FFV1 (lossless), .gif has one
    palette for all frames and loops forever. A path without suffix, or of a folder, gets PNG frames, one by one.

    Args:
        frames: (H, W, 3) uint8, all of one size.
        fps: frames a second. Matroska (.mkv, .webm) counts time in 1/1000 s, GIF in 1/100 s.
        audio: a file whose sound is laid under the film: as it is where the container takes its codec, else as AAC,
            Opus, FLAC or PCM. What outlasts the film is cut.
        times: of the frames, in seconds, rising from 0 or more; None is frame number / fps. The last frame stays for
            1 / fps.
        text: kept in the file for `video_text`; "title", "artist" and "copyright" are for players to show, too.
        codec: another than the suffix's own: "av1" for .webm.
        label: how the film was made; said in words, and in .mp4 as IPTC's digital source type.
    Raises:
        UsageError: if suffix or codec is unknown, there is no frame, `times` are not as many as frames or do not
            rise, or sound is asked for in GIF or PNG frames.
        ShapeError: if a frame is not (H, W, 3) uint8, or not as large as the first.
        ImageError: if the sound cannot be read or the film not written.
    """
    path, form = Path(path), _codec(path, codec)
    if audio is not None and (form is None or not form.sound):
        raise UsageError(f"{path}: {path.suffix or 'a folder of frames'} holds no sound; leave it away, or write .mp4.")
    reel = _stream(path, frames, fps, times)
    try:
        if form is None:
            return _write_pictures(path, reel, text or {}, label)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            _write_file(temporary, form, reel, audio, text or {}, label)
    except (FFmpegError, OSError) as error:
        raise ImageError(f"{path}: cannot be written ({one_line(error)}); choose another folder or format.") from error
    return path


def _write_file(
    path: Path, form: Codec, reel: FrameStream, audio: Path | None, text: Mapping[str, str], label: Label
) -> None:
    """A film of any form, with what its container alone cannot say."""
    fields = film_metadata(text, label)
    if form.container == "gif":
        write_gif(path, form, reel, fields)
        add_gif_comment(path, fields["comment"])
    else:
        write_film(path, form, reel, audio, fields)
    if form.container == "mp4":
        add_xmp(path, label)


def check_video_path(path: Path, codec: str | None = None) -> None:
    """See that `write_video` knows how to write there, before any work is done for it.

    Raises:
        UsageError: if suffix or codec is unknown.
    """
    _codec(path, codec)


def written_pictures(folder: Path) -> list[Path]:
    """The PNG frames that `write_video` wrote into a folder, in order; the last one is written last."""
    return sorted(folder.glob(PICTURES))


def _codec(path: Path, codec: str | None) -> Codec | None:
    """How to write there; None is a folder of frames."""
    suffix = path.suffix.lower()
    if (not suffix or path.is_dir()) and codec is None:
        return None
    codecs = _FORMS.get(suffix)
    if codecs is None:
        hint = did_you_mean(suffix, VIDEO_SUFFIXES)
        raise UsageError(
            f"{path}: unknown film suffix {suffix!r}{hint} Known: {', '.join(VIDEO_SUFFIXES)}; a name without one is a "
            "folder of PNG frames."
        )
    if codec is not None and codec not in codecs:
        raise UsageError(f"{path}: codec {codec!r} is not for {suffix}; known there: {', '.join(codecs)}.")
    return codecs[codec or next(iter(codecs))]


def _stream(path: Path, frames: Iterable[Frame], fps: Fraction, times: Sequence[Fraction] | None) -> FrameStream:
    """The frames with the ticks they appear at.

    Raises:
        UsageError: at once or when the frames are at an end, as `write_video` says.
    """
    if fps <= 0:
        raise UsageError(f"fps is {fps}, expected more than 0 frames a second.")
    first = next(frames := iter(frames), None)
    if first is None:
        raise UsageError(f"{path}: a film needs at least one frame.")
    frames = chain([first], frames)
    if times is None:
        return FrameStream(((rgb, start, 1) for rgb, start in zip(frames, count(), strict=False)), 1 / fps, fps)
    if any(later <= earlier for earlier, later in pairwise([Fraction(-1), *times])) or (times and times[0] < 0):
        raise UsageError(f"{path}: the times of the frames do not rise from 0 or more.")
    ticks = math.lcm(*(time.denominator for time in times))
    tick = Fraction(1, ticks if ticks <= FINEST else COARSER)
    return FrameStream(_timed(path, frames, [round(time / tick) for time in times], round(1 / fps / tick)), tick, fps)


def _timed(path: Path, frames: Iterable[Frame], starts: Sequence[int], last: int) -> Iterator[tuple[Frame, int, int]]:
    lengths = [*(later - earlier for earlier, later in pairwise(starts)), max(last, 1)]
    left = iter(zip(starts, lengths, strict=True))
    for rgb in frames:
        if (time := next(left, None)) is None:
            raise UsageError(f"{path}: more frames than the {len(starts)} times given.")
        yield rgb, *time
    if next(left, None) is not None:
        raise UsageError(f"{path}: fewer frames than the {len(starts)} times given.")


def _write_pictures(folder: Path, reel: FrameStream, text: Mapping[str, str], label: Label) -> Path:
    """PNG frames, numbered from 1."""
    for number, (rgb, _, _) in enumerate(reel.frames, start=1):
        write_image(folder / PICTURES.replace("*", f"{number:06d}"), rgb, text=text, label=label)
    return folder
