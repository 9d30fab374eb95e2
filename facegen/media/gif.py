"""GIF: all frames drawn with the 256 colours that suit them best together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import av
from av.container import InputContainer
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from facegen.media.muxing import LOSSLESS, Codec, FrameStream, add_stream, opened, timed, write_film
from facegen.media.video_color import Frame

DITHER = "dither=bayer:bayer_scale=4"
"""An ordered pattern stands still where the picture does; error diffusion would flicker, and make files larger."""
PALETTE_SIDE = 16
"""Of the picture that a palette is passed on as."""


def write_gif(path: Path, form: Codec, reel: FrameStream, fields: Mapping[str, str]) -> None:
    """Write a GIF that loops forever.

    The frames are kept in a lossless film between: first they are counted for the palette, then drawn with it.

    Raises:
        ShapeError, FFmpegError, OSError: as `write_film`.
    """
    with TemporaryDirectory(prefix="facegen-") as folder:
        between = Path(folder) / "film.mkv"
        times: list[tuple[int, int]] = []
        write_film(between, LOSSLESS, FrameStream(_noted(reel, times), reel.tick, reel.fps), None, {})
        with av.open(str(between)) as film:
            palette = _palette(film)
        with av.open(str(between)) as film, opened(path, form, fields) as output:
            source = film.streams.video[0]
            stream = add_stream(output, form, (source.width, source.height), reel)
            for frame, (start, length) in zip(_drawn(film, palette), times, strict=True):
                output.mux(stream.encode(timed(frame, start, length, reel.tick)))
            output.mux(stream.encode(None))


def _noted(reel: FrameStream, times: list[tuple[int, int]]) -> Iterator[tuple[Frame, int, int]]:
    """The reel's frames; their times are added to the list, as the film between rounds them."""
    for rgb, start, length in reel.frames:
        times.append((start, length))
        yield rgb, start, length


def _palette(film: InputContainer) -> VideoFrame:
    """The palette of all frames, as a picture of one pixel a colour."""
    graph = Graph()
    source, sink = _source(graph, film.streams.video[0]), graph.add("buffersink")
    graph.link_nodes(source, graph.add("palettegen"), sink).configure()
    for frame in film.decode(video=0):
        source.push(frame)
        with suppress(BlockingIOError):  # there is no palette yet; asked for it, the graph takes the frame in
            graph.vpull()
    source.push(None)
    return graph.vpull()


def _drawn(film: InputContainer, palette: VideoFrame) -> Iterator[VideoFrame]:
    """The frames in the colours of the palette, dithered."""
    graph, stream = Graph(), film.streams.video[0]
    source, sink, draw = _source(graph, stream), graph.add("buffersink"), graph.add("paletteuse", DITHER)
    colours = graph.add_buffer(
        width=PALETTE_SIDE, height=PALETTE_SIDE, format=palette.format, time_base=stream.time_base, name="palette"
    )
    source.link_to(draw, 0, 0)
    colours.link_to(draw, 0, 1)
    draw.link_to(sink)
    graph.configure()
    palette.pts, palette.time_base = 0, stream.time_base
    colours.push(palette)
    colours.push(None)
    for frame in film.decode(video=0):
        source.push(frame)
        yield graph.vpull()


def _source(graph: Graph, stream: VideoStream) -> FilterContext:
    pixels = VideoFormat(stream.pix_fmt or LOSSLESS.pixels)
    return graph.add_buffer(
        width=stream.width, height=stream.height, format=pixels, time_base=stream.time_base, name="film"
    )
