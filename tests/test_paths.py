"""Where recipes and weights are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from facegen import files as paths


def test_checkout() -> None:
    root = Path(__file__).parents[1]
    assert root / "pipelines" == paths.PIPELINES
    assert root / "weights" == paths.WEIGHTS
    assert (paths.PIPELINES / "portrait.toml").is_file()


def test_a_wheel_brings_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside an installed package may lie a stranger's folder of the same name."""
    bundled = tmp_path / "facegen" / "_bundled" / "weights"
    bundled.mkdir(parents=True)
    (tmp_path / "weights").mkdir()
    monkeypatch.setattr(paths, "_PACKAGE", tmp_path / "facegen")
    assert paths._shipped("weights") == bundled
    assert paths._shipped("pipelines") == tmp_path / "pipelines"
