"""Decisions of a whole set, from measures alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from facegen.data.clean.detectors import DETECTORS, PICTURE_WISE, with_thresholds
from facegen.data.clean.judging import judge
from facegen.data.manifest import DOUBT, TWIN, Entry

GOOD = {name: DETECTORS[name].usual for name in PICTURE_WISE}
FACES = {"1": np.zeros(128), "2": np.full(128, 0.001), "3": np.full(128, 1.0)}


def entry(number: int, **measures: float) -> Entry:
    return Entry(f"{number}.png", "", sha256=str(number), measures=GOOD | measures)


def test_measures_decide() -> None:
    good, dark = judge([entry(1), entry(2, dark=0.1)], [], {}, DETECTORS)
    assert (good.decision, good.reasons, good.measures[DOUBT]) == ("keep", (), 0)
    assert (dark.decision, dark.reasons) == ("drop", ("dark",))
    assert dark.measures[DOUBT] > 1


def test_of_duplicates_the_sharper_stays_and_is_named() -> None:
    dull, sharp, other = judge([entry(1), entry(2, blurred=4.0), entry(3)], [(0, 1, 12), (1, 2, 9)], FACES, DETECTORS)
    assert (dull.decision, dull.reasons, dull.extra) == ("drop", ("duplicate",), {TWIN: "2.png"})
    assert dull.measures["duplicate"] == 12
    assert [sharp.decision, other.decision] == ["keep", "keep"]


def test_a_label_outweighs_sharpness_and_a_drop_outweighs_both() -> None:
    labelled = replace(entry(1), label="keep")
    first, second = judge([labelled, entry(2, blurred=4.0)], [(0, 1, 12)], FACES, DETECTORS)
    assert (first.decision, second.decision) == ("keep", "drop")
    first, second = judge([entry(1), entry(2, blurred=4.0, noisy=9.0)], [(0, 1, 12)], FACES, DETECTORS)
    assert (first.decision, second.reasons) == ("keep", ("noisy", "duplicate"))


def test_judging_again_forgets_what_was_decided_before() -> None:
    pairs = [(0, 1, 12)]
    once = judge([entry(1), entry(2, dark=0.1)], pairs, FACES, DETECTORS)
    assert judge(once, pairs, FACES, DETECTORS) == once
    eased = judge(once, [], {}, with_thresholds(["dark=0.01"]))
    assert [e.decision for e in eased] == ["keep", "keep"]
    assert eased[1].extra == {}


def test_a_person_is_kept_as_often_as_asked() -> None:
    entries = [entry(1), entry(2, blurred=4.0), entry(3)]
    assert [e.reasons for e in judge(entries, [], FACES, DETECTORS, per_person=1)] == [("person",), (), ()]
    assert all(e.decision == "keep" for e in judge(entries, [], FACES, DETECTORS, per_person=2))
