"""Imports go downwards only, and `make lint` notices when they do not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the package below a folder."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache"]
    return subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True)


def test_imports_go_downwards_only() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout


def test_a_layer_broken_on_purpose_fails(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "facegen", tmp_path / "facegen", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "facegen" / "ops" / "tiling.py").open("a") as file:
        file.write("\nfrom facegen.cli import main\n")
    result = lint(tmp_path)
    assert result.returncode == 1
    assert "facegen.ops.tiling -> facegen.cli.main" in result.stdout
