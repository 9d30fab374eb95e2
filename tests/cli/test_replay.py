"""`facegen replay`: the same bytes, or an error that says what is not as it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from facegen.arrays import RGB
from facegen.media.images import picture_text, read_image, write_image
from facegen.media.record import RECORD_KEY
from tests.cli.conftest import Facegen, leftovers


@pytest.fixture
def own_recipe(tiny_recipe: Path, tmp_path: Path) -> Path:
    """A copy of the recipe, to be changed."""
    return Path(shutil.copy(tiny_recipe, tmp_path / "own.toml"))


def draw(facegen: Facegen, recipe: Path, folder: Path, *words: object) -> Path:
    """Draw one small sample."""
    result = facegen("sample", "--size", 256, "--recipe", recipe, "--out", folder, *words)
    assert result.exit_code == 0, result.stderr
    return Path(result.stdout.splitlines()[0])


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_a_sample_to_the_byte(facegen: Facegen, tiny_recipe: Path, tmp_path: Path, suffix: str) -> None:
    words = ("--seeds", 5, "--format", suffix, "--set", "truncation=0.7", "--set", "fidelity=0.5")
    picture = draw(facegen, tiny_recipe, tmp_path / "out", *words)
    result = facegen("replay", picture, "--out", tmp_path / "again")
    assert result.exit_code == 0, result.stderr
    made = tmp_path / "again" / f"seed0005-256-replay.{suffix}"
    assert result.stdout == f"{made}\n"
    assert made.read_bytes() == picture.read_bytes()
    assert not leftovers(tmp_path)


@pytest.mark.parametrize(
    "words",
    [["--scale", 2], ["--aligned", "--size", 300], ["--crop", "--size", 200], ["--scale", 1, "--format", "jpg"]],
)
def test_a_photo_to_the_byte(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, head: RGB, words: list[object]
) -> None:
    photo = write_image(tmp_path / "it's me.png", head)
    result = facegen("upres", photo, *words, "--recipe", tiny_recipe, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    [picture] = (tmp_path / "out").iterdir()
    again = facegen("replay", picture, "--source", photo, "--out", tmp_path / "again")
    assert again.exit_code == 0, again.stderr
    [made] = (tmp_path / "again").iterdir()
    assert made.read_bytes() == picture.read_bytes()


def test_a_renamed_source_and_a_renamed_picture(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, head: RGB
) -> None:
    photo = write_image(tmp_path / "photo.png", head)
    facegen("upres", photo, "--aligned", "--size", 256, "--recipe", tiny_recipe, "--out", tmp_path / "out")
    picture = (tmp_path / "out" / "photo-256.png").rename(tmp_path / "out" / "me.png")
    other = photo.rename(tmp_path / "old name.png")
    assert facegen("replay", picture, "--source", other, "--out", tmp_path).exit_code == 0
    assert (tmp_path / "me-replay.png").read_bytes() == picture.read_bytes()
    lost = facegen("replay", picture, "--out", tmp_path)
    assert lost.exit_code == 2
    assert "was made from a photo named 'photo.png'; say with --source where it is." in lost.stderr


def test_source_is_found_next_to_the_picture_by_its_hash(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, head: RGB, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = write_image(tmp_path / "photo.png", head)
    facegen("upres", photo, "--aligned", "--size", 256, "--recipe", tiny_recipe, "--out", tmp_path / "out")
    write_image(tmp_path / "out" / "photo.png", head[::-1])  # of that name, but another
    monkeypatch.chdir(tmp_path)
    result = facegen("replay", tmp_path / "out" / "photo-256.png")
    assert result.exit_code == 0, result.stderr
    wrong = facegen("replay", tmp_path / "out" / "photo-256.png", "--source", tmp_path / "out" / "photo.png")
    assert wrong.exit_code == 2
    assert "is not the photo that" in wrong.stderr


def test_other_weights_are_refused_by_name(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_recipe.parent / "jnet", tmp_path / "jnet")
    picture = draw(facegen, tiny_recipe, tmp_path, "--set", f"weights.upscaler={tmp_path / 'jnet'}")
    card = tmp_path / "jnet" / "card.toml"
    card.write_text(card.read_text().replace('sha256 = "', 'sha256 = "f'))
    result = facegen("replay", picture, "--out", tmp_path / "again")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: weights '{tmp_path / 'jnet'}': their SHA-256 is f")
    assert not (tmp_path / "again").exists()


def test_a_changed_recipe_is_reported(facegen: Facegen, own_recipe: Path, tmp_path: Path) -> None:
    picture = draw(facegen, own_recipe, tmp_path / "out")
    own_recipe.write_text("fidelity = 0.25\n" + own_recipe.read_text())
    result = facegen("replay", picture, "--out", tmp_path / "again")
    made = tmp_path / "again" / "seed0000-256-replay.png"
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"Error: {made}: not the same bytes as {picture}: ")
    assert "recipe.fidelity: 1.0, now 0.25; samples differ by at most " in result.stderr
    assert made.is_file()


def test_a_picture_saved_again_is_reported(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    picture = draw(facegen, tiny_recipe, tmp_path)
    brighter = read_image(picture).rgb // 2
    write_image(picture, brighter, text=picture_text(picture))
    result = facegen("replay", picture, "--out", tmp_path / "again")
    assert result.exit_code == 1
    assert "the records are the same; samples differ by at most " in result.stderr


def test_a_picture_without_a_record(facegen: Facegen, tmp_path: Path, head: RGB) -> None:
    result = facegen("replay", write_image(tmp_path / "a.png", head))
    assert result.exit_code == 1
    assert "a.png: has no facegen record" in result.stderr


def test_a_strangers_record_runs_no_other_command(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    picture = draw(facegen, tiny_recipe, tmp_path)
    text = {RECORD_KEY: picture_text(picture)[RECORD_KEY].replace('"sample"', '"train"')}
    write_image(picture, read_image(picture).rgb, text=text)
    result = facegen("replay", picture, "--out", tmp_path / "again")
    assert result.exit_code == 1
    assert "its record names the command 'train', expected sample or upres." in result.stderr


def test_a_film_names_the_command_that_makes_it(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    picture = draw(facegen, tiny_recipe, tmp_path)
    text = {RECORD_KEY: picture_text(picture)[RECORD_KEY].replace('"sample"', '"video"')}
    write_image(picture, read_image(picture).rgb, text=text)
    result = facegen("replay", picture)
    assert result.exit_code == 1
    assert "a film of a walk is not made again by replay; run its command: facegen video" in result.stderr


def test_a_strangers_record_that_draws_nothing(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    picture = draw(facegen, tiny_recipe, tmp_path)
    text = {RECORD_KEY: picture_text(picture)[RECORD_KEY].replace('"--seeds"', '"--help"')}
    write_image(picture, read_image(picture).rgb, text=text)
    result = facegen("replay", picture, "--out", tmp_path / "again")
    assert result.exit_code == 1
    assert "writes no picture" in result.stderr


def test_a_recipe_that_is_gone(facegen: Facegen, own_recipe: Path, tmp_path: Path) -> None:
    picture = draw(facegen, own_recipe, tmp_path / "out")
    own_recipe.unlink()
    result = facegen("replay", picture, "--out", tmp_path / "again")
    assert result.exit_code == 2
    assert result.stderr == f"Error: {own_recipe}: no such recipe file.\n"


def test_source_of_a_sample(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    picture = draw(facegen, tiny_recipe, tmp_path)
    result = facegen("replay", picture, "--source", picture)
    assert result.exit_code == 2
    assert "was not made from a photo; omit --source" in result.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"charm": 0.75}, "with charm = 0.75, which this one does not have"),
        ({"choice": {"method": "first"}}, "with choice.method = 'first', which this one does not have"),
        ({"weights": {"upscaler": ["a", 3]}}, "with weights.upscaler"),
        ({"calm": 0}, None),
    ],
)
def test_a_recipe_of_an_earlier_version(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, change: dict[str, Any], message: str | None
) -> None:
    picture = draw(facegen, tiny_recipe, tmp_path)
    record = json.loads(picture_text(picture)[RECORD_KEY])
    record["recipe"] |= change
    if message is None:
        record["argv"] += ["--set", "calm=0"]
    write_image(picture, read_image(picture).rgb, text={RECORD_KEY: json.dumps(record)})
    result = facegen("replay", picture, "--out", tmp_path / "again")
    assert result.exit_code == 1
    assert (message or "not the same bytes") in result.stderr
    assert (tmp_path / "again").exists() == (message is None)
