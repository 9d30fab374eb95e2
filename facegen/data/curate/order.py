"""The order in which faces are shown: those first whose decision hangs by a thread."""

from __future__ import annotations

import math
from collections.abc import Sequence

from facegen.data.manifest import DOUBT, Entry


def doubtful_first(entries: Sequence[Entry]) -> list[Entry]:
    """Sort by how little it takes to turn `clean`'s decision; without any, the least sharp first, then by name."""
    is_cleaned = any(DOUBT in entry.measures for entry in entries)

    def key(entry: Entry) -> tuple[float, float, str]:
        return margin(entry) if is_cleaned else 0, entry.sharpness, entry.file

    return sorted(entries, key=key)


def margin(entry: Entry) -> float:
    """How far an entry is from being decided otherwise, 0 or more.

    0 also where nothing was decided yet; infinite where it is dropped for something that no measure tells, as for
    showing a person who is there often enough.
    """
    doubt = entry.measures.get(DOUBT)
    if doubt is None or not entry.decision:
        return 0
    is_measured = (doubt >= 1) == (entry.decision == "drop")
    return abs(doubt - 1) if is_measured else math.inf
