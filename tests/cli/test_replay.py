"""`facegen replay`: the same bytes, or an error that names the difference."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from facegen.arrays import RGB
from facegen.media.images import picture_text, read_image, write_image
from facegen.media.record import RECORD_KEY
from tests.cli.conftest import Facegen, contents, leftovers


@pytest.fixture
def own_recipe(tiny_recipe: Path, tmp_path: Path) -> Path:
    """A copy of the recipe that a test may change."""
    return Path(shutil.copy(tiny_recipe, tmp_path / "own.toml"))


def draw(facegen: Facegen, recipe: Path, folder: Path, *words: object) -> Path:
    """Draw one small sample."""
    result = facegen("sample", "--size", 256, "--recipe", recipe, "--out", folder, *words)
    assert result.exit_code == 0, result.stderr
    return Path(result.stdout.splitlines()[0])


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "avif", "tif"])
def test_a_sample_to_the_byte(facegen: Facegen, tiny_recipe: Path, tmp_path: Path, suffix: str) -> None:
    words = ("--seeds", 5, "--format", suffix, "--set", "truncation=0.7", "--set", "fidelity=0.5")
    picture = draw(facegen, tiny_recipe, tmp_path / "out", *words)
    result = facegen("replay", "--trust", picture, "--out", tmp_path / "again")
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
    again = facegen("replay", "--trust", picture, "--source", photo, "--out", tmp_path / "again")
    assert again.exit_code == 0, again.stderr
    [made] = (tmp_path / "again").iterdir()
    assert made.read_bytes() == picture.read_bytes()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_recorded_number_of_threads_is_used(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, head: RGB, threads: int
) -> None:
    """Another number would change the last digits of sums, and a few pixel values by 1."""
    photo = write_image(tmp_path / "photo.png", head)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        facegen("upres", photo, "--scale", 4, "--recipe", tiny_recipe, "--out", tmp_path)
    finally:
        torch.set_num_threads(before)
    result = facegen("replay", "--trust", tmp_path / "photo-x4.png", "--out", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert torch.get_num_threads() == before


def test_a_renamed_source_and_a_renamed_picture(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, head: RGB
) -> None:
    photo = write_image(tmp_path / "photo.png", head)
    facegen("upres", photo, "--aligned", "--size", 256, "--recipe", tiny_recipe, "--out", tmp_path / "out")
    picture = (tmp_path / "out" / "photo-256.png").rename(tmp_path / "out" / "me.png")
    other = photo.rename(tmp_path / "old name.png")
    assert facegen("replay", "--trust", picture, "--source", other, "--out", tmp_path).exit_code == 0
    assert (tmp_path / "me-replay.png").read_bytes() == picture.read_bytes()
    lost = facegen("replay", "--trust", picture, "--out", tmp_path)
    assert lost.exit_code == 2
    assert "was made from a photo named 'photo.png'; say with --source where it is." in lost.stderr


def test_source_is_found_next_to_the_picture_by_its_hash(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, head: RGB, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = write_image(tmp_path / "photo.png", head)
    facegen("upres", photo, "--aligned", "--size", 256, "--recipe", tiny_recipe, "--out", tmp_path / "out")
    write_image(tmp_path / "out" / "photo.png", head[::-1])  # of that name, but another
    monkeypatch.chdir(tmp_path)
    result = facegen("replay", "--trust", tmp_path / "out" / "photo-256.png")
    assert result.exit_code == 0, result.stderr
    wrong = facegen("replay", "--trust", tmp_path / "out" / "photo-256.png", "--source", tmp_path / "out" / "photo.png")
    assert wrong.exit_code == 2
    assert "is not the photo that" in wrong.stderr


def test_other_weights_are_refused_by_name(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_recipe.parent / "jnet", tmp_path / "jnet")
    picture = draw(facegen, tiny_recipe, tmp_path, "--set", f"weights.upscaler={tmp_path / 'jnet'}")
    card = tmp_path / "jnet" / "card.toml"
    card.write_text(card.read_text().replace('sha256 = "', 'sha256 = "f'))
    result = facegen("replay", "--trust", picture, "--out", tmp_path / "again")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: weights '{tmp_path / 'jnet'}': their SHA-256 is f")
    assert not (tmp_path / "again").exists()


def test_the_recipe_is_that_of_the_record(facegen: Facegen, own_recipe: Path, tmp_path: Path) -> None:
    picture = draw(facegen, own_recipe, tmp_path / "out")
    for change in (lambda: own_recipe.write_text("fidelity = 0.25\n" + own_recipe.read_text()), own_recipe.unlink):
        change()
        result = facegen("replay", "--trust", picture, "--out", tmp_path / "again")
        assert result.exit_code == 0, result.stderr


def test_other_values_are_reported(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    picture = draw(facegen, tiny_recipe, tmp_path / "out")
    changed(picture, lambda record: record["recipe"].update(fidelity=0.25))
    result = facegen("replay", "--trust", picture, "--out", tmp_path / "again", "--set", "fidelity=1")
    assert result.exit_code == 2
    result = facegen("replay", "--trust", picture, "--out", tmp_path / "again")
    made = tmp_path / "again" / "seed0000-256-replay.png"
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"Error: {made}: not the same bytes as {picture}: the records are the same; ")
    assert made.is_file()


def test_a_picture_saved_again_is_reported(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    picture = draw(facegen, tiny_recipe, tmp_path)
    brighter = read_image(picture).rgb // 2
    write_image(picture, brighter, text=picture_text(picture))
    result = facegen("replay", "--trust", picture, "--out", tmp_path / "again")
    assert result.exit_code == 1
    assert "the records are the same; pixel values differ by at most " in result.stderr


def test_a_picture_without_a_record(facegen: Facegen, tmp_path: Path, head: RGB) -> None:
    result = facegen("replay", "--trust", write_image(tmp_path / "a.png", head))
    assert result.exit_code == 1
    assert "a.png: has no facegen record" in result.stderr


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train", "its record names the command 'train', expected sample, studio, upres."),
        ("video", "a film of a walk is not made again by replay; run its command: facegen video"),
    ],
)
def test_other_commands_are_not_run(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, command: str, message: str
) -> None:
    picture = draw(facegen, tiny_recipe, tmp_path)
    changed(picture, lambda record: record["argv"].__setitem__(0, command))
    result = facegen("replay", "--trust", picture, "--out", tmp_path / "again")
    assert result.exit_code == 1
    assert message in result.stderr


def changed(picture: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change the record in a picture."""
    record = json.loads(picture_text(picture)[RECORD_KEY])
    change(record)
    return write_image(picture, read_image(picture).rgb, text={RECORD_KEY: json.dumps(record)})


