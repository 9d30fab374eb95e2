"""Written films have the same frames, times, sound and metadata when they are read; equal films are equal files."""

from __future__ import annotations

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from facegen.arrays import RGB
from facegen.errors import ShapeError, UsageError
from facegen.media.images import read_image, resize
from facegen.media.video_reader import Clip, video_text
from facegen.media.video_writer import VIDEO_SUFFIXES, write_video
from tests.video.films import beep, moving

FPS = Fraction(30_000, 1001)
FILMS = [suffix for suffix in VIDEO_SUFFIXES if suffix != ".gif"]


@pytest.fixture(scope="session")
def film(astronaut: RGB) -> list[RGB]:
    """8 frames of 64 x 96 px."""
    return moving(resize(astronaut, (128, 128)), 8, (96, 64))


def times_of(path: Path) -> list[Fraction]:
    return [time for time, _ in Clip(path).frames()]


@pytest.mark.parametrize("suffix", FILMS)
def test_frames_and_times_are_read_as_they_were_written(tmp_path: Path, film: list[RGB], suffix: str) -> None:
    path = write_video(tmp_path / f"film{suffix}", iter(film), FPS)
    found = list(Clip(path).frames())
    assert len(found) == 8
    finest = Fraction(1, 1000) if suffix in (".mkv", ".webm") else 0
    for number, (time, rgb) in enumerate(found):
        assert abs(time - number / FPS) <= finest
        assert np.abs(rgb.astype(int) - film[number]).mean() < (0.01 if suffix == ".mkv" else 5)
    assert [file.name for file in tmp_path.iterdir()] == [f"film{suffix}"]


@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
def test_the_same_frames_give_the_same_bytes(tmp_path: Path, film: list[RGB], suffix: str) -> None:
    one, two = (write_video(tmp_path / f"{name}{suffix}", film[:4], FPS) for name in "ab")
    assert one.read_bytes() == two.read_bytes()


def test_h264_does_not_depend_on_what_memory_contained(tmp_path: Path, film: list[RGB]) -> None:
    """On a processor with AVX-512, x264 would write other bytes for two of five of these."""
    found = set()
    for number in range(6):
        write_video(tmp_path / "other.webm", film[number:], FPS)  # leaves other things in memory
        found.add(write_video(tmp_path / "film.mp4", film, FPS).read_bytes())
    assert len(found) == 1


def test_a_webm_can_be_av1(tmp_path: Path, film: list[RGB]) -> None:
    path = write_video(tmp_path / "film.webm", film, FPS, codec="av1")
    with av.open(str(path)) as file:
        assert file.streams.video[0].codec.canonical_name == "av1"
    assert len(times_of(path)) == 8


def test_times_of_a_variable_rate_are_kept_exactly(tmp_path: Path, film: list[RGB]) -> None:
    times = [Fraction(n, 900) for n in (13, 40, 41, 90, 120, 150, 151, 300)]
    path = write_video(tmp_path / "film.mp4", film, FPS, times=times)
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        assert [frame.pts * stream.time_base for frame in file.decode(stream)] == times  # type: ignore[operator]


def test_a_folder_gets_numbered_frames(tmp_path: Path, film: list[RGB]) -> None:
    folder = write_video(tmp_path / "frames", film, FPS, text={"facegen": "video"})
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"frame-{number:06d}.png" for number in range(1, 9)]
    np.testing.assert_array_equal(read_image(folder / names[2]).rgb, film[2])


def test_a_shorter_film_leaves_no_frames_of_a_longer_one(tmp_path: Path, film: list[RGB]) -> None:
    text = {"facegen": "video"}
    write_video(tmp_path, film[:3], Fraction(25), text=text)
    Image.fromarray(film[0]).save(tmp_path / "frame-mine.png")
    write_video(tmp_path, film[:1], Fraction(25), text=text)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frame-000001.png", "frame-mine.png"]


def test_an_mp4_starts_with_its_index(tmp_path: Path, film: list[RGB]) -> None:
    data = write_video(tmp_path / "film.mp4", film, FPS).read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_wrong_suffixes_codecs_sound_times_and_frames_are_refused(tmp_path: Path, film: list[RGB]) -> None:
    silent = write_video(tmp_path / "silent.mp4", film, FPS)
    with pytest.raises(UsageError, match=r"'\.mp5'; did you mean '\.mp4'\? Known: \.mp4, \.webm"):
        write_video(tmp_path / "film.mp5", film, FPS)
    with pytest.raises(UsageError, match=r"codec 'av1' is not for \.mp4; known there: h264"):
        write_video(tmp_path / "film.mp4", film, FPS, codec="av1")
    with pytest.raises(UsageError, match="holds no sound"):
        write_video(tmp_path / "film.gif", film, FPS, audio=silent)
    with pytest.raises(UsageError, match="at least one frame"):
        write_video(tmp_path / "film.mp4", [], FPS)
    with pytest.raises(UsageError, match="fewer frames than the 9 times"):
        write_video(tmp_path / "film.mp4", film, FPS, times=[Fraction(n) for n in range(9)])
    with pytest.raises(UsageError, match="more frames than the 2 times"):
        write_video(tmp_path / "film.mp4", film, FPS, times=[Fraction(0), Fraction(1)])
    with pytest.raises(ShapeError, match=r"expected uint8 \(64, 96, 3\) as the first"):
        write_video(tmp_path / "film.mp4", [film[0], film[0][:60]], FPS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["silent.mp4"]


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mov", ".mkv", ".gif"])
def test_a_film_has_its_text_and_label(tmp_path: Path, film: list[RGB], suffix: str) -> None:
    text = {"facegen": 'video --seeds 1,2 -o "ünï.mp4"', "facegen-record": '{"a": 1}', "title": "A walk"}
    path = write_video(tmp_path / f"film{suffix}", film[:2], FPS, text=text)
    found = video_text(path)
    assert found.pop("DigitalSourceType").endswith("/trainedAlgorithmicMedia")
    assert found == text
    with av.open(str(path)) as file:
        fields = {key.lower(): value for key, value in file.metadata.items()}
    assert suffix == ".gif" or fields["title"] == "A walk"
    if suffix == ".mp4":
        assert "neural networks" in fields["description"]
        assert b"<Iptc4xmpExt:DigitalSourceType>" in path.read_bytes()


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="Debian's ffmpeg is not installed")
@pytest.mark.parametrize("suffix", FILMS)
def test_ffprobe_agrees(tmp_path: Path, film: list[RGB], suffix: str) -> None:
    audio = beep(tmp_path / "beep.wav", seconds=2)
    path = write_video(tmp_path / f"film{suffix}", film * 3, Fraction(24), audio=audio)
    entries = "format=duration:stream=codec_type,nb_read_frames,r_frame_rate"
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_entries", entries, "-of", "default=nw=1", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not done.stderr
    lines = done.stdout.splitlines()
    assert {"codec_type=video", "codec_type=audio", "nb_read_frames=24", "r_frame_rate=24/1"} <= set(lines)
    [duration] = [float(line.partition("=")[2]) for line in lines if line.startswith("duration")]
    assert duration == pytest.approx(1, abs=0.03)
