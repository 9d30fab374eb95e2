"""Pictures and points that several test modules share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from hypothesis import settings
from numpy.typing import NDArray

from facegen.arrays import RGB
from facegen.media.images import write_image
from facegen.pipeline import FacePipeline
from tests import tiny


def pytest_configure() -> None:
    """A shell's background jobs are started deaf to Ctrl-C, and tests of it would fail there.

    A property holds on a busy machine too, so examples have no deadline.
    """
    settings.register_profile("facegen", deadline=None)
    settings.load_profile("facegen")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def make_pipe(path: Path) -> None:
    """Put a named pipe there; skip the test on Windows, which has none."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes")
    os.mkfifo(path)


_BROW = [(0.26, 0.38), (0.30, 0.36), (0.35, 0.35), (0.40, 0.36), (0.44, 0.38)]
_EYE = [(0.29, 0.45), (0.33, 0.43), (0.37, 0.43), (0.41, 0.45), (0.37, 0.47), (0.33, 0.47)]
_OUTER_LIPS = [(0.38, 0.75), (0.43, 0.72), (0.47, 0.71), (0.50, 0.715), (0.53, 0.71), (0.57, 0.72),
               (0.62, 0.75), (0.57, 0.79), (0.53, 0.80), (0.50, 0.805), (0.47, 0.80), (0.43, 0.79)]  # fmt: skip
_INNER_LIPS = [(0.40, 0.75), (0.46, 0.74), (0.50, 0.74), (0.54, 0.74), (0.60, 0.75), (0.54, 0.765),
               (0.50, 0.77), (0.46, 0.765)]  # fmt: skip
MIRROR = np.array(
    [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
     45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
     *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65]
)  # fmt: skip
"""MIRROR[i] is the landmark that landmark i becomes when the picture is flipped."""


def face_points(side: float) -> NDArray[np.float64]:
    """68 plausible landmarks of an upright, left-right symmetric face in a picture of this side."""
    angle = np.linspace(np.pi, 0, 17)
    jaw = np.stack([0.5 + 0.3 * np.cos(angle), 0.45 + 0.45 * np.sin(angle)], axis=1)
    bridge = [(0.5, y) for y in (0.43, 0.49, 0.55, 0.60)]
    wings = [(0.43, 0.64), (0.465, 0.655), (0.5, 0.66), (0.535, 0.655), (0.57, 0.64)]
    points = np.concatenate([jaw, _BROW, np.zeros((5, 2)), bridge, wings, _EYE, np.zeros((6, 2)), _OUTER_LIPS,
                             _INNER_LIPS])  # fmt: skip
    right = [*range(22, 27), *range(42, 48)]
    points[right] = points[MIRROR[right]] * (-1, 1) + (1, 0)
    return np.asarray(points * side)


@pytest.fixture(scope="session")
def astronaut() -> RGB:
    """(512, 512, 3): a photo with one face, 93 px wide."""
    return np.asarray(skimage.data.astronaut(), dtype=np.uint8)  # type: ignore[no-untyped-call]


@pytest.fixture(scope="session")
def head(astronaut: RGB) -> RGB:
    """(192, 192, 3): the head out of that photo."""
    return np.ascontiguousarray(astronaut[24:216, 128:320])


@pytest.fixture(scope="session")
def cat() -> RGB:
    """(150, 101, 3): a picture without a human face."""
    whole = np.asarray(skimage.data.chelsea(), dtype=np.uint8)  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(whole[:150, :101])


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline recipe of tiny networks, two candidates per tile; not to be changed."""
    return tiny.save_all(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def pipeline(recipe: Path) -> FacePipeline:
    """The pipeline of that recipe."""
    return FacePipeline.load(recipe)


@pytest.fixture
def head_folder(tmp_path: Path, head: RGB) -> Path:
    """A folder of three different square pictures, 192 px."""
    for name, picture in (("a", head), ("b", head // 2), ("c", 255 - head[::-1])):
        write_image(tmp_path / "heads" / f"{name}.png", np.ascontiguousarray(picture))
    return tmp_path / "heads"


@pytest.fixture
def write_toml(tmp_path: Path) -> Callable[[str], Path]:
    """Write text as recipe.toml and return its path."""

    def write(text: str) -> Path:
        path = tmp_path / "recipe.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write