STRANGERS = {
    "another folder": (["--out", "/tmp/elsewhere"], "holds '--out', which replay does not accept."),
    "another picture": (["/etc/passwd"], "holds '/etc/passwd', which replay does not accept."),
    "no options after this": (["--"], "holds '--', which replay does not accept."),
    "more than it has": (["--overwrite"], "holds '--overwrite', which replay does not accept."),
    "no command at all": (["--help"], "holds '--help', which replay does not accept."),
    "an option cut off": (["--size"], "its record is damaged (Invalid value for '--size': '' is not a side"),
    "a size of nothing": (["--size", "0"], "its record is damaged (Invalid value for '--size': '0' is not a side"),
}


@pytest.mark.parametrize("case", STRANGERS)
def test_a_strangers_record_chooses_no_path(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, head: RGB, case: str
) -> None:
    words, message = STRANGERS[case]
    photo = write_image(tmp_path / "photo.png", head)
    facegen("upres", photo, "--aligned", "--size", 256, "--recipe", tiny_recipe, "--out", tmp_path / "out")
    drawn = draw(facegen, tiny_recipe, tmp_path / "out")
    for picture in (tmp_path / "out" / "photo-256.png", drawn):
        changed(picture, lambda record: record["argv"].extend(words))
        before = contents(tmp_path)
        result = facegen("replay", "--trust", picture, "--source", photo, "--out", tmp_path / "again")
        assert result.exit_code == 1
        assert f"Error: {picture}: its record " in result.stderr
        assert message in result.stderr
        assert contents(tmp_path) == before


