"""Write films: the suffix chooses container and codec, times are exact, and memory does not grow with the length."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import chain, count, pairwise
from pathlib import Path

import torch
from av.error import FFmpegError

from facegen.arrays import RGB
from facegen.errors import FileError, UsageError, one_line, suggest
from facegen.files import is_folder, replacing
from facegen.media.images import write_image
from facegen.media.metadata import IPTC, SOURCE_TYPES, Label, packet
from facegen.media.record import is_ours
from facegen.media.video_encoding import LOSSLESS, Codec, FrameStream, write_film, write_gif

FINEST = 1_000_000_000
"""Most ticks a second that containers can count; times that need more are rounded to `COARSER` a second."""
COARSER = 90_000
PICTURES = "frame-*.png"
"""Names of PNG frames; the star stands for a number of six digits."""
SHOWN = ("title", "artist", "copyright")
"""Keys of a film's text that also become metadata fields, for players to show."""
SOURCE_TYPE_KEY = "DigitalSourceType"
"""Key of the IPTC's digital source type in a film's text."""

_STARTS = {"movie_timescale": str(COARSER)}  # else the first frame's time is rounded to 1/1000 s
_MP4 = {"movflags": "+faststart"} | _STARTS
_MP4_SOUND = ("aac", "mp3", "ac3", "eac3", "alac", "opus")
_MOV_SOUND = ("aac", "mp3", "ac3", "alac", "pcm_s16le", "pcm_s24le")
_WEBM_SOUND = ("opus", "vorbis")
_MKV_SOUND = (*_MP4_SOUND, "flac", "vorbis", "pcm_s16le", "pcm_s24le")
_AVX512 = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
_H264 = {"preset": "medium", "crf": "17"} | ({"x264-params": "asm=AVX2"} if _AVX512 else {})
"""With AVX-512, x264 (core 165) at times writes other bytes, which depend on the former contents of its memory."""
_VP9 = {"crf": "24", "deadline": "good", "cpu-used": "3", "row-mt": "1"}
_AV1 = {"crf": "26", "preset": "8"}
_CODECS: dict[str, dict[str, Codec]] = {
    ".mp4": {"h264": Codec("mp4", "libx264", "yuv420p", _H264, _MP4, _MP4_SOUND, "aac")},
    ".webm": {
        "vp9": Codec("webm", "libvpx-vp9", "yuv420p", _VP9, {}, _WEBM_SOUND, "libopus"),
        "av1": Codec("webm", "libsvtav1", "yuv420p", _AV1, {}, _WEBM_SOUND, "libopus"),
    },
    ".mov": {"prores": Codec("mov", "prores_ks", "yuv422p10le", {"profile": "3"}, _STARTS, _MOV_SOUND, "pcm_s16le")},
    ".mkv": {"ffv1": replace(LOSSLESS, copied=_MKV_SOUND, sound="flac")},
    ".gif": {"gif": Codec("gif", "gif", "pal8", {}, {"loop": "0"})},
}
"""Suffix -> name of a codec -> its settings; the first codec is the default."""
VIDEO_SUFFIXES = tuple(_CODECS)
_MADE_BY: dict[Label, str] = {
    "generated": "Made by neural networks (facegen).",
    "composite": "Filmed, with parts made by neural networks (facegen).",
}
_XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
"""Box type of XMP in MPEG-4 (Adobe's XMP specification, part 3)."""


def write_video(
    path: Path,
    frames: Iterable[RGB],
    fps: Fraction,
    *,
    audio: Path | None = None,
    times: Sequence[Fraction] | None = None,
    text: Mapping[str, str] | None = None,
    codec: str | None = None,
    label: Label = "generated",
) -> Path:
    """Write a film, complete or not at all; missing folders are made.

    .mp4 is H.264 that plays in browsers, .webm VP9 or AV1, .mov ProRes 422 HQ, .mkv FFV1 (lossless), .gif has one
    palette for all frames and loops forever. A path without a suffix, or of a folder, gets PNG frames.

    Args:
        frames: (H, W, 3) uint8, all of one size.
        fps: frames a second. Matroska (.mkv, .webm) counts time in 1/1000 s, GIF in 1/100 s.
        audio: a file whose sound is copied if the container takes its codec, else encoded; it ends with the film.
        times: times of the frames in seconds, rising from 0 or more; None is frame number / fps. The last frame stays
            for 1 / fps.
        text: for `video_text`; "title", "artist" and "copyright" also become fields for players.
        codec: replaces the suffix's default: "av1" for .webm.
        label: how the film was made; stated in words, and in .mp4 as IPTC's digital source type.
    Raises:
        UsageError: see `find_codec`; also if there is no frame, or `times` do not rise or fit the number of frames.
        FileError: if the sound cannot be read or the film cannot be written.
    """
    chosen = find_codec(path, codec, sound=audio is not None)
    stream = _stream(path, frames, fps, times)
    try:
        if chosen is None:
            return _write_pictures(path, stream, text, label)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            _write_file(temporary, chosen, stream, audio, text or {}, label)
    except (FFmpegError, OSError) as error:
        reason = error.strerror or one_line(error)
        raise FileError(f"{path}: cannot be written ({reason}); choose another folder or format.") from error
    return path


