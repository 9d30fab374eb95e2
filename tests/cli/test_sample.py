"""`facegen sample`: the files that it writes, and its errors about wrong values."""

from __future__ import annotations

import hashlib
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from facegen.arrays import to_rgb
from facegen.media.images import picture_facts, picture_text, read_image, resize
from facegen.media.record import read_record
from facegen.pipeline import FacePipeline
from tests.cli.conftest import Facegen, leftovers


def test_files_are_named_and_listed(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    result = facegen("sample", "--seeds", "7,0-1,1", "--size", 256, "--recipe", tiny_recipe, "--out", tmp_path / "a b")
    assert result.exit_code == 0, result.output
    names = ["seed0007-256.png", "seed0000-256.png", "seed0001-256.png"]
    assert result.stdout.splitlines() == [str(tmp_path / "a b" / name) for name in names]
    assert result.stderr == ""
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == sorted(names)


def test_the_picture_is_the_pipelines(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    facegen("sample", "--seeds", "3,4", "--size", 256, "--recipe", tiny_recipe, "--out", tmp_path)
    expected = to_rgb(FacePipeline.load(tiny_recipe).sample(4, 256).image)
    assert np.array_equal(read_image(tmp_path / "seed0004-256.png").rgb, expected)


@pytest.mark.parametrize("size", [1, 100, 300])
def test_any_size(facegen: Facegen, tiny_recipe: Path, tmp_path: Path, size: int) -> None:
    facegen("sample", "--size", size, "--recipe", tiny_recipe, "--out", tmp_path)
    assert read_image(tmp_path / f"seed0000-{size}.png").rgb.shape == (size, size, 3)


def test_larger_pictures_are_upscaled_again_and_say_where_detail_ends(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facegen.pipeline.AGAIN_SIDE", 112)
    said = "--size 1000: detail ends at 896 px; the picture is enlarged from that by Lanczos.\n"
    drawn = to_rgb(FacePipeline.load(tiny_recipe).sample(0, 1000).image)
    assert drawn.shape == (896, 896, 3)
    for size, stderr in ((1000, said), (800, "")):
        assert facegen("sample", "--size", size, "--recipe", tiny_recipe, "--out", tmp_path).stderr == stderr
        assert np.array_equal(read_image(tmp_path / f"seed0000-{size}.png").rgb, resize(drawn, (size, size)))


def test_text_in_the_file_makes_it_again(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "with space.toml"
    shutil.copy(tiny_recipe, recipe)
    changes = ("--set", "choice.scorers={ laplacian = 1.0, contrast = -0.5 }", "--set", "truncation=0.7")
    facegen("sample", "--seeds", "5,6", "--size", 256, "--recipe", recipe, "--out", tmp_path / "a", *changes)
    text = picture_text(tmp_path / "a" / "seed0006-256.png")
    assert float(text["fit"].removesuffix(" dB")) >= 40
    words = shlex.split(text["facegen"])
    assert words[:3] == ["sample", "--seeds", "6"]
    assert facegen(*words, "--out", tmp_path / "b").exit_code == 0
    first, second = ((tmp_path / folder / "seed0006-256.png").read_bytes() for folder in "ab")
    assert first == second


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "avif", "tif"])
def test_every_format_carries_record_and_label(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, suffix: str
) -> None:
    words = ("--seeds", 2, "--size", 256, "--format", suffix, "--grid")
    result = facegen("sample", *words, "--recipe", tiny_recipe, "--out", tmp_path)
    names = [f"seed0002-256.{suffix}", f"grid-256.{suffix}"]
    assert result.stdout.splitlines() == [str(tmp_path / name) for name in names]
    facts = [picture_facts(tmp_path / name) for name in names]
    assert [fact.source_type for fact in facts] == ["trainedAlgorithmicMedia"] * 2
    assert facts[1].text["facegen"].split()[-1] == "--grid"
    record = read_record(tmp_path / names[0])
    z = FacePipeline.load(tiny_recipe).latent(2)
    assert (record.seed, record.z) == (2, hashlib.sha256(z.numpy().tobytes()).hexdigest())


def test_explain(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    words = ("--size", 256, "--explain", "--recipe", tiny_recipe, "--out", tmp_path)
    result = facegen("sample", *words)
    assert result.exit_code == 0, result.stderr
    written = [Path(line) for line in result.stdout.splitlines()]
    assert written[0].name == "seed0000-256.png"
    assert {path.suffix for path in written[1:]} == {".png", ".json"}
    assert sorted(tmp_path.iterdir()) == sorted(written)


def test_grid(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    result = facegen("sample", "--seeds", "0-3", "--size", 64, "--grid", "--recipe", tiny_recipe, "--out", tmp_path)
    assert result.stdout.splitlines()[-1] == str(tmp_path / "grid-64.png")
    assert read_image(tmp_path / "grid-64.png").rgb.shape == (548, 516, 3)  # a line of 16 px names the seed below each


def test_stages(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    result = facegen("sample", "--size", 384, "--stages", "--recipe", tiny_recipe, "--out", tmp_path)
    folder = tmp_path / "seed0000-384-stages"
    assert str(folder) in result.stdout.splitlines()
    stages = ("face", "low-res", "guide", "tiles", "candidates", "chosen", "blended", "final")
    names = [f"{number}-{name}.png" for number, name in enumerate(stages, start=1)]
    assert sorted(path.name for path in folder.iterdir()) == names
    final, blended = (read_image(folder / name).rgb for name in ("8-final.png", "7-blended.png"))
    assert np.array_equal(final, read_image(tmp_path / "seed0000-384.png").rgb)
    assert final.shape == blended.shape == (384, 384, 3)
    assert not np.array_equal(final, blended)


@pytest.mark.parametrize("name", ["seed0000-64.png", "grid-64.png", "seed0000-64-explain.json"])
def test_files_of_other_programs_are_kept(facegen: Facegen, tiny_recipe: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    words = ["sample", "--size", 64, "--grid", "--explain", "--recipe", tiny_recipe, "--out", tmp_path]
    result = facegen(*words)
    assert result.exit_code == 1
    assert f"{tmp_path / name}: is there already, and not written by facegen; add --overwrite" in result.stderr
    assert (tmp_path / name).read_text() == "mine"
    assert facegen(*words, "--overwrite").exit_code == 0
    assert facegen(*words, "--set", "fidelity=0.5").exit_code == 0  # its own are replaced
    (tmp_path / "seed0000-64.png").unlink()
    (tmp_path / "seed0000-64.png").symlink_to(tmp_path / "nowhere")
    assert facegen(*words).exit_code == 1


def test_one_of_several_seeds_cannot_be_written(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "seed0001-64.png").mkdir()
    result = facegen("sample", "--seeds", "0-2", "--size", 64, "--recipe", tiny_recipe, "--out", tmp_path)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [str(tmp_path / f"seed000{seed}-64.png") for seed in (0, 2)]
    error, summary = result.stderr.splitlines()
    assert error.startswith(f"Error: {tmp_path / 'seed0001-64.png'}: cannot be written (Is a directory)") or (
        "seed0001-64.png: cannot be written" in error
    )
    assert summary == "2 done, 1 failed: 1"
    assert not leftovers(tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "x"], "'x' is neither a seed nor a range; write for example 0,3-7."),
        (["--seeds", "5-3"], "'5-3' runs backwards or holds over 100,000 seeds."),
        (["--seeds", "0-100000"], "'0-100000' runs backwards or holds over 100,000 seeds."),
        (["--seeds", ""], "'' is neither a seed nor a range"),
        (["--seeds", "1,,2"], "'' is neither a seed nor a range"),
        (["--seeds", "-1"], "'-1' is neither a seed nor a range"),
        (["--seeds", "1.5"], "'1.5' is neither a seed nor a range"),
        (["--seeds", "9" * 30], "is neither a seed nor a range"),
        (["--size", "0"], "'0' is not a side in pixels; expected 1 to 8192, as in 768."),
        (["--size", "9000"], "'9000' is not a side in pixels"),
        (["--size", "-5"], "'-5' is not a side in pixels"),
        (["--size", "768px"], "'768px' is not a side in pixels"),
        (["--size", "9" * 5000], "is not a side in pixels"),
        (["--recipe", "nope"], "recipe 'nope': neither a .toml file nor a shipped recipe. Known: "),
        (["--recipe", "portrai"], "nor a shipped recipe; did you mean 'portrait'? Known: "),
        (["--recipe", "nope.toml"], "nope.toml: no such file; check the path."),
        (["--set", "bad"], "--set 'bad': expected key=value, as in --set seed=1"),
        (["--set", "fidelty=1"], 'portrait.toml: unknown key "fidelty"; did you mean "fidelity"?'),
        (["--set", "tiles.overlay=1"], 'portrait.toml: [tiles] unknown key "overlay"; did you mean "overlap"?'),
        (["--set", "choice.scorers.laplace=1"], 'choice.scorers: unknown scorer "laplace"; did you mean "laplacian"?'),
        (["--device", "cdua"], "--device 'cdua'; did you mean 'cuda'? Known: auto, cpu, cuda, mps."),
        (["--device", "cuda:99"], "--device 'cuda:99' cannot be used here"),
        (["--grid=yes"], "Option '--grid' does not take a value"),
    ],
)
def test_wrong_values_are_explained(facegen: Facegen, tmp_path: Path, words: list[str], message: str) -> None:
    result = facegen("sample", "--out", tmp_path / "out", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_typo_in_a_recipe_names_file_key_and_suggestion(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text(tiny_recipe.read_text().replace("precision", "precison"))
    result = facegen("sample", "--recipe", recipe, "--out", tmp_path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f'Error: {recipe}: unknown key "precison"; did you mean "precision"? Known: ')
    assert len(result.stderr.splitlines()) == 1


def test_weights_of_another_hash(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_recipe.parent / "jnet", tmp_path / "jnet")
    with (tmp_path / "jnet" / "model.safetensors").open("ab") as file:
        file.write(b"!")
    result = facegen("sample", "--recipe", tiny_recipe, "--set", f"weights.upscaler={tmp_path / 'jnet'}")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {tmp_path / 'jnet' / 'model.safetensors'}: its SHA-256 is ")
    assert len(result.stderr.splitlines()) == 1


def test_weights_that_are_not_there(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    result = facegen(
        "sample", "--recipe", tiny_recipe, "--out", tmp_path, "--set", "weights.generator=/nowhere/dcgan-128"
    )
    assert result.exit_code == 1
    assert "weights '/nowhere/dcgan-128': neither shipped nor a folder with a card.toml" in result.stderr


def test_out_below_a_file_is_refused_before_anything_is_drawn(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "deep"
    result = facegen("sample", "--seeds", "0-99999", "--recipe", tiny_recipe, "--out", out)
    assert result.exit_code == 1
    assert result.stderr == f"Error: --out {out}: cannot be a folder for results (Not a directory); choose another.\n"


def test_out_is_a_file(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    result = facegen("sample", "--recipe", tiny_recipe, "--out", tmp_path / "file")
    assert result.exit_code == 1
    assert "cannot be a folder for results (File exists)" in result.stderr
    assert (tmp_path / "file").read_text() == "kept"
