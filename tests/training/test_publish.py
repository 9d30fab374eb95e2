"""From a run folder to weights that the pipeline loads."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from facegen.cli.main import cli
from facegen.errors import TrainingError, UsageError
from facegen.models.dcgan import DCGANGenerator
from facegen.models.discriminators import PatchDiscriminator
from facegen.models.jnet import JNet
from facegen.pipeline import FacePipeline
from facegen.training.checkpoints import checkpoints
from facegen.training.publish import LICENCE, publish
from facegen.training.start import RESOLVED, SOURCES, make_trainer
from facegen.weights import load_network, read_card
from tests.training.conftest import RECIPES

Runs = dict[str, Path]


def train(kind: str, head: Any, folder: Path, **run: Any) -> Path:
    """Two steps of two pictures."""
    from facegen.media.images import write_image

    for name, picture in (("studio_1", head), ("studio_2", head // 2), ("web_1", 255 - head)):
        write_image(folder / "data" / f"{name}.png", picture)
    recipe: Any = RECIPES[kind](images=4, **run)
    make_trainer(recipe, folder / "data", folder / kind).run()
    return folder / kind


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, head: Any) -> Runs:
    return {kind: train(kind, head, tmp_path_factory.mktemp("run")) for kind in RECIPES}


@pytest.fixture(autouse=True)
def few_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facegen.training.publish.CALIBRATION_LATENTS", 256)


@pytest.fixture
def run(runs: Runs, tmp_path: Path) -> Path:
    """A copy of the stage 2 run, to do harm to."""
    return Path(shutil.copytree(runs["jnet"], tmp_path / "run"))


def batchnorms(net: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]


def test_published_runs_make_a_pipeline(runs: Runs, tmp_path: Path) -> None:
    for kind, path in runs.items():
        publish(path, f"my-{kind}", tmp_path, recipe_name="mine.toml")
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        'kind = "pipeline"\nprecision = "fp32"\ntiles.overlap = 4\nchoice.scorers.discriminator = 1.0\n'
        f'[weights]\ngenerator = "{tmp_path}/my-dcgan"\nupscaler = "{tmp_path}/my-jnet"\n'
        f'discriminator = "{tmp_path}/training/my-jnet-patchgan"\n'
    )
    upscaled = FacePipeline.load(recipe).sample(0, 128)
    assert upscaled.image.shape == (3, 128, 128)
    assert upscaled.fit >= 40


def test_cards_say_where_the_weights_come_from(runs: Runs, tmp_path: Path) -> None:
    folders = publish(runs["jnet"], "x", tmp_path, recipe_name="pipelines/train/x.toml")
    assert folders == [tmp_path / "x", tmp_path / "training" / "x-patchgan"]
    cards = [read_card(folder) for folder in folders]
    assert [(card.name, card.kind, card.guide) for card in cards] == [
        ("x", "jnet", "rgb"),
        ("x-patchgan", "patchgan", "rgb"),
    ]
    for folder, card in zip(folders, cards, strict=True):
        assert card.recipe == "pipelines/train/x.toml"
        assert card.images_seen == 4
        assert card.sources == ("studio: 2", "web: 1")
        assert card.licence == LICENCE
        assert card.limits
        assert (folder / RESOLVED).read_bytes() == (runs["jnet"] / RESOLVED).read_bytes()


def test_the_average_is_published_and_the_discriminator(runs: Runs, tmp_path: Path) -> None:
    publish(runs["jnet"], "x", tmp_path, recipe_name="")
    modules = torch.load(checkpoints(runs["jnet"])[-1], weights_only=True)["modules"]
    published = {"average": load_network(str(tmp_path / "x"), JNet)[0]}
    published["discriminator"] = load_network(str(tmp_path / "training" / "x-patchgan"), PatchDiscriminator)[0]  # type: ignore[assignment]
    for name, net in published.items():
        for key, value in net.state_dict().items():
            torch.testing.assert_close(value, modules[name][key], rtol=1e-3, atol=1e-6, msg=f"{name} {key}")
    assert any(not torch.equal(modules["average"][key], value) for key, value in modules["generator"].items())


def test_batchnorm_is_measured_anew(runs: Runs, tmp_path: Path) -> None:
    publish(runs["dcgan"], "x", tmp_path, recipe_name="")
    average = torch.load(checkpoints(runs["dcgan"])[-1], weights_only=True)["modules"]["average"]
    net, _ = load_network(str(tmp_path / "x"), DCGANGenerator)
    torch.testing.assert_close(net.stem[0].weight, average["stem.0.weight"], rtol=1e-3, atol=1e-6)
    assert not torch.allclose(net.ups[0][1].running_var, average["ups.0.1.running_var"], rtol=0.01)  # type: ignore[index]


def test_publishing_twice_gives_the_same_files(runs: Runs, tmp_path: Path) -> None:
    for kind, path in runs.items():
        first, second = (publish(path, kind, tmp_path / name, recipe_name="") for name in "ab")
        for one, other in zip(first, second, strict=True):
            assert read_card(one).sha256 == read_card(other).sha256


def test_weights_of_another_run_are_not_replaced(runs: Runs, tmp_path: Path) -> None:
    for _ in range(2):
        publish(runs["jnet"], "x", tmp_path, recipe_name="runs/a/recipe.toml")
    before = read_card(tmp_path / "x")
    with pytest.raises(UsageError, match=r"x: holds weights of runs/a/recipe.toml; choose another name or --out"):
        publish(runs["jnet"], "x", tmp_path, recipe_name="runs/b/recipe.toml")
    assert read_card(tmp_path / "x") == before


# --- what is wrong with a run


def test_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"nowhere: not a run folder, it has no recipe\.toml"):
        publish(tmp_path / "nowhere", "x", tmp_path, recipe_name="")


def test_no_checkpoint_yet(run: Path, tmp_path: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(TrainingError, match=r"run: there is no checkpoint to publish yet\."):
        publish(run, "x", tmp_path, recipe_name="")


@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_damaged_checkpoint(run: Path, tmp_path: Path, keep: int) -> None:
    path = checkpoints(run)[-1]
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(TrainingError, match=r"000000004\.pt: damaged, or not of the run's recipe"):
        publish(run, "x", tmp_path / "out", recipe_name="")
    assert not (tmp_path / "out").exists()


def test_checkpoint_of_another_recipe(run: Path, tmp_path: Path) -> None:
    text = (run / RESOLVED).read_text()
    assert "encoder_width = 0.25" in text
    (run / RESOLVED).write_text(
        text.replace("encoder_width = 0.25", "encoder_width = 1.0").replace("    8,\n", "    24,\n")
    )
    with pytest.raises(TrainingError, match=r"not of the run's recipe \(.*size mismatch"):
        publish(run, "x", tmp_path, recipe_name="")


@pytest.mark.parametrize("content", [None, b"= broken"])
def test_lost_sources(run: Path, tmp_path: Path, content: bytes | None) -> None:
    (run / SOURCES).unlink()
    if content is not None:
        (run / SOURCES).write_bytes(content)
    with pytest.raises(TrainingError, match=r"sources\.toml: cannot be read"):
        publish(run, "x", tmp_path, recipe_name="")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "-x", "a b"])
def test_names_of_folders_alone(runs: Runs, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"name .*: expected letters, digits"):
        publish(runs["jnet"], name, tmp_path, recipe_name="")


# --- the command


def test_command(runs: Runs, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["publish", str(runs["jnet"]), "mine", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [str(tmp_path / "mine"), str(tmp_path / "training" / "mine-patchgan")]
    assert read_card(tmp_path / "mine").recipe == str(runs["jnet"] / RESOLVED)


def test_command_explains_itself(runs: Runs, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    below = CliRunner().invoke(cli, ["publish", str(runs["jnet"]), "mine", "--out", str(tmp_path / "file")])
    assert (below.exit_code, below.stderr) == (
        1, f"Error: {tmp_path}/file/mine: cannot be written (Not a directory); choose another folder.\n",
    )  # fmt: skip
    wrong = CliRunner().invoke(cli, ["publish", str(runs["jnet"]), "a/b", "--out", str(tmp_path)])
    assert wrong.exit_code == 2
