"""Files that are complete or not there at all."""

from pathlib import Path

import pytest

from facegen.files import replacing


def fill(path: Path) -> None:
    """Write half of a file."""
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise OSError("full")


def test_the_file_changes_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_one_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="full"):
        fill(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
