"""A real portrait, and a set of its variants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.arrays import RGB
from facegen.data.clean.face import View, view_crop
from facegen.faces.align import crop_head
from facegen.faces.detect import heads_in_photo
from facegen.faces.landmarks import landmarks_in_head
from facegen.media.images import write_image


@pytest.fixture(scope="session")
def portrait(astronaut: RGB) -> RGB:
    """The astronaut's head in the FFHQ frame, (192, 192, 3)."""
    return crop_head(astronaut, heads_in_photo(astronaut)[0].frame, 192)


@pytest.fixture(scope="session")
def points(portrait: RGB) -> NDArray[np.float64]:
    """The portrait's landmarks, (68, 2)."""
    return landmarks_in_head(portrait).points


@pytest.fixture
def view(portrait: RGB, points: NDArray[np.float64]) -> View:
    """The portrait, prepared for the detectors."""
    return view_crop(portrait, points)


@pytest.fixture
def crops(tmp_path: Path, portrait: RGB) -> Path:
    """A plain folder: the portrait, a copy a little lighter, a black and white one, and one mirrored."""
    grey = np.repeat(portrait.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    lighter = (portrait * 0.95 + 12).astype(np.uint8)
    for name, rgb in {"a": portrait, "b": lighter, "grey": grey, "mirrored": portrait[:, ::-1]}.items():
        write_image(tmp_path / "crops" / f"{name}.png", np.ascontiguousarray(rgb))
    return tmp_path / "crops"