def test_the_attack_that_overwrote_files(facegen: Facegen, tiny_recipe: Path, tmp_path: Path, head: RGB) -> None:
    """A record without a source, whose command upscales a photo of the user and replaces a file by the result."""
    (tmp_path / "mine").mkdir()
    secret = write_image(tmp_path / "mine" / "secret.png", head)
    (tmp_path / "mine" / "secret-256.png").write_text("a letter")
    picture = draw(facegen, tiny_recipe, tmp_path)
    options = ["--aligned", "--size", "256", "--overwrite", "--out", str(tmp_path / "mine"), "--"]
    changed(picture, lambda record: record.update(argv=["upres", str(secret), *options]))
    before = contents(tmp_path)
    result = facegen("replay", "--trust", picture, "--out", tmp_path / "again")
    assert result.exit_code == 1
    assert "its record is damaged (source)" in result.stderr
    assert contents(tmp_path) == before


def test_weights_from_a_folder_need_trust(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    picture = draw(facegen, tiny_recipe, tmp_path)
    result = facegen("replay", picture, "--out", tmp_path / "again")
    assert result.exit_code == 2
    assert "its record names weights in a folder, '" in result.stderr
    assert "if you trust it, add --trust." in result.stderr
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"argv": []}, "its facegen record is damaged (argv)"),
        ({"seed": -1}, "its facegen record is damaged (seed)"),
        ({"source": {"name": "", "sha256": ""}}, "its facegen record is damaged (source.name)"),
        ({"source": {"name": "a\0b", "sha256": ""}}, "its facegen record is damaged (source.name)"),
        ({"device": "cuda:0; rm -rf"}, "names the device 'cuda:0; rm -rf'; say with --device which to use"),
        ({"recipe": {"kind": None}}, "with a recipe that this version cannot read"),
        ({"recipe": {"kind": "pipeline", "\udce9": 1}}, "its facegen record is damaged"),
    ],
)
def test_a_damaged_record(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    picture = draw(facegen, tiny_recipe, tmp_path)
    changed(picture, lambda record: record.update(values))
    result = facegen("replay", "--trust", picture, "--out", tmp_path / "again")
    assert result.exit_code in (1, 2)
    assert message in result.stderr


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that even root cannot write to")
def test_a_folder_that_cannot_be_written_to(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    picture = draw(facegen, tiny_recipe, tmp_path)
    result = facegen("replay", "--trust", picture, "--out", "/proc/self")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: --out /proc/self: cannot be a folder for results (")


def test_a_file_in_the_way_is_kept(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    picture = draw(facegen, tiny_recipe, tmp_path)
    mine = tmp_path / "seed0000-256-replay.png"
    mine.write_text("mine")
    result = facegen("replay", "--trust", picture, "--out", tmp_path)
    assert result.exit_code == 1
    assert f"{mine}: is there already, and not written by facegen; add --overwrite" in result.stderr
    assert mine.read_text() == "mine"
    for words in (["--overwrite"], []):  # the second time it is facegen's own
        assert facegen("replay", "--trust", picture, "--out", tmp_path, *words).exit_code == 0


def test_source_of_a_sample(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    picture = draw(facegen, tiny_recipe, tmp_path)
    result = facegen("replay", "--trust", picture, "--source", picture)
    assert result.exit_code == 2
    assert "was not made from a photo; omit --source" in result.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"charm": 0.75}, 'with a recipe that this version cannot read: unknown key "charm"'),
        ({"choice": {"method": "first"}}, 'cannot read: [choice] unknown key "method"'),
        ({"weights": {"upscaler": ["a", 3]}}, "cannot read: weights.upscaler"),
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
    result = facegen("replay", "--trust", picture, "--out", tmp_path / "again")
    assert result.exit_code == 1
    assert (message or "not the same bytes") in result.stderr
    assert (tmp_path / "again").exists() == (message is None)
