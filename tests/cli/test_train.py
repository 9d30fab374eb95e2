"""`facegen train`: a run from a recipe file, and what it says when there is none to make."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli_w

from facegen.cli.train import _print_stats
from facegen.training.config import JNetRecipe
from tests.cli.conftest import Facegen
from tests.training.conftest import jnet_recipe


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    tiny: JNetRecipe = jnet_recipe(images=4)
    path.write_text(tomli_w.dumps(tiny.model_dump(mode="json", exclude_none=True)))
    return path


def test_train_resume_publish(facegen: Facegen, recipe: Path, head_folder: Path, tmp_path: Path) -> None:
    run = ("train", recipe, "--data", head_folder, "--out", tmp_path / "run")
    first = facegen(*run, "--time", "10m", "--threads", 1)
    assert first.exit_code == 0, first.output
    assert first.stdout.startswith(f"Training from 0 images seen, into {tmp_path / 'run'}.\nstep 2  images 4  ")
    assert first.stdout.endswith(f"Done at 4 images. Publish with: facegen publish {tmp_path / 'run'} NAME\n")
    again = facegen(*run)
    assert again.exit_code == 1
    assert "holds a run already; add --resume to go on with it, or choose another --out." in again.stderr
    resumed = facegen(*run, "--resume", "--set", "run.images=6")
    assert resumed.exit_code == 0, resumed.output
    assert "Training from 4 images seen" in resumed.stdout
    assert "Done at 6 images." in resumed.stdout
    assert facegen("publish", tmp_path / "run", "mine", "--out", tmp_path / "weights").exit_code == 0


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--data", "nowhere", "--out", "run"], 1, "Error: --data nowhere: no such folder.\n"),
        (["--data", ".", "--out", "run", "--resume"], 1, "run: there is no checkpoint to resume from"),
        (["--data", ".", "--out", "run", "--set", "run.batches=2"], 2, 'unknown key "batches"; did you mean "batch"?'),
        (["--data", ".", "--out", "run", "--time", "10"], 2, "'10' is not a duration; write 90s, 30m or 2h."),
        (["--data", ".", "--out", "run", "--time", "-1h"], 2, "'-1h' is not a duration"),
        (["--data", ".", "--out", "run", "--threads", "0"], 2, "0 is not in the range x>=1"),
        (["--data", "."], 2, "Missing option '--out'"),
        (["--out", "run"], 2, "Missing option '--data'"),
    ],
)
def test_wrong_values_are_explained(
    facegen: Facegen, recipe: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], status: int,
    message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    result = facegen("train", recipe, *words)
    assert result.exit_code == status
    assert message in result.stderr
    assert not (tmp_path / "run").exists()


def test_pipeline_recipe_is_no_training_recipe(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    result = facegen("train", tiny_recipe, "--data", tmp_path, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert f"{tiny_recipe}: kind is 'pipeline', expected one of dcgan, jnet" in result.stderr


def test_counts_are_printed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    _print_stats({"step": 1234567, "loss": 0.123456789})
    assert capsys.readouterr().out == "step 1234567  loss 0.123457\n"
