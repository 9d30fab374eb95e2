"""Encoded films keep their colours; sound is copied if possible; a GIF has one good palette."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from facegen.arrays import RGB
from facegen.errors import FileError
from facegen.media.images import resize
from facegen.media.video_reader import Clip
from facegen.media.video_writer import write_video
from tests.video.films import beep, moving

FPS = Fraction(30_000, 1001)


@pytest.fixture(scope="session")
def film(astronaut: RGB) -> list[RGB]:
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


def test_odd_sides_repeat_an_edge(tmp_path: Path, film: list[RGB]) -> None:
    odd = [np.ascontiguousarray(frame[:63, :95]) for frame in film[:2]]
    _, rgb = next(Clip(write_video(tmp_path / "film.mp4", odd, FPS)).frames())
    assert rgb.shape == (64, 96, 3)
    assert np.abs(rgb[63].astype(int) - rgb[62]).mean() < 8
    _, rgb = next(Clip(write_video(tmp_path / "film.mkv", odd, FPS)).frames())
    np.testing.assert_array_equal(rgb, odd[0])


@pytest.mark.parametrize(("lines", "matrix"), [(720, 1), (64, 5)])
def test_a_colour_matrix_that_is_not_stated_follows_from_the_size(tmp_path: Path, lines: int, matrix: int) -> None:
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


@pytest.mark.parametrize(
    ("sound", "suffix", "codec"),
    [("wav", ".mp4", "aac"), ("mp3", ".mp4", "mp3"), ("wav", ".webm", "opus"), ("wav", ".mov", "pcm_s16le"),
     ("mp3", ".mkv", "mp3"), ("mp4", ".mp4", "aac")],
)  # fmt: skip
def test_longer_sound_is_cut_at_the_end(
    tmp_path: Path, film: list[RGB], sound: str, suffix: str, codec: str
) -> None:
    audio = beep(tmp_path / f"beep.{sound}", seconds=2)
    path = write_video(tmp_path / f"film{suffix}", film * 3, Fraction(24), audio=audio)
    with av.open(str(path)) as file:
        stream = file.streams.audio[0]
        assert stream.codec.canonical_name == codec
        samples = list(file.decode(stream))
        length = sum(frame.samples for frame in samples) / stream.rate
        level = max(float(np.abs(frame.to_ndarray().astype(float)).max()) for frame in samples)
    assert 0.9 < length <= 1.07
    assert level > 0
    assert len(list(Clip(path).frames())) == 24
    assert Clip(path).duration == pytest.approx(1, abs=0.03)


def test_shorter_sound_stays_shorter(tmp_path: Path, film: list[RGB]) -> None:
    path = write_video(tmp_path / "film.mp4", film * 3, Fraction(24), audio=beep(tmp_path / "beep.wav", seconds=0.5))
    with av.open(str(path)) as file:
        stream = file.streams.audio[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(0.5, abs=0.06)  # type: ignore[operator]
    assert Clip(path).duration == pytest.approx(1, abs=0.01)


def test_files_without_sound_are_refused(tmp_path: Path, film: list[RGB]) -> None:
    silent, text = write_video(tmp_path / "silent.mp4", film, Fraction(24)), tmp_path / "text.mp3"
    text.write_text("no sound")
    with pytest.raises(FileError, match=r"silent\.mp4: has no sound"):
        write_video(tmp_path / "film.mp4", film, Fraction(24), audio=silent)
    with pytest.raises(FileError, match=r"text\.mp3: its sound cannot be read"):
        write_video(tmp_path / "film.mp4", film, Fraction(24), audio=text)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["silent.mp4", "text.mp3"]


def test_a_gif_loops_in_good_colours(tmp_path: Path, film: list[RGB]) -> None:
    path = write_video(tmp_path / "film.gif", film, Fraction(25))
    with Image.open(path) as file:
        assert (file.n_frames, file.info["loop"]) == (8, 0)  # type: ignore[attr-defined]
        durations = []
        for number in range(8):
            file.seek(number)
            durations.append(file.info["duration"])
            shown = np.asarray(file.convert("RGB"), dtype=int)
            blurred, wanted = (x.reshape(16, 4, 24, 4, 3).mean((1, 3)) for x in (shown, film[number].astype(int)))
            assert np.abs(blurred - wanted).mean() < 5
    assert durations == [40] * 8
    assert b"trainedAlgorithmicMedia" in path.read_bytes()
