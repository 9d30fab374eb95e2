"""`facegen --install-completion`; tests/test_wheel.py tests TAB in bash itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from facegen.cli.completion import SHELLS, STARTS
from facegen.cli.main import cli
from tests.cli.conftest import Facegen


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    return tmp_path


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_written_and_loaded_once(facegen: Facegen, home: Path, shell: str) -> None:
    start = home / f".{shell}rc"
    start.write_text("alias ll='ls -l'")  # without a newline at its end
    for _ in range(2):
        assert facegen("--install-completion", shell).exit_code == 0
    (script,) = home.rglob(f"facegen.{shell}")
    assert f"_FACEGEN_COMPLETE={shell}_complete" in script.read_text(encoding="utf-8")
    lines = start.read_text(encoding="utf-8").split("\n")
    assert lines[0] == "alias ll='ls -l'"
    assert sum(str(script) in line for line in lines) == (shell in STARTS)


def test_the_shell_is_the_users_unless_named(facegen: Facegen, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert facegen("--install-completion").exit_code == 0
    assert (home / ".config/fish/completions/facegen.fish").is_file()


def test_another_shell_is_refused(facegen: Facegen, home: Path) -> None:
    result = facegen("--install-completion", "tcsh")
    assert result.exit_code == 2
    assert "unknown shell 'tcsh'; name one of bash, zsh, fish." in result.stderr


def test_a_home_that_cannot_be_written_is_named(facegen: Facegen, home: Path) -> None:
    (home / ".local").write_text("a file where a folder should be")
    result = facegen("--install-completion", "bash")
    assert result.exit_code == 1
    assert ".local" in result.stderr


@pytest.mark.parametrize(("typed", "offered"), [("sam", "sample"), ("sample --si", "--size"), ("data cl", "clean")])
def test_commands_and_options_are_completed(typed: str, offered: str) -> None:
    words = f"cli {typed}"
    asked = {"_CLI_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    assert CliRunner().invoke(cli, env=asked).stdout.splitlines() == [f"plain,{offered}"]
