"""The script that trains on a machine without a network."""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tomli_w

from facegen.models.jnet import JNet
from facegen.weights import load_network
from gpu import train
from gpu.pack import pack_base, pack_pictures
from gpu.train import Stage, check_python, read_stage, train_command, write_pieces
from tests.training.conftest import jnet_recipe

RECIPE = 'kind = "{}"\n'


def test_a_stage_is_a_recipe_a_time_and_options() -> None:
    assert read_stage("jnet-8x 4m") == Stage("jnet-8x", "jnet-8x", 240, "")
    options = "--set run.batch=64  --set \"data.include=['a b']\""
    assert read_stage(f"mine=a/b.toml 1.5h {options}") == Stage("mine", "a/b.toml", 5400, options)
    assert read_stage("b.toml 9s --set a=b").name == "b"
    for wrong in ("jnet-8x", "jnet-8x 4", "4m", "jnet-8x 4 m"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected"):
            read_stage(wrong)


@pytest.mark.parametrize(("kind", "data", "held_out"), [("dcgan", "faces", 400), ("jnet", "portraits", 60)])
def test_a_stage_trains_on_its_kind_of_pictures_and_resumes(
    tmp_path: Path, kind: str, data: str, held_out: int
) -> None:
    recipe = tmp_path / "code" / "pipelines" / "train" / "mine.toml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text(RECIPE.format(kind))
    stage, run = Stage("x", "mine", 60, "--from jnet-8x --set \"a=1 2\""), tmp_path / "run"
    words = ["train", str(recipe), "--data", str(tmp_path / data), "--out", str(run), "--time", "50s"]
    held = ["--set", f"data.held_out={held_out}"]
    assert train_command(stage, tmp_path, run, 50) == [*words, *held, "--from", "jnet-8x", "--set", "a=1 2"]
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "000000008.pt").touch()
    for options in ("--from jnet-8x --set a=1", "--set a=1 --from=jnet-8x"):
        again = replace(stage, options=options)
        assert train_command(again, tmp_path, run, 50) == [*words, "--resume", *held, "--set", "a=1"]


def test_a_python_that_lacks_something_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_python(tmp_path)
    (tmp_path / "pydantic_core").mkdir()
    compiled = tmp_path / "pydantic_core" / "_pydantic_core.cpython-399-x86_64-linux-gnu.so"
    compiled.touch()
    with pytest.raises(SystemExit, match=r"for which nothing is packed: --python 3\.\d+"):
        check_python(tmp_path)
    monkeypatch.setitem(train.NEEDED, "no_such_module", "no-such-package")
    with pytest.raises(SystemExit, match="lacks no-such-package: install it, or pack it with --package"):
        check_python(tmp_path)


def test_pieces_join_to_the_archive_and_replace_earlier_ones(tmp_path: Path) -> None:
    file = tmp_path / "weights" / "a" / "model.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(range(256)) * 100)
    for limit in (200, 300):
        pieces = write_pieces([file.parent], tmp_path, tmp_path / "pieces" / "a.tar", limit)
        assert sorted((tmp_path / "pieces").iterdir()) == pieces
        assert max(piece.stat().st_size for piece in pieces) <= limit
    assert len(pieces) > 100
    (tmp_path / "back").mkdir()
    subprocess.run("cat ../pieces/a.tar.* | tar x", shell=True, cwd=tmp_path / "back", check=True)
    assert (tmp_path / "back/weights/a/model.safetensors").read_bytes() == file.read_bytes()


@pytest.mark.slow
def test_a_pack_trains_and_comes_back_as_weights(head_folder: Path, tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    pack.mkdir()
    pack_base(pack, (), "3.12")
    pack_pictures(pack, "portraits", head_folder, landmarks=True, limit=2**20)
    recipe = tmp_path / "small.toml"
    recipe.write_text(tomli_w.dumps(jnet_recipe(images=10_000).model_dump(mode="json", exclude_none=True)))
    script = pack / "train.py"
    script.write_bytes(Path(train.__file__).read_bytes())
    stages = ["--stage", f"{recipe} 3s --set data.held_out=1", "--stage", f"late={recipe} 1h --set data.held_out=1"]
    command = [sys.executable, str(script), "--limit", "50", *stages, "--pieces", "pieces"]
    for _ in range(2):  # the second time it goes on
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert "Join them with: cat small.tar.*" in done.stdout, done.stderr
    assert "Training from 0 images" not in done.stdout
    _, card = load_network(str(tmp_path / "results" / "weights" / "small"), JNet)
    assert card.images_seen > 2
