"""Seeds and ranges of seeds."""

from __future__ import annotations

import pytest

from facegen.errors import UsageError
from facegen.seeds import parse_seeds


def test_seeds_and_ranges_each_once() -> None:
    assert parse_seeds(" 0, 3-5,4") == (0, 3, 4, 5)


@pytest.mark.parametrize(("text", "message"), [
    ("", "'' is neither a seed nor a range"), ("1,x", "'x' is neither"), ("-1", "'-1' is neither"),
    ("5-3", "'5-3' runs backwards"), ("0-999999", "holds over 100,000 seeds"),
])  # fmt: skip
def test_what_is_no_seed(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_seeds(text)
