"""A photo with a head, and a folder of photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facegen.arrays import RGB
from facegen.media.images import write_image


@pytest.fixture(scope="session")
def photo(astronaut: RGB) -> RGB:
    """The astronaut's head, 190 px, with surroundings, (320, 320, 3)."""
    return np.ascontiguousarray(astronaut[:320, 60:380])


@pytest.fixture
def raw(tmp_path: Path, photo: RGB) -> Path:
    """Three photos: one in a folder, one darker, one without a face."""
    write_image(tmp_path / "raw" / "sub" / "ann.png", photo)
    write_image(tmp_path / "raw" / "bob.png", photo // 2)
    write_image(tmp_path / "raw" / "wall.png", np.full((64, 64, 3), 99, np.uint8))
    return tmp_path / "raw"
