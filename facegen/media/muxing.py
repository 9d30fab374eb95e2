"""One film file: frames through an encoder into a container, the sound beside them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import cast

import av
import numpy as np
import torch
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from facegen.errors import ShapeError
from facegen.media.sound import Soundtrack
from facegen.media.video_color import Frame, coded_size, from_rgb, tag

THREADS = 4
"""Of every encoder, whatever the machine has: some codecs' bytes depend on it."""


@dataclass(frozen=True)
class Codec:
    """How films of one kind are written."""

    container: str
    encoder: str
    pixels: str
    options: Mapping[str, str] = field(default_factory=dict)
    container_options: Mapping[str, str] = field(default_factory=dict)
    copied: tuple[str, ...] = ()
    """Audio codecs that are taken as they are."""
    sound: str = ""
    """Encoder of other sound; empty if there can be none."""


LOSSLESS = Codec("matroska", "ffv1", "bgr0", {"level": "3", "slices": "4"})
"""What a film is kept in between."""


@dataclass(frozen=True)
class FrameStream:
    """The frames of a film with their times."""

    frames: Iterable[tuple[Frame, int, int]]
    """(H, W, 3) uint8, all of one size, each with the tick it appears at and the ticks it stays."""
    tick: Fraction
    """Seconds."""
    fps: Fraction


def write_film(path: Path, form: Codec, reel: FrameStream, audio: Path | None, fields: Mapping[str, str]) -> None:
    """Write a film file with sound and metadata.

    Raises:
        ShapeError: if a frame is not (H, W, 3) uint8, or not as large as the first.
        ImageError: if the sound cannot be read.
        FFmpegError, OSError: if the film cannot be written.
    """
    frames = iter(reel.frames)
    first = next(frames)
    shape = first[0].shape
    _check(first[0], shape)
    with ExitStack() as stack:
        output = stack.enter_context(opened(path, form, fields))
        stream = add_stream(output, form, (shape[1], shape[0]), reel)
        sound = stack.enter_context(Soundtrack(audio, output, form.copied, form.sound)) if audio else None
        for rgb, start, length in chain([first], frames):
            _check(rgb, shape)
            output.mux(stream.encode(timed(from_rgb(rgb, form.pixels), start, length, reel.tick)))
            if sound is not None:
                sound.play_until((start + length) * reel.tick)
        output.mux(stream.encode(None))


def opened(path: Path, form: Codec, fields: Mapping[str, str]) -> OutputContainer:
    """A file to write a film to, without anything in it that differs from run to run."""
    output = av.open(
        str(path), "w", format=form.container, options={"fflags": "+bitexact"} | dict(form.container_options)
    )
    output.metadata.update(fields)
    return output


def add_stream(output: OutputContainer, form: Codec, size: tuple[int, int], reel: FrameStream) -> VideoStream:
    """The film's picture stream, for frames of `size` = (width, height)."""
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 tells of its settings on stderr otherwise
    options = dict(form.options) | repeatable(form.encoder)
    stream = cast(VideoStream, output.add_stream(form.encoder, rate=reel.fps, options=options))
    stream.width, stream.height = coded_size(size, form.pixels)
    stream.pix_fmt = form.pixels
    context = stream.codec_context
    context.time_base, context.thread_count, context.bit_rate = reel.tick, THREADS, 0
    tag(context, form.pixels)
    return stream


def repeatable(encoder: str) -> dict[str, str]:
    """What keeps an encoder's bytes the same from run to run.

    x264 (core 165) with AVX-512 writes other bytes now and then, depending on what its memory held before; with AVX2 it
    always writes those of the rest, as `python -m benchmarks.repeatable_films` shows.
    """
    avx512 = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return {"x264-params": "asm=AVX2"} if avx512 and encoder == "libx264" else {}


def timed(frame: VideoFrame, start: int, length: int, tick: Fraction) -> VideoFrame:
    """The frame with its place in the film, in ticks."""
    frame.pts, frame.duration, frame.time_base = start, length, tick
    return frame


def _check(rgb: Frame, shape: tuple[int, ...]) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.shape != shape:
        expected = "(H, W, 3)" if len(shape) != 3 or shape[2] != 3 else f"{shape} as the first"
        raise ShapeError(f"film: a frame is {rgb.dtype} of shape {rgb.shape}, expected uint8 {expected}.")
