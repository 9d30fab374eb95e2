"""What a film says beside its frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.errors import ImageError
from facegen.media.images import resize
from facegen.media.video_metadata import video_text
from facegen.media.video_writer import write_video
from tests.video.films import moving

Picture = NDArray[np.uint8]
FPS = Fraction(30_000, 1001)


@pytest.fixture(scope="session")
def film(astronaut: Picture) -> list[Picture]:
    """8 frames of 64 x 96 px."""
    return moving(resize(astronaut, (128, 128)), 8, (96, 64))


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mov", ".mkv", ".gif"])
def test_what_the_film_says(tmp_path: Path, film: list[Picture], suffix: str) -> None:
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


def test_somebody_elses_comment_is_no_text_of_ours(tmp_path: Path, film: list[Picture]) -> None:
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as file:
        file.metadata["comment"] = "Holiday, 2019"
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height = 96, 64
        file.mux(stream.encode(av.VideoFrame.from_ndarray(film[0], "rgb24")))
        file.mux(stream.encode(None))
    assert video_text(path) == {}


def test_files_that_are_no_film(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"missing\.mp4: cannot be read as a film"):
        video_text(tmp_path / "missing.mp4")
