"""Heads are found and cut out of a photo, and described."""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facegen.arrays import RGB
from facegen.data.cutting import PhotoCutter, find_heads, landmarks_of, share_outside, sharpness
from facegen.errors import FileError
from facegen.faces.align import HeadFrame, crop_head
from facegen.faces.detect import heads_in_photo
from facegen.faces.landmarks import landmarks_in_head
from facegen.jobs import Task
from facegen.media.images import resize

SIZE = 96


def test_landmarks_of_a_crop_are_those_that_set_its_frame(photo: RGB) -> None:
    [head] = heads_in_photo(photo)
    crop = crop_head(photo, head.frame, 256)
    eyes = landmarks_of(head, crop)[36:48].mean(axis=0)
    assert eyes == pytest.approx((128, 122), abs=3)
    unseen = replace(head, landmarks=None)
    np.testing.assert_array_equal(landmarks_of(unseen, crop), landmarks_in_head(crop).points)


def test_large_photos_are_reduced_for_the_search(photo: RGB) -> None:
    large = resize(photo, (1600, 1600))
    [head], [found] = heads_in_photo(large), find_heads(large, 768)
    assert math.dist(head.frame.center, found.frame.center) < 0.02 * head.frame.side
    assert found.frame.side == pytest.approx(head.frame.side, rel=0.05)


def test_the_share_of_a_head_outside_the_photo_is_estimated(photo: RGB) -> None:
    def share(x: float, y: float) -> float:
        return share_outside(photo, HeadFrame((x, y), (50, 0), (0, 50)))

    assert share(160, 160) == 0
    assert share(0, 160) == pytest.approx(0.5)
    assert share(320, 0) == pytest.approx(0.75)


def test_sharpness_falls_with_blur_and_ignores_the_border(photo: RGB) -> None:
    blurred = resize(resize(photo, (80, 80)), (320, 320))
    framed = photo.copy()
    framed[:60] = np.random.default_rng(0).integers(0, 256, (60, 320, 3))
    assert sharpness(photo) > 3 * sharpness(blurred) > 0
    assert sharpness(framed) == sharpness(photo)


def test_a_name_that_is_not_utf8_is_refused(raw: Path, tmp_path: Path) -> None:
    path = raw / os.fsdecode(b"caf\xe9.png")
    shutil.copy(raw / "wall.png", path)
    with pytest.raises(FileError, match="name is not UTF-8 text; rename it"):
        PhotoCutter(raw, tmp_path / "set", SIZE, ".png")(Task(path, tmp_path))


def test_a_long_name_is_shortened_by_bytes(raw: Path, tmp_path: Path) -> None:
    path = (raw / "bob.png").rename(raw / ("💾" * 62 + ".png"))  # 252 of the 255 bytes that a name may have
    [entry] = PhotoCutter(raw, tmp_path / "set", SIZE, ".png")(Task(path, tmp_path)).entries
    assert Path(entry.file).name.startswith("💾" * 50 + "-1-")
    assert (tmp_path / "set" / entry.file).is_file()
