"""Colours there and back: in BT.709, at odd sides, and of films that say nothing of theirs."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.media.images import resize
from facegen.media.video_reader import Clip
from facegen.media.video_writer import write_video
from tests.video.films import moving

Picture = NDArray[np.uint8]
FPS = Fraction(30_000, 1001)


@pytest.fixture(scope="session")
def film(astronaut: Picture) -> list[Picture]:
    """8 frames of 64 x 96 px."""
    return moving(resize(astronaut, (128, 128)), 8, (96, 64))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm"])
def test_colours_come_back_within_a_few_steps(tmp_path: Path, suffix: str) -> None:
    colours = [(200, 30, 40), (30, 180, 60), (40, 50, 210), (230, 190, 160)]
    flat = np.zeros((64, 64, 3), np.uint8)
    for place, colour in enumerate(colours):
        flat[32 * (place // 2) :][:32, 32 * (place % 2) :][:, :32] = colour
    path = write_video(tmp_path / f"film{suffix}", [flat] * 3, FPS)
    _, rgb = next(Clip(path).frames())
    for place, colour in enumerate(colours):
        middle = rgb[32 * (place // 2) + 16, 32 * (place % 2) + 16]
        assert np.abs(middle.astype(int) - colour).max() <= 4
    with av.open(str(path)) as file:
        context = file.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == (1, 1)


def test_odd_sides_repeat_an_edge(tmp_path: Path, film: list[Picture]) -> None:
    odd = [np.ascontiguousarray(frame[:63, :95]) for frame in film[:2]]
    _, rgb = next(Clip(write_video(tmp_path / "film.mp4", odd, FPS)).frames())
    assert rgb.shape == (64, 96, 3)
    assert np.abs(rgb[63].astype(int) - rgb[62]).mean() < 8
    _, rgb = next(Clip(write_video(tmp_path / "film.mkv", odd, FPS)).frames())
    np.testing.assert_array_equal(rgb, odd[0])


@pytest.mark.parametrize(("lines", "matrix"), [(720, 1), (64, 5)])
def test_a_film_that_does_not_tell_its_matrix_has_its_sizes(tmp_path: Path, lines: int, matrix: int) -> None:
    path, colour = tmp_path / "film.mp4", np.full((lines, 64, 3), (200, 30, 40), np.uint8)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, lines, "yuv420p"
        frame = av.VideoFrame.from_ndarray(colour, "rgb24").reformat(format="yuv420p", dst_colorspace=matrix)
        frame.colorspace = 2
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    _, rgb = next(Clip(path).frames())
    assert np.abs(rgb.astype(int) - colour).max() <= 3
