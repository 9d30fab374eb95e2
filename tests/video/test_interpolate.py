"""Frames between frames: as many as promised, where the motion would have them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from facegen.arrays import RGB
from facegen.errors import ShapeError, UsageError
from facegen.media.images import resize
from facegen.video.interpolate import interpolate
from tests.video.films import moving


@pytest.fixture(scope="session")
def steps(astronaut: RGB) -> list[RGB]:
    """9 frames of 96 x 80 px that move by a pixel each."""
    return moving(resize(astronaut, (140, 140)), 9, (96, 80), step=1)


def difference(one: RGB, two: RGB) -> float:
    inner = (slice(12, -12),) * 2
    return float(np.abs(one[inner].astype(int) - two[inner]).mean())


@pytest.mark.parametrize(("factor", "loop", "count"), [(2, False, 5), (4, False, 9), (2, True, 6), (4, True, 12)])
def test_as_many_frames_as_promised_the_given_among_them(steps: list[RGB], factor: int, loop: bool, count: int) -> None:
    given = steps[:3]
    made = list(interpolate(iter(given), factor, loop=loop))
    assert len(made) == count
    for number, frame in enumerate(given):
        np.testing.assert_array_equal(made[factor * number], frame)


def test_motion_is_halved_and_quartered(steps: list[RGB]) -> None:
    made = list(interpolate(steps[::4], 4))
    for number in (1, 2, 3, 5, 6, 7):
        faded = steps[0] * (1 - number / 8) + steps[8] * (number / 8)
        assert difference(made[number], steps[number]) < 3
        assert difference(made[number], steps[number]) < difference(faded.astype(np.uint8), steps[number]) / 3


def test_what_cannot_be_followed_is_cross_faded(steps: list[RGB]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, steps[0].shape, dtype=np.uint8)
    _, middle, _ = interpolate([steps[0], noise], 2)
    assert difference(middle, ((steps[0].astype(int) + noise) // 2).astype(np.uint8)) < 12


def test_nothing_and_one_frame(steps: list[RGB]) -> None:
    assert list(interpolate([], 2)) == []
    assert len(list(interpolate(steps[:1], 2))) == 1


def test_frames_are_asked_for_one_by_one(steps: list[RGB]) -> None:
    asked: list[int] = []

    def coming() -> Iterator[RGB]:
        for number, frame in enumerate(steps):
            asked.append(number)
            yield frame

    made = interpolate(coming(), 2)
    for _ in range(4):
        next(made)
    assert len(asked) == 3


def test_what_is_refused(steps: list[RGB]) -> None:
    with pytest.raises(UsageError, match="interpolated 3 times; expected 2 or 4"):
        interpolate(steps, 3)
    with pytest.raises(ShapeError, match="flow_between"):
        list(interpolate([steps[0], steps[0][:40]], 2))
