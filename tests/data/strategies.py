"""Hypothesis strategies for manifests and files of labels, and hostile cells."""

from __future__ import annotations

import json
from datetime import UTC
from typing import Any, get_args

from hypothesis import strategies as st

from facegen.data.manifest import Decision, Entry
from facegen.data.reading import LARGEST_NUMBER

_DECISIONS: st.SearchStrategy[Decision] = st.sampled_from(get_args(Decision))
_CHARACTERS = st.characters(codec="utf-8", exclude_characters="/\0") | st.sampled_from("\udc80\udce9\udcff")
_WORDS = st.text(_CHARACTERS, max_size=40)
_STARTS = st.sampled_from(("", "=", "+", "-", "@", "'", "'=", "''@", "\t", "=HYPERLINK(", "-3", "'-3.5e9"))
NUMBERS = st.floats(-LARGEST_NUMBER, LARGEST_NUMBER)
_LENGTHS = st.floats(0, LARGEST_NUMBER)
_SIDES = st.integers(0, 2**16)


@st.composite
def names(draw: st.DrawFn) -> str:
    """A path below a set: any bytes but NUL, some parts starting like formulas."""
    parts = draw(st.lists(st.builds(str.__add__, _STARTS, _WORDS), min_size=1, max_size=3))
    return "/".join(part if part not in ("", ".", "..") else "x" for part in parts)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """A crop with some columns filled."""
    side = draw(_SIDES)
    points = st.floats(-side, 2 * side) if side else st.floats(-1000, 1000)
    landmarks = draw(st.just(()) | st.lists(st.tuples(points, points), min_size=68, max_size=68).map(tuple))
    spread = [max(values) - min(values) for values in zip(*landmarks, strict=True)]
    return Entry(
        file=draw(names()),
        source=draw(names() | st.just("")),
        source_sha256=draw(_WORDS),
        face=draw(_SIDES),
        frame=draw(st.tuples(NUMBERS, NUMBERS, _LENGTHS, NUMBERS)),
        landmarks=landmarks if spread and min(spread) >= 1 else (),
        size=side,
        sharpness=draw(_LENGTHS),
        sha256=draw(_WORDS),
        decision=draw(_DECISIONS),
        reasons=tuple(draw(st.lists(_WORDS, max_size=3))),
        measures=draw(st.dictionaries(_WORDS, NUMBERS, max_size=3)),
        label=draw(_DECISIONS),
    )


HOSTILE = (
    "NaN", "Infinity", "-Infinity", "1e999", "-1", "9" * 5000, "[" * 5000, "[" * 5000 + "]" * 5000, "[NaN,0,0,0]",
    "[0,0,-1,0]", "[[1,1]]", json.dumps([[1, 1]] * 68), json.dumps([[1e9, 5]] * 67 + [[0, 0]]), '{"blurred":NaN}',
    '{"blurred":1e300}', '{"a":{"a":{}}}', "null", "true", "\0", "a\0b.png", "x" * 300 + ".png", "é" * 200, "../a.png",
    "/etc/passwd", "a/../b", "/".join(["x" * 200] * 9), "\ud800", "=1+1", "'", '"', "\udcff", "[/b]", "💾", " ", "\r",
)  # fmt: skip
"""Cells that are not valid, or look like it."""


def lines_of_labels() -> st.SearchStrategy[dict[str, Any]]:
    """A line of a file of labels."""
    at = st.datetimes(timezones=st.just(UTC)).map(lambda time: time.isoformat(timespec="milliseconds"))
    return st.fixed_dictionaries({"at": at, "file": names(), "label": _DECISIONS})
