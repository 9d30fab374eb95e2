"""Films are read upright and with their times; other files are refused with a clear error."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from facegen.arrays import RGB
from facegen.errors import FileError
from facegen.media.images import resize
from facegen.media.video_reader import Clip, is_clip, video_text
from facegen.media.video_writer import write_video
from tests.video.films import beep, moving


@pytest.fixture(scope="session")
def film(astronaut: RGB) -> list[RGB]:
    """6 frames of 96 x 64 px (width, height)."""
    return moving(resize(astronaut, (128, 128)), 6, (96, 64))


def write_oddly(path: Path, film: list[RGB], *, turned: int = 0, aspect: Fraction = Fraction(1)) -> Path:
    """Write an mp4 whose frames are to be turned counterclockwise, or stretched sideways."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        stream.set_display_rotation(turned)
        for rgb in film:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, "rgb24")))
        file.mux(stream.encode(None))
    return path


def test_a_clip_has_rate_size_length_and_sound(tmp_path: Path, film: list[RGB]) -> None:
    path = write_video(tmp_path / "film.mp4", film, Fraction(24), audio=beep(tmp_path / "beep.wav", 1))
    clip = Clip(path)
    assert (clip.fps, clip.size, clip.count, clip.has_audio) == (Fraction(24), (96, 64), 6, True)
    assert clip.duration == pytest.approx(0.25, abs=0.01)
    silent = Clip(write_video(tmp_path / "silent.webm", film, Fraction(24)))
    assert (silent.fps, silent.count, silent.has_audio) == (Fraction(24), 6, False)


@pytest.mark.parametrize("turned", [90, 180, -90])
def test_turned_frames_are_set_upright(tmp_path: Path, film: list[RGB], turned: int) -> None:
    clip = Clip(write_oddly(tmp_path / "film.mp4", film, turned=turned))
    upright = np.rot90(film[0], turned // 90)
    _, rgb = next(clip.frames())
    assert clip.size == (upright.shape[1], upright.shape[0])
    assert np.abs(rgb.astype(int) - upright).mean() < 6


def test_pixels_become_square(tmp_path: Path, film: list[RGB]) -> None:
    assert Clip(write_oddly(tmp_path / "film.mp4", film, aspect=Fraction(4, 3))).size == (128, 64)


def test_the_iterator_can_be_closed_early(tmp_path: Path, film: list[RGB]) -> None:
    frames = Clip(write_video(tmp_path / "film.mp4", film, Fraction(24))).frames()
    assert [time for time, _ in islice(frames, 2)] == [0, Fraction(1, 24)]
    frames.close()


def test_files_that_are_not_films_are_refused(tmp_path: Path, film: list[RGB]) -> None:
    text, sound = tmp_path / "text.mp4", beep(tmp_path / "sound.mp3", 0.2)
    text.write_text("just words")
    with pytest.raises(FileError, match=r"text\.mp4: cannot be read as a film"):
        Clip(text)
    with pytest.raises(FileError, match=r"text\.mp4: cannot be read as a film"):
        video_text(text)
    with pytest.raises(FileError, match=r"missing\.mp4: cannot be read as a film"):
        Clip(tmp_path / "missing.mp4")
    with pytest.raises(FileError, match=r"sound\.mp3: has no picture, only sound"):
        Clip(sound)


def test_a_file_cut_short_in_its_first_frame_is_refused(tmp_path: Path, film: list[RGB]) -> None:
    path = write_video(tmp_path / "film.mp4", film, Fraction(24))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 100])
    with pytest.raises(FileError, match=r"film\.mp4: (is damaged after frame 0|holds no frame)"):
        Clip(path)


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mkv"])
@pytest.mark.parametrize("sound", [False, True])
def test_missing_frames_of_a_file_cut_off_are_counted(
    tmp_path: Path, astronaut: RGB, suffix: str, sound: bool
) -> None:
    frames = moving(resize(astronaut, (256, 256)), 36, (96, 64))
    audio = beep(tmp_path / "beep.wav", 3) if sound else None
    path = write_video(tmp_path / f"film{suffix}", frames, Fraction(24), audio=audio)
    clip = Clip(path)
    assert clip.missing([time for time, _ in clip.frames()]) == 0
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    clip = Clip(path)
    times = [time for time, _ in clip.frames()]
    assert clip.missing(times) == 36 - len(times) > 5


def test_no_frames_are_missing_if_one_stays_long(tmp_path: Path, film: list[RGB]) -> None:
    times = [Fraction(n, 24) for n in (0, 1, 2, 50, 51, 52)]
    clip = Clip(write_video(tmp_path / "film.mp4", film, Fraction(24), times=times))
    assert clip.missing([time for time, _ in clip.frames()]) == 0


def test_films_are_recognised_by_their_suffix() -> None:
    assert is_clip(Path("a.MP4"))
    assert not is_clip(Path("a.gif"))
    assert not is_clip(Path("mp4"))


def test_a_comment_by_another_program_is_ignored(tmp_path: Path, film: list[RGB]) -> None:
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as file:
        file.metadata["comment"] = "Holiday, 2019"
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height = 96, 64
        file.mux(stream.encode(av.VideoFrame.from_ndarray(film[0], "rgb24")))
        file.mux(stream.encode(None))
    assert video_text(path) == {}
