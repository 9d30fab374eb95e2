"""Agreement beyond chance, against published worked examples and by its properties."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.data.curate.agreement import agreement, cohen_kappa, fleiss_kappa, majority
from facegen.data.manifest import Decision


def pairs(both: int, first: int, second: int, neither: int) -> NDArray[np.bool_]:
    """So many faces kept by both, by the first alone, by the second alone, and by neither."""
    rows = [[True, True]] * both + [[True, False]] * first + [[False, True]] * second + [[False, False]] * neither
    return np.array(rows)


def test_cohen_kappa_of_the_textbook_table() -> None:
    """Two readers of 50 grant proposals: p_o 0.7, p_e 0.5 (the worked example that Wikipedia gives)."""
    assert cohen_kappa(pairs(20, 5, 10, 15)) == pytest.approx(0.4)


def test_cohen_kappa_of_tables_with_equal_agreement() -> None:
    """Both tables agree on 60 of 100; kappa tells them apart (the same source)."""
    assert cohen_kappa(pairs(45, 15, 25, 15)) == pytest.approx(0.1304, abs=1e-4)
    assert cohen_kappa(pairs(25, 35, 5, 35)) == pytest.approx(0.2593, abs=1e-4)


def test_fleiss_kappa_by_hand() -> None:
    """Three raters, four faces: p_o = (1 + 1/3 + 1/3 + 1) / 4 = 2/3, shares 1/2 and 1/2, so kappa is 1/3."""
    keeps = np.array([[1, 1, 1], [1, 1, 0], [0, 1, 0], [0, 0, 0]], dtype=bool)
    assert fleiss_kappa(keeps) == pytest.approx(1 / 3)


def test_raters_who_draw_lots_agree_as_often_as_by_chance() -> None:
    keeps = np.random.default_rng(0).random((20_000, 4)) < 0.8
    fleiss, cohen = fleiss_kappa(keeps), cohen_kappa(keeps[:, :2])
    assert fleiss is not None
    assert cohen is not None
    assert abs(fleiss) < 0.02
    assert abs(cohen) < 0.02


def test_opposite_raters() -> None:
    assert cohen_kappa(pairs(0, 5, 5, 0)) == -1


def test_labels_that_are_all_the_same_say_nothing() -> None:
    assert cohen_kappa(pairs(5, 0, 0, 0)) is None
    assert fleiss_kappa(np.zeros((4, 3), dtype=bool)) is None


def test_agreement_is_over_the_faces_that_all_labelled() -> None:
    anna: dict[str, Decision] = {"a": "keep", "b": "drop", "c": "keep", "d": "", "e": "drop"}
    bert: dict[str, Decision] = {"a": "keep", "b": "drop", "c": "drop", "d": "keep"}
    found = agreement([anna, bert, {}])
    assert found is not None
    assert found.same == pytest.approx(2 / 3)
    assert (found.faces, found.measure) == (3, "Cohen's kappa")
    three = agreement([anna, bert, {"a": "keep", "b": "keep"}])
    assert three is not None
    assert (three.faces, three.same, three.measure) == (2, 0.5, "Fleiss' kappa")


def test_there_is_none_without_two_raters_of_one_face() -> None:
    assert agreement([]) is None
    assert agreement([{"a": "keep"}, {"b": "keep"}]) is None
    assert agreement([{"a": "keep"}, {"a": ""}]) is None


@pytest.mark.parametrize(("labels", "expected"), [
    (["keep"], "keep"), (["keep", "drop"], ""), (["keep", "drop", "drop"], "drop"), (["", "drop"], "drop"), ([""], ""),
    ([], ""),
])  # fmt: skip
def test_majority(labels: list[Decision], expected: Decision) -> None:
    assert majority(labels) == expected
