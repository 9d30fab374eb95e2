"""`facegen rate`: wrong options. Its results are tested in tests/training/test_rating.py."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Facegen


def test_a_sheet_of_an_unknown_format_is_refused_before_the_work(facegen: Facegen, tmp_path: Path) -> None:
    result = facegen("rate", "dcgan-128", "--data", tmp_path, "--sheet", tmp_path / "faces.txt")
    assert result.exit_code == 2
    assert "faces.txt: unknown picture suffix '.txt'" in result.stderr
