"""The sound under a film: copied packet by packet where the container takes its codec, encoded anew elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet

from facegen.errors import ImageError, one_line
from facegen.media.video_reader import open_media

MICROSECOND = Fraction(1, av.time_base)
"""Unit in which a container tells its own start."""


class Soundtrack:
    """The first audio stream of a file, laid under a film that is being written.

    Close it when done; as a context manager it closes itself.

    Args:
        path: any file with sound.
        output: the film, before its first packet.
        copied: codecs that it takes as they are.
        encoder: what the others are encoded with.
    Raises:
        ImageError: if the file cannot be read or has no sound.
    """

    def __init__(self, path: Path, output: OutputContainer, copied: Iterable[str], encoder: str) -> None:
        self._path, self._output = path, output
        self._input = open_media(path, "audio")
        source = self._input.streams.audio[0]
        start = (self._input.start_time or 0) * MICROSECOND
        if source.codec.canonical_name in copied:
            self._stream = output.add_stream_from_template(source)
            self._packets = self._copied(source, start)
        else:
            rate = 48_000 if encoder == "libopus" else source.rate
            layout = "mono" if source.channels == 1 else "stereo"  # more are mixed down
            self._stream = cast(AudioStream, output.add_stream(encoder, rate=rate, layout=layout))
            self._packets = self._encoded(source, start)
        self._next: Packet[AudioStream] | None = None

    def __enter__(self) -> Soundtrack:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file that the sound is read from."""
        self._input.close()

    def play_until(self, time: Fraction) -> None:
        """Write what ends at this time of the film, in seconds, or before; what would outlast it waits.

        Raises:
            ImageError: if the sound is damaged.
        """
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
            raise ImageError(f"{self._path}: its sound is damaged ({one_line(error)}); convert it first.") from error

    def _copied(self, source: AudioStream, start: Fraction) -> Iterator[Packet[AudioStream]]:
        for packet in self._input.demux(source):
            if packet.pts is not None and packet.dts is not None:  # the last one is empty
                shift = int(start / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = self._stream
                yield packet

    def _encoded(self, source: AudioStream, start: Fraction) -> Iterator[Packet[AudioStream]]:
        context = self._stream.codec_context
        resampler = av.AudioResampler(format=context.format, layout=context.layout, rate=context.sample_rate)
        frame: AudioFrame | None = None
        for frame in self._input.decode(source):
            if frame.pts is not None and frame.time_base:
                frame.pts -= int(start / frame.time_base)
            for part in resampler.resample(frame):
                yield from self._stream.encode(part)
        held = resampler.resample(None) if frame is not None else []
        for part in held:
            if part is not None:  # of a resampler that had nothing to do
                yield from self._stream.encode(part)
        yield from self._stream.encode(None)
