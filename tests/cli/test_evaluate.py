"""`facegen evaluate`: both stages, films, the files that it writes, and its errors."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facegen.arrays import RGB
from facegen.media.images import resize, write_image
from facegen.media.video_writer import write_video
from tests import tiny
from tests.cli.conftest import Facegen, leftovers


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory, head: RGB) -> Path:
    """Twelve heads of 128 px."""
    folder = tmp_path_factory.mktemp("heads")
    for number in range(12):
        write_image(folder / f"me_{number:02d}.png", resize(np.roll(head, number, axis=1), (128, 128)))
    return folder


def test_stage_1(facegen: Facegen, tiny_recipe: Path, heads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    weights = tiny_recipe.parent / "dcgan"
    words = ("--recipe", tiny_recipe, "--data", heads, "--held-out", 8, "--samples", 5, "--out", out)
    result = facegen("evaluate", weights, *words)
    assert result.exit_code == 0, result.output
    assert "Frechet distance" in result.stdout
    assert "[1] EfficientNet-Lite2" in result.stdout
    assert result.stdout.endswith(f"{out / 'evaluation.json'}\n{out / 'evaluation.html'}\n")
    assert "drawing 5 samples" in result.stderr
    content = json.loads((out / "evaluation.json").read_text())
    assert (content["weights"], content["kind"], len(content["sha256"])) == ("tiny-dcgan", "dcgan", 64)
    assert len(content["figures"]) == 7
    assert content["note"].startswith("FID left out; for it: pip install torch-fidelity")
    assert content["note"] in result.stderr
    assert "data:image/jpeg;base64," in (out / "evaluation.html").read_text()
    assert not leftovers(out)


def test_two_generators(facegen: Facegen, tiny_recipe: Path, heads: Path, tmp_path: Path) -> None:
    other = tiny.save(tmp_path, tiny.generator())
    words = ("--recipe", tiny_recipe, "--data", heads, "--held-out", 8, "--samples", 5, "--out", tmp_path / "out")
    result = facegen("evaluate", tiny_recipe.parent / "dcgan", other, *words)
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    names = [str(tiny_recipe.parent / "dcgan"), str(other)]  # the cards have one name, so the table has the arguments
    for figure in content["figures"]:
        assert list(figure["values"]) == [*names, "held-out", *(f"{name} ratio" for name in names)]
        assert figure["values"][names[0]] == figure["values"][names[1]]
    assert content["weights"] == "tiny-dcgan, tiny-dcgan"
    assert (tmp_path / "out" / "evaluation.html").read_text().count("data:image/jpeg;base64,") == 5


def test_stage_2(
    facegen: Facegen, tiny_recipe: Path, head: RGB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facegen.evaluation.compare.LOW", 32)
    monkeypatch.setattr("facegen.evaluation.portraits.PATCHES", 4)
    for number in range(4):
        write_image(tmp_path / "data" / f"me_{number}.png", resize(np.roll(head, number, axis=1), (256, 256)))
    weights = tiny_recipe.parent / "jnet"
    words = ("--recipe", tiny_recipe, "--data", tmp_path / "data", "--held-out", 3, "--pictures", 2)
    result = facegen("evaluate", weights, *words, "--out", tmp_path / "out", "--groups", "skin")
    assert result.exit_code == 0, result.output
    assert "portrait 2 of 2: " in result.stderr
    groups = json.loads((tmp_path / "out" / "groups.json").read_text())
    assert "all, 2" in groups["figures"][0]["values"]
    assert (tmp_path / "out" / "groups.html").is_file()
    content = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert content["kind"] == "jnet"
    assert {"facegen", "bicubic", "lanczos"} <= set(content["figures"][0]["values"])


@pytest.fixture
def two_films(tmp_path: Path, head: RGB) -> tuple[Path, Path]:
    """A still film as a file, and one that flickers as a folder of frames; 10 frames a second."""
    small, rng = resize(head, (96, 96)), np.random.default_rng(0)
    still = [small] * 4
    write_video(tmp_path / "still.mkv", still, Fraction(10))
    for number, frame in enumerate(still):
        grain = rng.normal(0, 12, (96, 96, 1))
        write_image(tmp_path / "frames" / f"{number}.png", (frame + grain).clip(0, 255).astype(np.uint8))
    return tmp_path / "still.mkv", tmp_path / "frames"


def test_films(facegen: Facegen, two_films: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = facegen("evaluate", *two_films, "--fps", 10, "--threads", 1, "--out", out)
    assert result.exit_code == 0, result.output
    assert "measuring 4 frames of" in result.stderr
    content = json.loads((out / "evaluation.json").read_text())
    names = [str(path) for path in two_films]
    assert content["films"] == ", ".join(names)
    warping, flicker, _, sharpness = (figure["values"] for figure in content["figures"])
    assert warping[names[0]] < 0.1 * warping[names[1]]
    assert flicker[names[0]] < 0.1 * flicker[names[1]]
    assert sharpness[names[0]] < sharpness[names[1]]
    assert (out / "evaluation.html").read_text().count("data:image/jpeg;base64,") == 2
    assert not leftovers(out)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["still.mkv", "frames", "--fps", "12"], "96 × 96 px at 12 fps; only films of one size and frame rate are"),
        (["still.mkv", "still.mkv"], "names the same film twice"),
        (["still.mkv", "dcgan-128"], "still.mkv is a film, dcgan-128 is not; measure weights and films separately."),
        (["still.mkv", "--data", "frames"], "--data has no effect on still.mkv, a film; omit it."),
        (["still.mkv", "--set", "seed=1"], "--set has no effect on still.mkv, a film; omit it."),
        (["dcgan-128"], "dcgan-128: not a film; to measure weights, name a folder of pictures with --data."),
    ],
)
def test_films_that_do_not_fit_in_one_table_are_refused(
    facegen: Facegen, two_films: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str],
    message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    result = facegen("evaluate", *words, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("dcgan", "names the same weights twice; name each once."),
        ("jnet", "holds a jnet; only generators (dcgan) are measured side by side, so measure it alone."),
        ("patchgan", "holds a patchgan, which makes no pictures"),
    ],
)
def test_weights_that_do_not_fit_in_one_table_are_refused(
    facegen: Facegen, tiny_recipe: Path, heads: Path, second: str, message: str
) -> None:
    both = (tiny_recipe.parent / "dcgan", tiny_recipe.parent / second)
    result = facegen("evaluate", *both, "--recipe", tiny_recipe, "--data", heads, "--held-out", 8)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("weights", "words", "status", "message"),
    [
        ("dcgan", [], 2, "say it yourself: --held-out 60."),
        ("patchgan", ["--held-out", "4"], 2, "holds a patchgan, which makes no pictures; name a dcgan or a jnet."),
        ("dcgan", ["--held-out", "4", "--data", "nowhere"], 1, "Error: --data nowhere: no such folder.\n"),
        ("dcgan", ["--held-out", "12"], 1, "of 12 pictures, none to train on matches *; 12 are held out."),
        ("dcgan", ["--held-out", "4"], 2, "5 samples and 4 held-out pictures: expected at least 8 held out"),
        ("dcgan", ["--groups", "skin"], 2, "--groups has no effect on {}, a dcgan; omit it."),
        ("dcgan", ["--damage", "mild"], 2, "--damage has no effect on {}, a dcgan; omit it."),
        ("jnet", ["--samples", "9"], 2, "--samples has no effect on {}, a jnet; omit it."),
        ("jnet", ["--fps", "25"], 2, "--fps has no effect on {}, a jnet; omit it."),
        ("jnet", ["--held-out", "4", "--groups", "none.csv"], 1, "none.csv: cannot be read"),
        ("none", ["--held-out", "4"], 1, "neither shipped nor a folder with a card.toml"),
    ],
)
def test_wrong_values_are_explained(
    facegen: Facegen, tiny_recipe: Path, heads: Path, tmp_path: Path, weights: str, words: list[str], status: int,
    message: str,
) -> None:  # fmt: skip
    measured, samples = tiny_recipe.parent / weights, () if weights == "jnet" else ("--samples", 5)
    common = ("--recipe", tiny_recipe, "--data", heads, *samples, "--out", tmp_path / "out")
    result = facegen("evaluate", measured, *common, *words)
    assert result.exit_code == status
    assert message.format(measured) in result.stderr
    assert not (tmp_path / "out" / "evaluation.json").exists()
