"""`facegen compare` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facegen.arrays import RGB
from facegen.media.images import resize, write_image
from tests.cli.conftest import Facegen, leftovers


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory, head: RGB) -> Path:
    """Four heads of 256 px."""
    folder = tmp_path_factory.mktemp("heads")
    for number in range(4):
        write_image(folder / f"me_{number}.png", resize(np.roll(head, number, axis=1), (256, 256)))
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, head: RGB) -> Path:
    """One head of 32 px."""
    return write_image(tmp_path_factory.mktemp("small") / "me.png", resize(head, (32, 32))).parent


def test_portraits_and_inputs_are_compared(
    facegen: Facegen, tiny_recipe: Path, heads: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facegen.evaluation.portraits.PATCHES", 4)
    out = tmp_path / "out"
    sides = ("--low", 32, "--size", 256, "--held-out", 2, "--include", "me_*")
    models = f"bicubic, {tiny_recipe.parent / 'jnet'}"
    words = ("--recipe", tiny_recipe, "--models", models, "--inputs", small, "--out", out)
    result = facegen("compare", heads, *sides, *words, "--write", "row,sheet")
    assert result.exit_code == 0, result.output
    assert "PSNR, dB [1]" in result.stdout
    assert result.stdout.endswith(f"{out / 'comparison.json'}\n{out / 'comparison.html'}\n")
    assert "LPIPS left out; for it: pip install" in result.stderr
    content = json.loads((out / "comparison.json").read_text())
    assert content["portraits"] == f"2 below {heads}; 2 held out by person of me_* (stated by options)"
    assert content["inputs"].startswith(f"1 in {small};")
    assert content["pipeline"] == str(tiny_recipe)
    assert content["note"].startswith("LPIPS left out")
    assert list(content["figures"][0]["values"]) == ["bicubic", "jnet"]
    assert len(list((out / "row").iterdir())) == 2
    assert {path.name for path in (out / "inputs").iterdir()} == {"row", "sheet.png", "differences.png"}
    assert (out / "comparison.html").read_text().count("data:image/jpeg;base64,") == 5
    assert not leftovers(out)


def test_inputs_alone_are_shown_only(facegen: Facegen, tiny_recipe: Path, small: Path, tmp_path: Path) -> None:
    words = ("--recipe", tiny_recipe, "--models", "lanczos", "--low", 16, "--size", 32, "--write", "none")
    result = facegen("compare", "--inputs", small, *words, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"comparison.json", "comparison.html"}
    assert result.stdout.count("\n") == 2  # no table: nothing was measured


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("--models", "bicubic"), 2, "nothing to upscale: name a folder of portraits, or --inputs"),
        (("{heads}", "--models", "bicubic,,jnet"), 2, "has an empty name"),
        (("--inputs", "{heads}", "--held-out", "3"), 2, "--held-out has no effect on --inputs, pictures without"),
        (("{heads}", "--models", "bicubik"), 1, "did you mean 'bicubic'?"),
        (("{heads}", "--write", "rows"), 2, "unknown kind 'rows'; did you mean 'row'?"),
        (("{heads}", "--size", "100"), 2, "--size 100: expected a multiple of --low 96"),
        (("{heads}", "--models", "a.pth"), 1, "pip install 'facegen[spandrel]'"),
        (("nowhere", "--models", "bicubic"), 2, "Directory 'nowhere' does not exist."),
        (("{heads}", "--models", "bicubic", "--inputs", "nowhere"), 1, "nowhere: no such file or folder"),
        (("{heads}", "--recipe", "{recipe}"), 2, "say it yourself: --held-out 60."),
    ],
)
def test_wrong_values_are_explained(
    facegen: Facegen, tiny_recipe: Path, heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...], status: int, message: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("facegen.evaluation.upscalers.find_spec", lambda name: None)
    given = [word.format(heads=heads, recipe=tiny_recipe) for word in words]
    result = facegen("compare", *given, "--out", tmp_path / "out")
    assert result.exit_code == status
    assert message in result.stderr
    assert not (tmp_path / "out").exists()
