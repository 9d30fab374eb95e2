"""The self-test: good weights pass, a damaged file is named."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import facegen.pipeline
import facegen.weights
from facegen.cli.doctor import checks
from facegen.cli.main import cli
from facegen.weights import CARD_FILE, MODEL_FILE
from tests import tiny


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tiny weights under the names of the shipped ones."""
    tiny.save_all(tmp_path)
    for kind, name in (("dcgan", "dcgan-128"), ("jnet", "jnet-8x-restore"), ("patchgan", "jnet-8x-restore-patchgan")):
        (tmp_path / kind).rename(tmp_path / name)
    monkeypatch.setattr(facegen.weights, "WEIGHTS", tmp_path)
    return tmp_path


def doctor() -> Result:
    return CliRunner().invoke(cli, ["doctor"])


def failed() -> dict[str, str]:
    return {check.name: check.found for check in checks() if not check.ok}


def test_all_is_well(weights: Path) -> None:
    result = doctor()
    assert result.exit_code == 0, result.output
    for line in ("facegen", "python", "torch", "device", "threads", "precision", "landmark model", "68 points"):
        assert line in result.output
    judge = r"ok +weights jnet-8x-restore-patchgan +patchgan, 1,234 images seen, sha256 [0-9a-f]{16}"
    assert re.search(judge, result.output)
    assert re.search(r"ok +self-test +a 256 px sample from seed 0 in ", result.output)


def test_damaged_file_is_named(weights: Path) -> None:
    with (weights / "jnet-8x-restore" / MODEL_FILE).open("ab") as file:
        file.write(b"!")
    result = doctor()
    assert result.exit_code == 1
    assert re.search(r"!! +weights jnet-8x-restore .*model\.safetensors: its SHA-256 is", result.output)
    assert re.search(r"ok +weights dcgan-128 ", result.output)
    assert sorted(failed()) == ["self-test", "weights jnet-8x-restore"]


def test_network_that_no_sample_uses_is_tested_too(weights: Path) -> None:
    card = weights / "jnet-8x-restore-patchgan" / CARD_FILE
    card.write_text(card.read_text().replace("condition_channels = 6", "condition_channels = 3"))
    assert list(failed()) == ["weights jnet-8x-restore-patchgan"]


def test_brackets_in_a_message_are_not_taken_for_markup(weights: Path) -> None:
    card = weights / "jnet-8x-restore" / CARD_FILE
    card.write_text(card.read_text().replace("tile = 32", "tlie = 32"))
    assert '[config]: unknown key "tlie"; did you mean "tile"?' in doctor().output


def test_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facegen.weights, "WEIGHTS", tmp_path)
    assert failed()["weights"] == "none found"
    assert "weights 'dcgan-128': neither shipped" in failed()["self-test"]


def test_a_broken_installation_is_reported(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without dlib, whose processor cannot compute in bfloat16."""
    from threading import local

    from facegen.faces import dlib_models

    monkeypatch.setattr(dlib_models, "begin_to_load", dlib_models.begin_to_load.__wrapped__)
    monkeypatch.setattr(dlib_models, "_OF_THREAD", local())
    monkeypatch.setitem(sys.modules, "dlib", None)
    monkeypatch.setattr("facegen.precision.bf16_share", lambda: [][0])
    report = failed()
    assert report["precision"] == "IndexError: list index out of range"
    assert "ModuleNotFoundError" in report["landmark model"] or "ImportError" in report["landmark model"]
    assert "dlib" in report["landmark model"]


def test_without_pytorch_the_report_ends_with_that_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert list(failed()) == ["device"]
    assert failed()["device"].startswith("ModuleNotFoundError: import of torch halted")


def test_in_a_file_no_line_is_wrapped(weights: Path) -> None:
    assert re.search(rf"ok +python +.* on {re.escape(platform.platform())}", doctor().output)


@pytest.mark.skipif(len(facegen.weights.weight_folders()) < 3, reason="no shipped weights in this checkout")
def test_shipped_weights_pass() -> None:
    assert failed() == {}


def test_extras_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    requires = ["imagehash>=4.3; extra == 'data'", "no-such-package>=1; extra == 'odd'", "numpy>=1"]
    monkeypatch.setattr("facegen.cli.doctor.metadata.requires", lambda name: requires)
    found = {check.name: check for check in checks() if check.name.startswith("extra ")}
    assert found["extra data"].found == "installed"
    assert found["extra odd"].found == "not installed: pip install 'facegen[odd]'"
    assert found["extra odd"].ok
