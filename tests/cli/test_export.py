"""`facegen export`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Facegen

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def test_the_file_and_its_agreement_are_printed(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "upscaler.onnx"
    result = facegen("export", "onnx", tiny_recipe.parent / "jnet", "--side", 64, "-o", target)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{target}\n"
    assert result.stderr.startswith("onnxruntime's pictures agree with PyTorch's to 1")
    assert target.stat().st_size > 10_000


def test_wrong_values_are_explained(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    result = facegen("export", "onnx", tiny_recipe.parent / "jnet", "--side", 33, "-o", tmp_path / "x.onnx")
    assert result.exit_code == 2
    assert "--side 33: expected a multiple of 32" in result.stderr
    assert facegen("export", "onnx", "dcgan-128").exit_code == 2
    (tmp_path / "file").touch()
    refused = facegen("export", "onnx", tiny_recipe.parent / "dcgan", "-o", tmp_path / "file" / "x.onnx")
    assert refused.exit_code == 1
    assert f"Error: --out {tmp_path / 'file'}: cannot be a folder" in refused.stderr
