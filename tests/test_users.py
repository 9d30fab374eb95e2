"""docs/users.md names a test for each of the 31 pains, and each test exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROWS = re.findall(r"^\| (\d+) \| .* \| `([\w/.]+)::(\w+)` \|$", (ROOT / "docs" / "users.md").read_text("utf-8"), re.M)


def test_every_pain_has_a_row() -> None:
    assert [int(number) for number, _, _ in ROWS] == list(range(1, 32))


@pytest.mark.parametrize(("number", "file", "name"), ROWS)
def test_its_test_exists(number: str, file: str, name: str) -> None:
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, f"row {number}"
