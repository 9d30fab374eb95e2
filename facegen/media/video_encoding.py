"""Encode frames and sound into one film file.

YCbCr is converted to BT.709 in limited range and tagged as such. It needs even sides: an odd side gets its last row or
column twice, so that nothing is cropped.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.filter import Graph
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream

from facegen.arrays import RGB
from facegen.errors import FileError, ShapeError, one_line
from facegen.media.video_reader import EXACT, open_media, start_of

THREADS = 4
"""Threads of every encoder on every machine: with some codecs, a file's bytes depend on their number."""
DITHER = "dither=bayer:bayer_scale=4"
"""An ordered pattern is still where the picture is; error diffusion would flicker and make larger files."""


@dataclass(frozen=True)
class Codec:
    """A container, an encoder and their settings."""

    container: str
    encoder: str
    pixels: str  # FFmpeg's name of the pixel format
    options: Mapping[str, str] = field(default_factory=dict)
    container_options: Mapping[str, str] = field(default_factory=dict)
    copied: tuple[str, ...] = ()  # audio codecs whose packets the container takes unchanged
    sound: str = ""  # encoder of other sound; "" if the container holds none


LOSSLESS = Codec("matroska", "ffv1", "bgr0", {"level": "3", "slices": "4"})


@dataclass(frozen=True)
class FrameStream:
    """The frames of a film with their times."""

    frames: Iterable[tuple[RGB, int, int]]
    """(H, W, 3) uint8, all of one size, each with the tick at which it appears and the ticks for which it stays."""
    tick: Fraction  # in seconds
    fps: Fraction


def write_film(path: Path, codec: Codec, stream: FrameStream, audio: Path | None, fields: Mapping[str, str]) -> None:
    """Write a film with sound and metadata.

    Raises:
        ShapeError: if a frame is not (H, W, 3) uint8, or not of the first frame's size.
        FileError: if the sound cannot be read.
        FFmpegError, OSError: if the film cannot be written.
    """
    frames = _checked(stream.frames)
    first = next(frames)
    with ExitStack() as stack:
        output = stack.enter_context(_opened(path, codec, fields))
        pictures = _add_pictures(output, codec, (first[0].shape[1], first[0].shape[0]), stream)
        sound = stack.enter_context(closing(_Soundtrack(audio, output, codec))) if audio else None
        for rgb, start, length in chain([first], frames):
            output.mux(pictures.encode(_timed(_from_rgb(rgb, codec.pixels), start, length, stream.tick)))
            if sound is not None:
                sound.play_until((start + length) * stream.tick)
        output.mux(pictures.encode(None))


def _checked(frames: Iterable[tuple[RGB, int, int]]) -> Iterator[tuple[RGB, int, int]]:
    size: tuple[int, ...] = ()
    for rgb, start, length in frames:
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.shape != (size or rgb.shape):
            expected = f"{size} as the first" if size else "(H, W, 3)"
            raise ShapeError(f"film: a frame is {rgb.dtype} of shape {rgb.shape}, expected uint8 {expected}.")
        size = rgb.shape
        yield rgb, start, length


def _opened(path: Path, codec: Codec, fields: Mapping[str, str]) -> OutputContainer:
    """Open a film file for writing, whose bytes do not differ from run to run."""
    options = {"fflags": "+bitexact"} | dict(codec.container_options)
    output = av.open(str(path), "w", format=codec.container, options=options)
    output.metadata.update(fields)
    return output


def _add_pictures(output: OutputContainer, codec: Codec, size: tuple[int, int], stream: FrameStream) -> VideoStream:
    """Add a video stream for frames of `size` = (width, height)."""
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 prints its settings to stderr otherwise
    pictures = cast(VideoStream, output.add_stream(codec.encoder, rate=stream.fps, options=dict(codec.options)))
    pictures.width, pictures.height = _coded_size(size, codec.pixels)
    pictures.pix_fmt = codec.pixels
    context = pictures.codec_context
    context.time_base, context.thread_count, context.bit_rate = stream.tick, THREADS, 0
    _tag(context, codec.pixels)
    return pictures


def _timed(frame: VideoFrame, start: int, length: int, tick: Fraction) -> VideoFrame:
    frame.pts, frame.duration, frame.time_base = start, length, tick
    return frame


def _from_rgb(rgb: RGB, pixels: str) -> VideoFrame:
    """Convert (H, W, 3) to a frame in a pixel format of FFmpeg; YCbCr gets even sides."""
    height, width = rgb.shape[:2]
    wide, high = _coded_size((width, height), pixels)
    padded = np.pad(rgb, ((0, high - height), (0, wide - width), (0, 0)), mode="edge")
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(padded), "rgb24")
    if not _is_ycbcr(pixels):
        return frame.reformat(format=pixels, threads=1)
    frame = frame.reformat(
        format=pixels, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG, interpolation=EXACT,
        threads=1,
    )  # fmt: skip
    _tag(frame, pixels)
    return frame


def _coded_size(size: tuple[int, int], pixels: str) -> tuple[int, int]:
    return (size[0] + size[0] % 2, size[1] + size[1] % 2) if _is_ycbcr(pixels) else size


