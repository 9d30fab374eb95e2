"""The group of commands: help on everything, and errors in one line, with their exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from facegen import __version__
from facegen.cli.main import COMMANDS, cli
from tests.cli.conftest import Facegen


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


def test_help_lists_every_command(facegen: Facegen) -> None:
    for flag in ("-h", "--help"):
        result = facegen(flag)
        assert result.exit_code == 0
        for name, text in COMMANDS.items():
            assert f"{name} " in result.output
            assert text in result.output


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_option_has_help(facegen: Facegen, name: str) -> None:
    result = facegen(name, "-h")
    assert result.exit_code == 0
    assert command(name).help
    for parameter in command(name).params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts}"
            assert parameter.opts[0] in result.output


def test_version(facegen: Facegen) -> None:
    assert __version__ in facegen("--version").output


def test_a_group_without_a_command_shows_its_help(facegen: Facegen) -> None:
    for group in ("data", "export"):
        result = facegen(group)
        assert result.exit_code == 2
        assert "\n\nCommands:\n" in result.stderr


def test_ctrl_c_ends_any_command_with_the_status_of_an_interrupt(
    facegen: Facegen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("facegen.cli.doctor.checks", stopped)
    result = facegen("doctor")
    assert (result.exit_code, result.stderr) == (130, "\nStopped.\n")


def test_unknown_command(facegen: Facegen) -> None:
    result = facegen("smaple")
    assert result.exit_code == 2
    assert "No such command 'smaple'" in result.stderr


@pytest.mark.parametrize(
    ("word", "wanted"),
    [("upscale", "use facegen upres."), ("restore", "use facegen upres."), ("evalute", "did you mean 'evaluate'?")],
)
def test_synonyms_and_misspelt_commands_lead_to_the_command(facegen: Facegen, word: str, wanted: str) -> None:
    result = facegen(word, "photo.jpg")
    assert result.exit_code == 2
    assert f"No such command '{word}'; {wanted}" in result.stderr


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a separate process."""
    code = "from facegen.cli.main import main\nmain()"
    return subprocess.run([sys.executable, "-c", code, *words], cwd=cwd, capture_output=True, text=True, timeout=120)


def test_waiting_threads_sleep_by_default() -> None:
    code = "import os, sys, facegen.cli.main; print('torch' in sys.modules, os.environ['OMP_WAIT_POLICY'])"
    for given, found in (({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")):
        environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"} | given
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["False", found]


def test_errors_end_the_process_with_their_status(tmp_path: Path) -> None:
    wrong_value = run("sample", "--recipe", "nope", cwd=tmp_path)
    assert wrong_value.returncode == 2
    assert wrong_value.stdout == ""
    assert wrong_value.stderr.startswith("Error: recipe 'nope': neither a .toml file nor a shipped recipe.")
    no_run = run("publish", "nowhere", "name", cwd=tmp_path)
    assert no_run.returncode == 1
    assert no_run.stderr == "Error: nowhere: not a run folder, it has no recipe.toml.\n"
