"""What a run would be, without one."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from facegen.data.split import DataConfig
from facegen.errors import TrainingError
from facegen.training.config import OptimizerConfig
from facegen.training.dryrun import PICTURES, STEPS, dry_run
from facegen.training.objectives import Phase
from facegen.training.start import load_training_recipe, make_trainer
from facegen.training.trainer import Trainer
from tests.training.conftest import jnet_recipe

TRAINING = sorted((Path(__file__).parents[2] / "pipelines" / "train").glob("*.toml"))


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_says_what_a_run_would_be_and_writes_nothing(
    make_recipe: Any, head_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = everything(tmp_path)
    recipe = make_recipe(images=10_000, checkpoint_minutes=1e-9, log_images=1, preview_images=1)
    found = dry_run(recipe, head_folder)
    assert everything(tmp_path) == before
    modules = make_trainer(recipe, head_folder, tmp_path / "run").objective.modules
    assert found.parameters == {name: sum(p.numel() for p in m.parameters()) for name, m in modules.items()}
    assert found.parameters["generator"] == found.parameters["average"] > 1000
    side = 128 if recipe.kind == "dcgan" else recipe.side
    assert (found.pictures, found.picture_bytes) == (3, 3 * side * side * 3)
    assert found.images_per_second > 0
    assert found.seconds == pytest.approx(10_000 / found.images_per_second)
    assert found.peak_bytes > 2**26  # PyTorch alone takes as much


def test_times_steps_that_teach_both_networks(head_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[int, str]] = []
    take = Trainer._take

    def note(trainer: Trainer, phase: Phase, *rest: Any) -> None:
        taken.append((trainer.step, phase.name))
        take(trainer, phase, *rest)

    monkeypatch.setattr(Trainer, "_take", note)
    late = jnet_recipe().model_copy(update={"optimizer": OptimizerConfig(generator_from=15)})
    dry_run(late, head_folder)
    steps = range(8, 8 + 1 + STEPS)  # of 2 images
    assert taken == [(step, name) for step in steps for name in ("discriminator", "generator")]


def test_speed_is_that_of_the_steps_after_the_first(head_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    seconds = iter([100.0, 1.0, 2.0, 1.0])  # the first one warms up
    monkeypatch.setattr("facegen.training.dryrun.time.perf_counter", lambda: clock[0])
    monkeypatch.setattr(Trainer, "train_step", lambda _: clock.append(clock.pop() + next(seconds)))
    found = dry_run(jnet_recipe(images=30), head_folder)
    assert found.images_per_second == pytest.approx(STEPS * 2 / 4)
    assert found.seconds == pytest.approx(20)


def test_reads_a_few_pictures_and_counts_all(head_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "train_step", lambda _: None)
    for number in range(PICTURES + 1):
        (head_folder / f"z{number}.png").write_bytes(b"no picture")
    warnings: list[str] = []
    assert dry_run(jnet_recipe(), head_folder, warn=warnings.append).pictures == 3 + PICTURES + 1
    assert len(warnings) == PICTURES - 3
    few = jnet_recipe().model_copy(update={"data": DataConfig(limit=2)})
    assert dry_run(few, head_folder).pictures == 2


def test_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no such folder"):
        dry_run(jnet_recipe(), tmp_path / "none")


@pytest.mark.parametrize("path", TRAINING, ids=lambda path: path.stem)
class TestShippedRecipes:
    def test_states_every_value(self, path: Path) -> None:
        recipe = load_training_recipe(path)
        stated = tomllib.loads(path.read_text(encoding="utf-8"))
        for table, values in recipe.model_dump(mode="json", exclude_none=True).items():
            if table == "discriminator" and stated.get("plain"):
                continue  # the plain one stands in its place
            missing = set(values) - set(stated[table]) if isinstance(values, dict) else set()
            assert missing <= {"limit"}, f"[{table}]"

    def test_trains_a_step(self, path: Path, head_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("facegen.training.dryrun.STEPS", 1)
        overrides = ["run.batch=2"]
        if load_training_recipe(path).kind in ("srgan", "unet"):
            overrides += ["side=96", "pairs.crop=32"]  # the networks are full-size, the pictures need not be
        found = dry_run(load_training_recipe(path, overrides), head_folder)
        assert found.parameters["generator"] == found.parameters["average"] > 700_000
        assert found.images_per_second > 0