def _tag(target: VideoCodecContext | VideoFrame, pixels: str) -> None:
    if _is_ycbcr(pixels):
        target.colorspace, target.color_range = Colorspace.ITU709, ColorRange.MPEG
        target.color_primaries, target.color_trc = ColorPrimaries.BT709, ColorTrc.BT709


def _is_ycbcr(pixels: str) -> bool:
    return pixels.startswith("yuv")


class _Soundtrack:
    """The first audio stream of a file, copied into a film if the container takes its codec, else encoded anew."""

    def __init__(self, path: Path, output: OutputContainer, codec: Codec) -> None:
        self._path, self._output, self._next = path, output, cast("Packet[AudioStream] | None", None)
        self._input = open_media(path, "audio")
        source, encoder = self._input.streams.audio[0], codec.sound
        if source.codec.canonical_name in codec.copied:
            self._stream = output.add_stream_from_template(source)
            self._packets = self._copied(source)
        else:
            rate = 48_000 if encoder == "libopus" else source.rate
            layout = "mono" if source.channels == 1 else "stereo"  # more channels are mixed down
            self._stream = cast(AudioStream, output.add_stream(encoder, rate=rate, layout=layout))
            self._packets = self._encoded(source)

    def close(self) -> None:
        self._input.close()

    def play_until(self, time: Fraction) -> None:
        """Write the packets that end by this time of the film, in seconds; keep the next one for later."""
        while (packet := self._next or self._read()) is not None:
            self._next = packet
            if ((packet.pts or 0) + (packet.duration or 0)) * packet.time_base > time:
                return
            self._next = None
            self._output.mux(packet)

    def _read(self) -> Packet[AudioStream] | None:
        try:
            return next(self._packets, None)
        except FFmpegError as error:
            raise FileError(f"{self._path}: its sound is damaged ({one_line(error)}); convert it first.") from error

    def _copied(self, source: AudioStream) -> Iterator[Packet[AudioStream]]:
        start = start_of(self._input)
        for packet in self._input.demux(source):
            if packet.pts is not None and packet.dts is not None:  # the last one is empty
                shift = int(start / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = self._stream
                yield packet

    def _encoded(self, source: AudioStream) -> Iterator[Packet[AudioStream]]:
        start, context = start_of(self._input), self._stream.codec_context
        resampler = av.AudioResampler(format=context.format, layout=context.layout, rate=context.sample_rate)
        decoded = False
        for frame in self._input.decode(source):
            decoded = True
            if frame.pts is not None and frame.time_base:
                frame.pts -= int(start / frame.time_base)
            for part in resampler.resample(frame):
                yield from self._stream.encode(part)
        for part in resampler.resample(None) if decoded else ():
            if part is not None:  # the resampler had nothing to do
                yield from self._stream.encode(part)
        yield from self._stream.encode(None)


def write_gif(path: Path, codec: Codec, stream: FrameStream, fields: Mapping[str, str]) -> None:
    """Write a GIF that loops forever, in the 256 colours that suit all its frames best.

    The palette needs all frames before the first is drawn, so they are kept in a lossless film.
    """
    times: list[tuple[int, int]] = []  # the lossless film rounds them

    def timed() -> Iterator[tuple[RGB, int, int]]:
        for rgb, start, length in stream.frames:
            times.append((start, length))
            yield rgb, start, length

    with TemporaryDirectory(prefix="facegen-") as folder:
        lossless = Path(folder) / "film.mkv"
        write_film(lossless, LOSSLESS, replace(stream, frames=timed()), None, {})
        with av.open(str(lossless)) as film:
            palette = _palette(film)
        with av.open(str(lossless)) as film, _opened(path, codec, fields) as output:
            source = film.streams.video[0]
            pictures = _add_pictures(output, codec, (source.width, source.height), stream)
            for frame, (start, length) in zip(_drawn(film, palette), times, strict=True):
                output.mux(pictures.encode(_timed(frame, start, length, stream.tick)))
            output.mux(pictures.encode(None))


def _palette(film: InputContainer) -> VideoFrame:
    """Make the palette of all frames, a picture of 16 x 16 colours."""
    graph = Graph()
    source = graph.add_buffer(template=film.streams.video[0])
    graph.link_nodes(source, graph.add("palettegen"), graph.add("buffersink")).configure()
    for frame in film.decode(video=0):
        source.push(frame)
        with suppress(BlockingIOError):  # there is no palette yet, but the call makes the graph process the frame
            graph.vpull()
    source.push(None)
    return graph.vpull()


def _drawn(film: InputContainer, palette: VideoFrame) -> Iterator[VideoFrame]:
    """Yield the frames in the colours of the palette, dithered."""
    graph, stream = Graph(), film.streams.video[0]
    source, draw = graph.add_buffer(template=stream), graph.add("paletteuse", DITHER)
    colours = graph.add_buffer(width=16, height=16, format=palette.format, time_base=stream.time_base, name="palette")
    source.link_to(draw, 0, 0)
    colours.link_to(draw, 0, 1)
    draw.link_to(graph.add("buffersink"))
    graph.configure()
    palette.pts, palette.time_base = 0, stream.time_base
    colours.push(palette)
    colours.push(None)
    for frame in film.decode(video=0):
        source.push(frame)
        yield graph.vpull()
