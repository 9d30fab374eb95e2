"""The studio, served by a process of its own with tiny networks, and photos to drop on it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from facegen.arrays import RGB
from facegen.cli.replay import remake
from facegen.media.images import write_image
from facegen.studio.work import Studio
from tests import tiny
from tests.data.curate.running import Running

COMMAND = (sys.executable, "-m", "facegen", "studio", "--no-browser", "--device", "cpu", "--recipe")


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory, head: RGB) -> Iterator[Running]:
    served = tmp_path_factory.mktemp("served")
    for number in range(3):
        write_image(served / "heads" / f"{number}.png", head // (number + 1))
    process = Running(tiny.save_all(served), COMMAND).start("--curate", str(served / "heads"))
    assert httpx.get(process.address, timeout=60).status_code == 200
    yield process
    process.end()


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory, astronaut: RGB) -> Path:
    """A JPEG of two heads, the left one larger, with EXIF."""
    picture = np.full((300, 460, 3), 100, np.uint8)
    picture[:, :300] = astronaut[0:300, 80:380]
    picture[60:210, 305:455] = astronaut[0:300:2, 80:380:2]
    exif = Image.Exif()
    exif[271] = "Kodak"
    path = tmp_path_factory.mktemp("photos") / "pair.jpg"
    Image.fromarray(picture).save(path, quality=95, exif=exif)
    return path


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio of tiny networks, in this process."""
    folder = tmp_path_factory.mktemp("studio")
    made = Studio(folder / "files", str(tiny.save_all(folder)), "cpu", remake)
    yield made
    made.close()
