"""Masks: white is left alone, with soft edges, whatever program painted it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facegen.errors import ImageError
from facegen.faces.align import HeadFrame
from facegen.masks import feathered, is_covered, read_mask


@pytest.fixture
def painted() -> Image.Image:
    """(200, 300): the left third is white."""
    picture = Image.new("L", (300, 200))
    picture.paste(255, (0, 0, 100, 200))
    return picture


@pytest.mark.parametrize("size", [(300, 200), (600, 400), (150, 100), (301, 200)])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_white_is_left_alone_at_any_size(
    tmp_path: Path, painted: Image.Image, size: tuple[int, int], suffix: str
) -> None:
    painted.save(tmp_path / f"mask{suffix}")
    mask = read_mask(tmp_path / f"mask{suffix}", size)
    assert mask.shape == size[::-1]
    width = size[0]
    assert (mask[:, : width // 3 - 4] == 255).all()
    assert mask[:, width // 3 + 8 :].max() <= 5
    assert (np.diff(mask[0].astype(int)) <= 1).all()


def test_white_on_nothing(tmp_path: Path, painted: Image.Image) -> None:
    """A layer of a drawing program: what is transparent counts as black, whatever its colour."""
    layer = Image.new("RGB", painted.size, "white")
    layer.putalpha(painted)
    layer.save(tmp_path / "mask.png")
    painted.save(tmp_path / "flat.png")
    layered, flat = (read_mask(tmp_path / name, painted.size) for name in ("mask.png", "flat.png"))
    np.testing.assert_array_equal(layered, flat)


def test_the_edge_fades_outward_and_grey_is_kept() -> None:
    mask = np.zeros((400, 400), np.uint8)
    mask[:, :100], mask[:, 300:] = 255, 90
    soft = feathered(mask)
    assert soft[0, 99] == 255
    assert 255 > soft[0, 100] > soft[0, 102] > 0
    assert soft[0, 104] == 0
    assert (soft[:, 300:] == 90).all()


@pytest.mark.parametrize(
    ("size", "value", "message"),
    [((300, 300), 255, "the mask has 300x300 pixels, and the photo 300x200"), ((300, 200), 9, "nothing in this mask")],
)
def test_masks_that_are_refused(tmp_path: Path, size: tuple[int, int], value: int, message: str) -> None:
    Image.new("L", size, value).save(tmp_path / "mask.png")
    with pytest.raises(ImageError, match=message):
        read_mask(tmp_path / "mask.png", (300, 200))


@pytest.mark.parametrize(("x", "covered"), [(10, True), (30, True), (80, False), (150, False)])
def test_which_heads_are_covered(x: float, covered: bool) -> None:
    """A frame may reach beyond the photo."""
    mask = np.zeros((100, 200), np.uint8)
    mask[:, :90] = 255
    assert is_covered(mask, HeadFrame((x, 50), (25, 5), (-5, 25))) == covered
