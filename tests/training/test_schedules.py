"""Weights that change over a training."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from facegen.training.schedules import WeightSchedule


def test_constant_weight() -> None:
    assert [WeightSchedule(start=0.5)(n) for n in (0, 10, 10**9)] == [0.5, 0.5, 0.5]


def test_weight_fades_on_a_straight_line() -> None:
    weight = WeightSchedule(start=1, end=3, fade_from=100, fade_to=200)
    assert [weight(n) for n in (0, 99, 100, 125, 150, 199, 200, 1000)] == pytest.approx([1, 1, 1, 1.5, 2, 2.98, 3, 3])


def test_weight_is_off_after_a_point() -> None:
    weight = WeightSchedule(start=1, end=0, fade_from=100, fade_to=100)
    assert [weight(n) for n in (0, 99, 100, 101)] == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"end": 0, "fade_from": 5, "fade_to": 4}, "fade_to is 4, expected at least fade_from = 5"),
        ({"fade_to": 4}, "fade_to is given without end"),
        ({"end": 0}, "end is given without fade_to"),
        ({"start": -1}, "greater than or equal to 0"),
        ({"end": -1, "fade_to": 4}, "greater than or equal to 0"),
        ({"start": float("inf")}, "finite"),
        ({"start": float("nan")}, "finite|greater"),
        ({"fade_from": -1}, "greater than or equal to 0"),
        ({"fadeto": 4}, "Extra inputs"),
    ],
)
def test_wrong_weight_schedules_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        WeightSchedule.model_validate({"start": 1} | wrong)
