"""Tiny networks and tiny sets of heads."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.evaluation import measuring, samples
from facegen.media.images import resize, write_image
from facegen.models.efficientnet import load_efficientnet
from facegen.pipeline import FacePipeline
from tests import tiny


@pytest.fixture(scope="session", autouse=True)
def loaded_once() -> Iterator[None]:
    """The feature network is read from its file once."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (samples, measuring):
            patch.setattr(module, "load_efficientnet", cache(load_efficientnet))
        yield


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> FacePipeline:
    """Tiny networks, one candidate per tile."""
    return FacePipeline.load(tiny.save_all(tmp_path_factory.mktemp("tiny"), extra="candidates.variants = []"))


@pytest.fixture(scope="session")
def heads(tmp_path_factory: pytest.TempPathFactory, head: NDArray[np.uint8]) -> Path:
    """Twenty heads of 128 px: one face in different light and places."""
    folder = tmp_path_factory.mktemp("heads")
    for number in range(20):
        shifted = np.roll(head, (number % 4 - 2, number % 5 - 2), axis=(0, 1))
        light = (shifted * (0.6 + 0.02 * number)).astype(np.uint8)
        write_image(folder / f"me_{number:02d}.png", resize(light, (128, 128)))
    return folder
