"""What the default preset must not draw around a head: beads, hair on a visor, ripples in the sky, violet fringes.

The picture is a head under a flat visor before a smooth sky, whose every pixel is known; the networks are the shipped
ones.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from facegen.arrays import RGB
from facegen.media.images import read_image, resize
from facegen.photo import PhotoOptions, restore_photo
from facegen.pipeline import FacePipeline

SCALE, FINE = 2, 8
Ellipse = tuple[tuple[int, int], tuple[int, int]]
HEAD: Ellipse = ((105, 97), (68, 92))
BODY: Ellipse = ((105, 352), (150, 190))
VISOR: Ellipse = ((100, 54), (62, 17))
Values = NDArray[np.floating]
pytestmark = pytest.mark.slow


def inside(*ellipses: Ellipse) -> NDArray[np.float64]:
    """(200, 200, 1): the share of each pixel that lies in one of the ellipses, (centre, half axes)."""
    mask = np.zeros((200 * FINE, 200 * FINE), np.uint8)
    for (x, y), (across, down) in ellipses:
        cv2.ellipse(mask, (x * FINE, y * FINE), (across * FINE, down * FINE), 0, 0, 360, 255, -1)
    return np.asarray(cv2.resize(mask, (200, 200), interpolation=cv2.INTER_AREA))[..., None] / 255


def distance(mask: NDArray[np.float64]) -> Values:
    """(400, 400): pixels of the result to the nearest one that is partly in a mask."""
    free = (resize(np.repeat(mask * 255, 3, 2).astype(np.uint8), (400, 400))[..., 0] == 0).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(free, cv2.DIST_L2, 5))


@pytest.fixture(scope="module")
def scene(astronaut: RGB) -> RGB:
    """(200, 200, 3)."""
    y = np.mgrid[:200, :200][0][..., None] / 200
    sky = np.concatenate([120 + 40 * y, 170 + 30 * y, 225 + 15 * y], axis=2)
    picture = sky + inside(HEAD, BODY) * (astronaut[8:208, 120:320] - sky)
    picture += inside(VISOR) * (np.array([40, 44, 70]) - picture)
    return np.asarray(np.rint(picture), np.uint8)


@pytest.fixture(scope="module")
def pipeline() -> FacePipeline:
    """The default."""
    return FacePipeline.load()


@pytest.fixture(scope="module")
def clean(pipeline: FacePipeline, scene: RGB) -> RGB:
    """The scene upscaled."""
    return restore_photo(pipeline, scene, PhotoOptions(scale=SCALE)).rgb


@pytest.fixture(scope="module")
def jpeg(scene: RGB, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scene as a JPEG of quality 70."""
    path = tmp_path_factory.mktemp("artefacts") / "scene.jpg"
    Image.fromarray(scene).save(path, quality=70)
    return path


@pytest.fixture(scope="module")
def from_jpeg(pipeline: FacePipeline, jpeg: Path) -> RGB:
    """The JPEG upscaled, as `facegen upres` does it."""
    return restore_photo(pipeline, read_image(jpeg, smooth=True).rgb, PhotoOptions(scale=SCALE)).rgb


def error(result: RGB, scene: RGB, where: NDArray[np.bool_]) -> Values:
    """Levels by which a result differs from the smoothly enlarged scene, at some of its pixels, (N, 3)."""
    return np.asarray((result.astype(float) - resize(scene, (400, 400)))[where])


NEAR = (distance(np.maximum(inside(HEAD, BODY), inside(VISOR))) > 3) & (distance(inside(HEAD)) < 24)
"""The sky that is pasted with the head, without the seam of the two."""
ON_VISOR = distance(1 - inside(VISOR)) > 4


def test_no_ripples_in_the_sky(clean: RGB, scene: RGB) -> None:
    assert abs(error(clean, scene, NEAR)).max() <= 2


def test_no_hair_on_a_visor(clean: RGB, scene: RGB) -> None:
    assert abs(error(clean, scene, ON_VISOR)).max() <= 2


def test_no_violet_fringes(clean: RGB, scene: RGB) -> None:
    """Violet is what green lacks of the lesser of red and blue."""
    edge = (distance(inside(HEAD)) < 12) & (distance(1 - inside(HEAD)) < 12)
    ours, plain = (rgb.astype(int) for rgb in (clean, resize(scene, (400, 400))))
    more = np.minimum(ours[..., 0], ours[..., 2]) - ours[..., 1] - np.minimum(plain[..., 0], plain[..., 2])
    assert np.mean(more + plain[..., 1] > 12, where=edge) < 1e-3


def test_beads_of_jpeg_are_not_enlarged(from_jpeg: RGB, jpeg: Path, scene: RGB) -> None:
    beaded = resize(read_image(jpeg).rgb, (400, 400))
    for where in (NEAR, ON_VISOR):
        assert error(from_jpeg, scene, where).std() < 0.8 * error(beaded, scene, where).std()
        assert abs(error(from_jpeg, scene, where)).max() < 0.8 * abs(error(beaded, scene, where)).max()
