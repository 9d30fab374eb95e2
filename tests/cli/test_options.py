"""Shortcuts for recipe keys, the same for every command that runs the pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import cv2
import pytest
import torch
from click.testing import CliRunner, Result

from facegen.cli.main import cli
from facegen.cli.options import drawing_options, pipeline_options
from facegen.ops.variants import KINDS
from tests.cli.conftest import Facegen


@click.command()
@click.argument("words", nargs=-1)
@pipeline_options
def command(words: tuple[str, ...], **options: Any) -> None:
    """Print the arguments."""
    click.echo(options["recipe"])
    click.echo(sorted(options))
    for override in options["overrides"]:
        click.echo(override)


def run(*words: str) -> Result:
    return CliRunner().invoke(command, words)


def test_a_command_gets_recipe_overrides_and_device() -> None:
    assert run("a", "b").output.splitlines()[1:] == ["['device', 'overrides', 'recipe']"]


def test_the_number_of_threads_is_set(own_threads: None) -> None:
    assert run("--threads", "3").output.splitlines()[1:] == ["['device', 'overrides', 'recipe']"]
    assert (torch.get_num_threads(), cv2.getNumThreads()) == (3, 3)
    assert "0 is not in the range" in run("--threads", "0").output


@pytest.mark.parametrize(
    ("words", "recipe"),
    [((), "portrait"), (("--preset", "portrait"), "portrait"), (("--recipe", "mine.toml"), "mine.toml")],
)
def test_a_recipe_is_a_preset_or_a_file(words: tuple[str, ...], recipe: str) -> None:
    assert run(*words).output.splitlines()[0] == recipe


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--preset", "portrait", "--recipe", "mine.toml"), "--preset portrait and --recipe mine.toml both name a rec"),
        (("--preset", "nope"), "'nope' is not"),
        (("--preset", "train/jnet-8x"), "'train/jnet-8x' is not"),
    ],
)
def test_two_recipes_and_unknown_presets_are_refused(words: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(cli, ["sample", *words])
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("words", "override"),
    [
        (["--candidates", "3"], "candidates.count=3"),
        (["--variants", "flip,contrast"], 'candidates.variants=["flip", "contrast"]'),
        (["--variants", " shift, shift"], 'candidates.variants=["shift"]'),
        (["--variants", "none"], "candidates.variants=[]"),
        (["--fidelity", "0"], "fidelity=0.0"),
        (["--strength", "auto"], 'strength="auto"'),
    ],
)
def test_shortcuts_become_overrides(words: list[str], override: str) -> None:
    result = run("--set", "batch=3", *words)
    assert result.output.splitlines()[2:] == ["batch=3", override]


def test_strength_is_that_of_drawn_faces_where_faces_are_drawn() -> None:
    drawing = click.command(drawing_options(lambda overrides, **_: click.echo(overrides)))
    assert CliRunner().invoke(drawing, ["--strength", "0.7"]).output == "('drawn_strength=0.7',)\n"
    assert CliRunner().invoke(drawing, ["--strength", "auto"]).exit_code == 2


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["--candidates", "3", "--set", "candidates.count=3"], "candidates.count"),
        (["--variants", "none", "--set", "candidates={ count = 2 }"], "candidates.variants"),
        (["--set", "fidelity=0.5", "--fidelity", "1"], "fidelity"),
        (["--set", "drawn_strength=0.5", "--strength", "1"], "drawn_strength"),
    ],
)
def test_a_key_given_twice_is_refused(words: list[str], key: str) -> None:
    result = CliRunner().invoke(cli, ["sample", *words])
    assert result.exit_code == 2
    setting = words[words.index("--set") + 1]
    assert f"and --set {setting} both give {key}; leave one of them out." in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--variants", "flip,flop"], "unknown kind 'flop'; did you mean 'flip'? Known: flip, contrast, saturation"),
        (["--variants", ""], "unknown kind ''. Known:"),
        (["--candidates", "0"], "0 is not in the range x>=1"),
        (["--fidelity", "1.5"], "1.5 is not in the range 0<=x<=1"),
    ],
)
def test_values_are_checked(words: list[str], message: str) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_help_lists_every_kind() -> None:
    assert f"from {','.join(KINDS)}" in " ".join(run("--help").output.split())


def test_options_are_read_from_a_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text('preset = "fast"\nset = ["tiles.overlap=8", "seed=1"]\nfidelity = 0.5\n', encoding="utf-8")
    assert run("--settings", str(file)).output.splitlines()[::2] == ["fast", "tiles.overlap=8", "fidelity=0.5"]
    assert run("--preset", "portrait", "--settings", str(file), "--set", "seed=2").output.splitlines()[::2] == [
        "portrait", "seed=2",
    ]  # fmt: skip


def test_in_settings_a_list_stands_for_commas_and_one_value_for_a_list(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text('set = "seed=1"\nvariants = ["flip", "shift"]\n', encoding="utf-8")
    assert run("--settings", str(file)).output.splitlines()[2:] == ["seed=1", 'candidates.variants=["flip", "shift"]']


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fidelty = 1", "my.toml: unknown option 'fidelty'; did you mean 'fidelity'? Name options as in --help."),
        ("settings = 'b.toml'", "my.toml: unknown option 'settings'"),
        ("words = 'a'", "my.toml: unknown option 'words'"),
        ("scale = [1, 2]", "my.toml: unknown option 'scale'"),
        ('seeds = ["1", "b"]', "Invalid value for '--seeds': 'b' is neither a seed nor a range"),
        ("fidelity = 3", "Invalid value for '--fidelity'"),
        ("fidelity =", "my.toml: not a readable TOML file"),
        (None, "my.toml: no such file"),
    ],
)
def test_settings_files_are_checked(facegen: Facegen, tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "my.toml").write_text(text, encoding="utf-8")
    result = facegen("sample", "--settings", tmp_path / "my.toml")
    assert result.exit_code == 2
    assert message in result.stderr
