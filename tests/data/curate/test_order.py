"""Faces whose decision hangs by a thread come first."""

from __future__ import annotations

import random

from facegen.data.curate.order import doubtful_first
from facegen.data.manifest import DOUBT, Entry


def entry(name: str, doubt: float) -> Entry:
    """As `clean` leaves it."""
    reasons = ("blurred",) if doubt >= 1 else ()
    return Entry(name, name, decision="drop" if reasons else "keep", reasons=reasons, measures={DOUBT: doubt})


def names(entries: list[Entry]) -> list[str]:
    return [item.file for item in entries]


def test_near_the_threshold_first_on_either_side() -> None:
    entries = [entry(f"{doubt}", doubt) for doubt in (0.0, 0.5, 0.98, 1.0, 1.01, 1.4, 7.0)]
    assert names(doubtful_first(entries)) == ["1.0", "1.01", "0.98", "1.4", "0.5", "0.0", "7.0"]


def test_what_nothing_was_decided_on_comes_first() -> None:
    assert names(doubtful_first([entry("near", 1.01), Entry("new", "new")])) == ["new", "near"]


def test_what_no_measure_tells_comes_last() -> None:
    crowd = Entry("crowd", "crowd", decision="drop", reasons=("person",), measures={DOUBT: 0.99})
    assert names(doubtful_first([crowd, entry("good", 0.1)])) == ["good", "crowd"]


def test_without_decisions_the_least_sharp_come_first() -> None:
    entries = [Entry(name, name, sharpness=value) for name, value in (("a", 3.0), ("b", 1.0), ("c", 2.0))]
    assert names(doubtful_first(entries)) == ["b", "c", "a"]


def test_a_plain_folder_is_shown_by_name_whatever_its_order() -> None:
    entries = [Entry(name, name) for name in "abcdef"]
    random.Random(1).shuffle(entries)
    assert names(doubtful_first(entries)) == list("abcdef")
