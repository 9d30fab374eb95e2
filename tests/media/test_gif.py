"""GIF: one good palette, forever."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from facegen.media.images import resize
from facegen.media.video_writer import write_video
from tests.video.films import moving

Picture = NDArray[np.uint8]


@pytest.fixture(scope="session")
def film(astronaut: Picture) -> list[Picture]:
    """8 frames of 64 x 96 px."""
    return moving(resize(astronaut, (128, 128)), 8, (96, 64))


def test_a_gif_loops_in_good_colours(tmp_path: Path, film: list[Picture]) -> None:
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
