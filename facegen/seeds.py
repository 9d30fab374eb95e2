"""Read seeds as people write them: 0,3-7."""

from __future__ import annotations

import re

from facegen.errors import UsageError

MAX_SEEDS = 100_000
"""Length of the longest range."""


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read comma-separated seeds and ranges, each seed once; raise a UsageError if a part is neither."""
    seeds: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,18})(?:-(\d{1,18}))?\s*", part)
        if not found:
            raise UsageError(f"{part!r} is neither a seed nor a range; write for example 0,3-7.")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first or last - first >= MAX_SEEDS:
            raise UsageError(f"{part!r} runs backwards or holds over {MAX_SEEDS:,} seeds.")
        seeds += range(first, last + 1)
    return tuple(dict.fromkeys(seeds))
