"""Files are complete or not there at all; recipes and weights are found."""

from pathlib import Path

import pytest

from facegen import files
from facegen.files import PIPELINES, WEIGHTS, replacing


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


def test_a_checkout_has_recipes_and_weights() -> None:
    root = Path(__file__).parents[1]
    assert root / "pipelines" == PIPELINES
    assert root / "weights" == WEIGHTS
    assert (PIPELINES / "portrait.toml").is_file()


def test_a_wheel_brings_its_own_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package's folder of the same name may lie next to the installed package."""
    bundled = tmp_path / "facegen" / "_bundled" / "weights"
    bundled.mkdir(parents=True)
    (tmp_path / "weights").mkdir()
    monkeypatch.setattr(files, "_PACKAGE", tmp_path / "facegen")
    assert files._shipped("weights") == bundled
    assert files._shipped("pipelines") == tmp_path / "pipelines"
