"""The photo of many megapixels has the photos on it, whole and apart."""

from __future__ import annotations

import numpy as np

from benchmarks.memory import crowd


def test_photos_stand_in_the_cells_of_a_grid() -> None:
    photos = [np.full((20, 30, 3), shade, np.uint8) for shade in (10, 20, 30)]
    picture = crowd(photos, (100, 80))
    assert picture.shape == (80, 100, 3)
    for photo, (top, left) in zip(photos, [(10, 10), (10, 60), (50, 10)], strict=True):
        np.testing.assert_array_equal(picture[top : top + 20, left : left + 30], photo)
    assert picture[50:70, 60:90].std() > 1  # a ground that is no flat colour


def test_what_does_not_fit_is_cut_around_its_middle() -> None:
    photo = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    np.testing.assert_array_equal(crowd([photo], (100, 80)), photo[5:85, 10:110])
