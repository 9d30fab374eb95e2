"""Sizes of results: as asked for, or by the largest head, and never too large."""

from __future__ import annotations

import pytest

from facegen import sizes
from facegen.errors import UsageError
from facegen.faces.align import HeadFrame
from facegen.sizes import photo_scale, plan_size


def head(side: float) -> HeadFrame:
    return HeadFrame((0, 0), (side / 2, 0), (0, side / 2))


@pytest.mark.parametrize(("sides", "scale"), [([], 4), ([2000], 2), ([768], 2), ([300, 20], 3), ([100], 8), ([9], 8)])
def test_the_largest_head_decides(sides: list[float], scale: int) -> None:
    heads = [head(side) for side in sides]
    assert photo_scale(heads, 5000) == scale
    assert plan_size((100, 50), None, None, lambda: heads).size == (100 * scale, 50 * scale)


def test_a_large_photo_without_a_face_is_enlarged_less() -> None:
    assert (photo_scale([], 6_000_000), photo_scale([], 24_000_000)) == (4, 2)


@pytest.mark.parametrize(
    ("scale", "width", "size", "made"),
    [(2, None, (60, 40), 2), (1.5, None, (45, 30), 2), (None, 30, (30, 20), 1), (None, 61, (61, 41), 3)],
)
def test_scale_or_width(scale: float | None, width: int | None, size: tuple[int, int], made: int) -> None:
    plan = plan_size((30, 20), scale, width, list)
    assert (plan.size, plan.made) == (size, made)


def test_the_scale_chosen_keeps_the_result_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "LARGEST", 9 * 128 * 128)
    assert plan_size((128, 128), None, None, lambda: [head(20)]).made == 3


@pytest.mark.parametrize(
    ("scale", "width", "message"),
    [
        (8, None, "9000x8000 at --scale 8 would be 72000x64000, over 400 megapixels; choose a smaller --scale, or "),
        (2.5, None, "at --scale 2.5 would be made at 3 times its size, 27000x24000, over 400 megapixels; choose a "),
        (None, 36000, "9000x8000 at --width 36000 would be 36000x32000, over 400 megapixels; choose a smaller --width"),
        (None, 8999, "--width 8999: the photo is 9000 px wide already; choose a larger one."),
    ],
)
def test_sizes_that_are_refused(scale: float | None, width: int | None, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        plan_size((9000, 8000), scale, width, list)
    assert message in str(caught.value)
