"""bfloat16's speed is measured once, and remembered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from facegen import precision


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(precision, "cache_folder", lambda: tmp_path / "facegen")
    precision.bf16_share.cache_clear()
    yield tmp_path / "facegen" / "bfloat16.json"
    precision.bf16_share.cache_clear()


def remeasured(monkeypatch: pytest.MonkeyPatch, share: float) -> float:
    """What a process finds in which a measurement would give this."""
    monkeypatch.setattr(precision, "measured_share", lambda: share)
    precision.bf16_share.cache_clear()
    return precision.bf16_share()


def test_a_measurement_is_a_ratio_and_keeps_the_threads() -> None:
    before = torch.get_num_threads()
    assert 0.01 < precision.measured_share() < 1000
    assert torch.get_num_threads() == before


def test_it_is_remembered(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert remeasured(monkeypatch, 0.5) == 0.5
    assert remeasured(monkeypatch, 2.0) == 0.5
    assert precision.bf16_is_fast()
    file.unlink()
    assert remeasured(monkeypatch, 2.0) == 2.0
    assert not precision.bf16_is_fast()


@pytest.mark.parametrize("content", ["", "[1]", '{"a": "b"}', '{"a": null}', "\0"])
def test_a_damaged_file_is_made_anew(file: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    file.parent.mkdir()
    file.write_text(content, encoding="utf-8")
    assert remeasured(monkeypatch, 0.5) == 0.5
    assert remeasured(monkeypatch, 2.0) == 0.5


def test_a_folder_that_cannot_be_written_does_no_harm(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.parent.write_text("a file in the folder's place", encoding="utf-8")
    assert remeasured(monkeypatch, 0.5) == 0.5
    assert remeasured(monkeypatch, 2.0) == 2.0
