"""Sound under a film: copied where it can be, never longer than the film."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.errors import ImageError
from facegen.media.images import resize
from facegen.media.video_reader import Clip
from facegen.media.video_writer import write_video
from tests.video.films import beep, moving

Picture = NDArray[np.uint8]


@pytest.fixture(scope="session")
def film(astronaut: Picture) -> list[Picture]:
    """8 frames of 64 x 96 px."""
    return moving(resize(astronaut, (128, 128)), 8, (96, 64))


@pytest.mark.parametrize(
    ("sound", "suffix", "codec"),
    [("wav", ".mp4", "aac"), ("mp3", ".mp4", "mp3"), ("wav", ".webm", "opus"), ("wav", ".mov", "pcm_s16le"),
     ("mp3", ".mkv", "mp3"), ("mp4", ".mp4", "aac")],
)  # fmt: skip
def test_longer_sound_is_cut_at_the_end(
    tmp_path: Path, film: list[Picture], sound: str, suffix: str, codec: str
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


def test_shorter_sound_is_left_shorter(tmp_path: Path, film: list[Picture]) -> None:
    path = write_video(tmp_path / "film.mp4", film * 3, Fraction(24), audio=beep(tmp_path / "beep.wav", seconds=0.5))
    with av.open(str(path)) as file:
        stream = file.streams.audio[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(0.5, abs=0.06)  # type: ignore[operator]
    assert Clip(path).duration == pytest.approx(1, abs=0.01)


def test_files_without_sound(tmp_path: Path, film: list[Picture]) -> None:
    silent, text = write_video(tmp_path / "silent.mp4", film, Fraction(24)), tmp_path / "text.mp3"
    text.write_text("no sound")
    with pytest.raises(ImageError, match=r"silent\.mp4: has no sound"):
        write_video(tmp_path / "film.mp4", film, Fraction(24), audio=silent)
    with pytest.raises(ImageError, match=r"text\.mp3: its sound cannot be read"):
        write_video(tmp_path / "film.mp4", film, Fraction(24), audio=text)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["silent.mp4", "text.mp3"]
