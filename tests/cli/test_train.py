"""`facegen train`: a run from a recipe file, a dry run, and errors."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import tomli_w
import torch
from lightning_fabric import Fabric

from facegen.cli.train import Count, Duration
from facegen.models.discriminators import PatchDiscriminator
from facegen.models.jnet import JNet
from facegen.training.callbacks import Watchdog, read_stats
from facegen.training.start import load_training_recipe
from facegen.training.trainer import Trainer
from facegen.weights import load_network, save_weights
from tests import tiny
from tests.cli.conftest import Facegen, leftovers
from tests.training.conftest import jnet_recipe

Started = list[tuple[Trainer, float]]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(tomli_w.dumps(jnet_recipe(images=4).model_dump(mode="json", exclude_none=True)))
    return path


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """The trainers that were made, with the seconds for each; none of them trains."""
    found: Started = []
    monkeypatch.setattr(Trainer, "run", lambda trainer, seconds: found.append((trainer, seconds)))
    return found


def test_train_resume_publish(facegen: Facegen, recipe: Path, head_folder: Path, tmp_path: Path) -> None:
    run = ("train", recipe, "--data", head_folder, "--out", tmp_path / "run")
    first = facegen(*run, "--time", "10m", "--threads", 1)
    assert first.exit_code == 0, first.output
    assert first.stderr == ""
    beginning, figures, end = first.stdout.splitlines()
    assert beginning == f"Training from 0 images seen, into {tmp_path / 'run'}."
    assert figures.startswith("step 2  images 4  images_per_second ")
    assert end == f"Done at 4 images. Publish with: facegen publish {tmp_path / 'run'} NAME"
    again = facegen(*run)
    assert again.exit_code == 1
    assert "holds a run already; add --resume to go on with it, or choose another --out." in again.stderr
    resumed = facegen(*run, "--resume", "--images", "6", "--set", "run.preview_images=6")
    assert resumed.exit_code == 0, resumed.output
    assert "Training from 4 images seen" in resumed.stdout
    assert "Done at 6 images." in resumed.stdout
    assert [line["images"] for line in read_stats(tmp_path / "run")] == [4, 6]
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert files >= {"recipe.toml", "stats.jsonl", "samples", "losses.png", "tensorboard", "checkpoints"}
    assert (tmp_path / "run" / "checkpoints" / "best.pt").is_file()
    assert [path.name for path in leftovers(tmp_path / "run")] == [".lock"]
    published = facegen("publish", tmp_path / "run", "mine", "--out", tmp_path / "weights", "--best")
    assert published.exit_code == 0


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--data", "nowhere", "--out", "run"], 1, "Error: --data nowhere: no such folder.\n"),
        (["--data", "nowhere", "--dry-run"], 1, "Error: --data nowhere: no such folder.\n"),
        (["--data", ".", "--out", "run", "--resume"], 1, "run: there is no checkpoint to resume from"),
        (["--data", ".", "--out", "run", "--set", "run.batches=2"], 2, 'unknown key "batches"; did you mean "batch"?'),
        (["--data", ".", "--out", "run", "--time", "10"], 2, "'10' is not a duration; write 90s, 30m or 2h."),
        (["--data", ".", "--out", "run", "--time", "-1h"], 2, "'-1h' is not a duration"),
        (["--data", ".", "--out", "run", "--images", "half"], 2, "'half' is not a number of images; write 800, 500k"),
        (["--data", ".", "--out", "run", "--threads", "0"], 2, "0 is not in the range x>=1"),
        (["--data", ".", "--out", "run", "--devices", "0"], 2, "0 is not in the range x>=1"),
        (["--data", ".", "--out", "run", "--resume", "--from", "jnet-8x"], 2, "--from begins a run and --resume"),
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


def test_a_short_run_leaves_a_sheet(facegen: Facegen, recipe: Path, head_folder: Path, tmp_path: Path) -> None:
    words = ("--images", 2, "--set", "run.preview_images=1000000")
    result = facegen("train", recipe, "--data", head_folder, "--out", tmp_path / "run", *words)
    assert result.exit_code == 0, result.output
    assert [path.name for path in (tmp_path / "run" / "samples").iterdir()] == ["000000002.png"]


def test_a_full_disk_gives_one_line_and_the_run_can_be_resumed(
    facegen: Facegen, recipe: Path, head_folder: Path, tmp_path: Path
) -> None:
    """A limit of 8 kB for a file stands for a full disk; a checkpoint is larger."""
    words = ("train", recipe, "--data", head_folder, "--out", tmp_path / "run")
    assert facegen(*words, "--images", 2).exit_code == 0
    before = everything(tmp_path / "run" / "checkpoints")
    resource = pytest.importorskip("resource", reason="no limits of that kind")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        result = facegen(*words, "--images", 4, "--resume")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert f"{tmp_path / 'run'}: cannot be written (File too large; free some space" in result.stderr
    assert everything(tmp_path / "run" / "checkpoints") == before
    assert facegen(*words, "--images", 4, "--resume").exit_code == 0


def test_shipped_recipes_have_names(
    facegen: Facegen, head_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no such folder" in facegen("train", "dcgan-128", "--data", "nowhere", "--dry-run").stderr
    wrong = facegen("train", "dcgan-182", "--data", head_folder, "--dry-run")
    assert wrong.exit_code == 2
    assert "did you mean 'dcgan-128'?" in wrong.stderr
    assert facegen("train", "x" * 300, "--data", head_folder).exit_code == 2


def test_pipeline_recipe_is_no_training_recipe(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    result = facegen("train", tiny_recipe, "--data", tmp_path, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert f"{tiny_recipe}: kind is 'pipeline', expected one of dcgan, jnet" in result.stderr


@pytest.mark.parametrize("command", ["train", "publish"])
def test_missing_packages_are_named(
    command: str, facegen: Facegen, recipe: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("facegen.cli.options.find_spec", lambda name: None if name == "lightning_fabric" else object())
    words = {"train": (recipe, "--data", tmp_path, "--out", tmp_path / "run"), "publish": (tmp_path, "mine")}
    result = facegen(command, *words[command])
    assert result.exit_code == 1
    assert result.stderr == "Error: lightning-fabric: not installed; pip install 'facegen[train]'\n"


class TestCounts:
    @pytest.mark.parametrize(
        ("text", "number"),
        [("800", 800), ("1", 1), ("500k", 500_000), ("1.5M", 1_500_000), ("1.1k", 1100), ("0.0005M", 500)],
    )
    def test_images(self, text: str, number: int) -> None:
        assert Count().convert(text, None, None) == number

    @pytest.mark.parametrize(
        "text",
        ["", "0", "0k", "-5", "1.5", "1.2345k", "0.0001k", "500K", "5m", "1e6", "k", ".5k", " 5", "5 k", "1_000"],
    )
    def test_no_images(self, text: str) -> None:
        with pytest.raises(click.BadParameter, match=r"is not a number of images; write 800, 500k or 1\.5M"):
            Count().convert(text, None, None)

    @pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5h", 5400)])
    def test_durations(self, text: str, seconds: float) -> None:
        assert Duration().convert(text, None, None) == seconds


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_dry_run_prints_the_recipe_and_writes_nothing(
    facegen: Facegen, recipe: Path, head_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (head_folder / "broken.png").write_bytes(b"no picture")
    before = everything(tmp_path)
    result = facegen("train", recipe, "--data", head_folder, "--dry-run", "--images", "500k", "--set", "run.seed=7")
    assert result.exit_code == 0, result.output
    assert everything(tmp_path) == before
    assert "broken.png" in result.stderr
    assert "broken.png" not in result.stdout
    printed, _, figures = result.stdout.rpartition("\n\n")
    (tmp_path / "printed.toml").write_text(printed)
    assert tomllib.loads(printed)["run"]["images"] == 500_000
    assert load_training_recipe(tmp_path / "printed.toml") == jnet_recipe(images=500_000, seed=7)
    expected = [
        r"generator +[\d,]+ parameters", r"discriminator +[\d,]+ parameters", r"average +[\d,]+ parameters",
        r"pictures +4 to train on, 0 MiB in memory", r"memory +[\d,]+ MiB at the peak of a step, without the pictures",
        r"speed +[\d,.]+ images/s here", r"time +[\d,.]+ h for 500,000 images",
    ]  # fmt: skip
    for line, pattern in zip(figures.splitlines(), expected, strict=True):
        assert re.fullmatch(pattern, line)


class TestStart:
    def start(self, facegen: Facegen, *words: object) -> str:
        result = facegen("train", *words)
        assert result.exit_code == 0, result.output
        return result.stdout

    def test_from_published_weights(
        self, facegen: Facegen, recipe: Path, head_folder: Path, tmp_path: Path, started: Started
    ) -> None:
        ours = jnet_recipe()
        torch.manual_seed(123)
        networks: dict[str, Any] = {
            "mine": JNet(ours.generator),
            "mine-patchgan": PatchDiscriminator(ours.discriminator),
        }
        for name, kind, where in (("mine", "jnet", "mine"), ("mine-patchgan", "patchgan", "training/mine-patchgan")):
            config = networks[name].config.model_dump(mode="json")
            save_weights(tmp_path / where, networks[name], tiny.card(kind, config, guide="rgb"))  # type: ignore[arg-type]
        words = ("--data", head_folder, "--out", tmp_path / "run", "--images", "2k", "--from", tmp_path / "mine")
        out = self.start(facegen, recipe, *words)
        ((trainer, _),) = started
        published = load_network(str(tmp_path / "mine"), JNet)[0].state_dict()
        judge = load_network(str(tmp_path / "training/mine-patchgan"), PatchDiscriminator)[0].state_dict()
        expected = {"generator": published, "average": published, "discriminator": judge}
        for name, module in trainer.objective.modules.items():
            for key, value in module.state_dict().items():
                assert torch.equal(value, expected[name][key]), f"{name} {key}"
        assert all(p.requires_grad for p in trainer.objective.modules["generator"].parameters())
        assert trainer.images_seen == 1234  # the card's
        assert "Training from 1234 images seen" in out

    @pytest.mark.parametrize(
        ("weights", "message"),
        [("jnet-9x", "neither shipped nor a folder with a card.toml"), ("jnet-8x", "not of the shape that the recipe")],
    )
    def test_from_weights_that_do_not_fit(
        self, weights: str, message: str, facegen: Facegen, recipe: Path, head_folder: Path, tmp_path: Path
    ) -> None:
        words = ("--data", head_folder, "--out", tmp_path / "run", "--images", "1M", "--from", weights)
        result = facegen("train", recipe, *words)
        assert result.exit_code == 1
        assert message in result.stderr

    def test_a_batch_that_cannot_be_shared(
        self, facegen: Facegen, recipe: Path, head_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Fabric, "launch", lambda _: None)
        run = ("train", recipe, "--data", head_folder, "--out", tmp_path / "run", "--device", "cpu", "--devices", 3)
        result = facegen(*run)
        assert result.exit_code == 1
        assert result.stderr == "Error: run.batch is 2, which 3 processes cannot share equally.\n"

    def test_omitted_pictures_are_reported_once(
        self, facegen: Facegen, recipe: Path, head_folder: Path, tmp_path: Path, started: Started
    ) -> None:
        (head_folder / "[b].png").write_bytes(b"no picture")
        out = self.start(facegen, recipe, "--data", head_folder, "--out", tmp_path / "run", "--time", "2m")
        assert out.count("[b].png") == 1
        assert [seconds for _, seconds in started] == [120]

    @pytest.mark.parametrize(("kind", "bounded"), [("hinge", True), ("wasserstein", False)])
    def test_the_watchdog_depends_on_the_loss(
        self, kind: str, bounded: bool, facegen: Facegen, recipe: Path, head_folder: Path, tmp_path: Path,
        started: Started,
    ) -> None:  # fmt: skip
        self.start(facegen, recipe, "--data", head_folder, "--out", tmp_path / "run", "--set", f"loss.kind={kind}")
        ((trainer, seconds),) = started
        assert seconds == float("inf")
        (watchdog,) = (callback for callback in trainer.callbacks if isinstance(callback, Watchdog))
        assert watchdog.bounded is bounded

    def test_ctrl_c_says_how_to_continue(
        self, facegen: Facegen, recipe: Path, head_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(trainer: Trainer, seconds: float) -> None:
            trainer.step = 3
            trainer.save()
            raise KeyboardInterrupt

        monkeypatch.setattr(Trainer, "run", interrupted)
        result = facegen("train", recipe, "--data", head_folder, "--out", tmp_path / "run")
        assert result.exit_code == 130
        assert result.stdout.endswith("\nSaved at 6 images. To continue, add --resume to the same command.\n")

    def test_ctrl_c_before_the_first_checkpoint(
        self, facegen: Facegen, recipe: Path, head_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(trainer: Trainer, seconds: float) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(Trainer, "run", interrupted)
        result = facegen("train", recipe, "--data", head_folder, "--out", tmp_path / "run")
        assert result.exit_code == 130
        assert result.stdout.endswith("\nNothing is saved yet.\n")


def test_the_group_of_processes_ends_with_the_command(facegen: Facegen, recipe: Path, tmp_path: Path) -> None:
    """Otherwise gloo's threads sometimes abort Python when it exits."""
    (tmp_path / "empty").mkdir()
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    failed = facegen("train", recipe, "--data", tmp_path / "empty", "--out", tmp_path / "run", "--device", "cpu")
    assert (failed.exit_code, torch.distributed.is_initialized()) == (1, False)
    assert "none to train on" in failed.stderr