def _write_pictures(folder: Path, stream: FrameStream, text: Mapping[str, str] | None, label: Label) -> Path:
    """Write a PNG for each frame, and delete further frames, which a longer film by facegen left in the folder."""
    written = [
        write_image(folder / PICTURES.replace("*", f"{number:06d}"), rgb, text=text, label=label)
        for number, (rgb, _, _) in enumerate(stream.frames, start=1)
    ]
    for path in set(written_pictures(folder)) - set(written):
        if is_ours(path):
            path.unlink()
    return folder


def find_codec(path: Path, codec: str | None = None, *, sound: bool = False) -> Codec | None:
    """Find the codec that `write_video` uses for a path; None stands for a folder of PNG frames.

    Raises:
        UsageError: if suffix or codec is unknown, or the container holds no sound but should.
    """
    suffix = path.suffix.lower()
    if (not suffix or is_folder(path)) and codec is None:
        chosen = None
    elif suffix not in _CODECS:
        known = suggest(suffix, VIDEO_SUFFIXES, "'")
        raise UsageError(f"{path}: unknown film suffix {suffix!r}{known} A name without one is a folder of PNG frames.")
    elif codec is not None and codec not in _CODECS[suffix]:
        raise UsageError(f"{path}: codec {codec!r} is not for {suffix}; known there: {', '.join(_CODECS[suffix])}.")
    else:
        chosen = _CODECS[suffix][codec or next(iter(_CODECS[suffix]))]
    if sound and (chosen is None or not chosen.sound):
        raise UsageError(f"{path}: {suffix or 'a folder of frames'} holds no sound; omit it, or write .mp4.")
    return chosen


def written_pictures(folder: Path) -> list[Path]:
    """List the PNG frames that `write_video` wrote into a folder, in order."""
    return sorted(folder.glob(PICTURES))


def _stream(path: Path, frames: Iterable[RGB], fps: Fraction, times: Sequence[Fraction] | None) -> FrameStream:
    """Give each frame its ticks; the errors of `write_video` are raised at once, or once the frames end."""
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


def _timed(path: Path, frames: Iterable[RGB], starts: Sequence[int], last: int) -> Iterator[tuple[RGB, int, int]]:
    lengths = [*(later - earlier for earlier, later in pairwise(starts)), max(last, 1)]
    coming = iter(zip(starts, lengths, strict=True))
    for rgb in frames:
        if (time := next(coming, None)) is None:
            raise UsageError(f"{path}: more frames than the {len(starts)} times given.")
        yield rgb, *time
    if next(coming, None) is not None:
        raise UsageError(f"{path}: fewer frames than the {len(starts)} times given.")


def _write_file(
    path: Path, codec: Codec, stream: FrameStream, audio: Path | None, text: Mapping[str, str], label: Label
) -> None:
    """Write a film with its text as a JSON object in the comment, the one field that every container keeps."""
    comment = json.dumps(dict(text) | {SOURCE_TYPE_KEY: SOURCE_TYPES[label]})
    fields = {key: value for key, value in text.items() if key in SHOWN}
    fields |= {"description": _MADE_BY[label], "comment": comment}
    if codec.container == "gif":
        write_gif(path, codec, stream, fields)
        _add_gif_comment(path, comment.encode())
    else:
        write_film(path, codec, stream, audio, fields)
    if codec.container == "mp4":
        _add_xmp(path, packet({f"{{{IPTC}}}DigitalSourceType": SOURCE_TYPES[label]}))


def _add_xmp(path: Path, xmp: bytes) -> None:
    """Append an XMP box to an mp4 file, as FFmpeg writes none."""
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", 24 + len(xmp), b"uuid") + _XMP_BOX + xmp)


def _add_gif_comment(path: Path, comment: bytes) -> None:
    """Put a comment before the last byte of a GIF file, as FFmpeg writes none (GIF89a specification, section 24)."""
    blocks = [comment[start : start + 255] for start in range(0, len(comment), 255)]
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x21\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0\x3b")
