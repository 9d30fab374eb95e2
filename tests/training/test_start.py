"""From recipe and folder to a trainer: what is refused, what is written."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from facegen.data.split import DataConfig
from facegen.errors import RecipeError, TrainingError, WeightsError
from facegen.models.jnet import JNet
from facegen.training.config import DCGANRecipe, OptimizerConfig
from facegen.training.distributed import alone_in, make_fabric
from facegen.training.objectives import Phase
from facegen.training.publish import publish
from facegen.training.start import (
    PICTURES,
    RESOLVED,
    STEPS,
    dry_run,
    load_training_recipe,
    make_trainer,
    resolved_recipe,
)
from facegen.training.trainer import Trainer
from facegen.weights import load_network
from tests.training.conftest import dcgan_recipe, jnet_recipe

PIPELINES = Path(__file__).parents[2] / "pipelines" / "train"


def test_run_folder_holds_the_recipe_it_was_made_with(make_recipe: Any, head_folder: Path, tmp_path: Path) -> None:
    recipe = make_recipe(batch=1, images=1)
    make_trainer(recipe, head_folder, tmp_path / "deep" / "run").run()
    assert resolved_recipe(tmp_path / "deep" / "run") == recipe


def test_a_run_that_is_refused_changes_nothing_of_the_one_at_work(head_folder: Path, tmp_path: Path) -> None:
    make_trainer(jnet_recipe(images=2), head_folder, tmp_path / "run").run()
    before = (tmp_path / "run" / "recipe.toml").read_bytes()
    second = make_trainer(jnet_recipe(images=4, seed=9), head_folder, tmp_path / "run", resume=True)
    with alone_in(tmp_path / "run"), pytest.raises(TrainingError, match="another process is training here"):
        second.run()
    assert (tmp_path / "run" / "recipe.toml").read_bytes() == before


def test_folder_in_use_is_refused(head_folder: Path, tmp_path: Path) -> None:
    make_trainer(jnet_recipe(), head_folder, tmp_path / "run").save()
    with pytest.raises(TrainingError, match=r"run: holds a run already; add --resume .* or choose another --out"):
        make_trainer(jnet_recipe(), head_folder, tmp_path / "run")


@pytest.mark.parametrize("exists", [True, False])
def test_nothing_to_resume_is_reported_before_pictures_are_read(tmp_path: Path, exists: bool) -> None:
    if exists:
        (tmp_path / "run").mkdir()
    with pytest.raises(TrainingError, match="no checkpoint to resume from; omit --resume to begin"):
        make_trainer(jnet_recipe(), tmp_path / "no pictures", tmp_path / "run", resume=True)
    assert (tmp_path / "run").exists() == exists


def test_torchrun_gives_the_same_command_at_first_and_again(
    head_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabric = make_fabric(device="cpu")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    assert make_trainer(jnet_recipe(), head_folder, tmp_path / "run", resume=True, fabric=fabric).images_seen == 0


def test_nothing_to_train_on_leaves_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no such folder"):
        make_trainer(jnet_recipe(), tmp_path / "none", tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match="of 0 pictures, none to train on"):
        make_trainer(jnet_recipe(), tmp_path / "empty", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_file_in_the_way_is_named(head_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(TrainingError, match=r"run: cannot be made a run folder .*choose another --out"):
        make_trainer(jnet_recipe(), head_folder, tmp_path / "run")


def test_deeper_j_net_begins_where_the_shallow_one_stopped(head_folder: Path, tmp_path: Path) -> None:
    recipe = jnet_recipe(images=16)
    make_trainer(jnet_recipe(), head_folder, tmp_path / "run").run()
    publish(tmp_path / "run", "shallow", tmp_path, recipe_name="x")
    deep, other = (
        recipe.model_copy(update={"generator": recipe.generator.model_copy(update=changes)})
        for changes in ({"trunk": 2}, {"decoder_depths": (2,) * 6})
    )
    trainer = make_trainer(deep, head_folder, tmp_path / "deep", begin_with=str(tmp_path / "shallow"))
    known, _ = load_network(str(tmp_path / "shallow"), JNet)
    stack = torch.rand(1, 6, 8, 8, generator=torch.Generator().manual_seed(0))
    for network in trainer.objective.ema:
        torch.testing.assert_close(network(stack), known(stack))
    with pytest.raises(WeightsError, match=r"shallow: not of the shape that the recipe gives the network"):
        make_trainer(other, head_folder, tmp_path / "other", begin_with=str(tmp_path / "shallow"))


def test_shipped_j_net_is_of_the_shape_that_its_recipe_gives(head_folder: Path, tmp_path: Path) -> None:
    recipe = load_training_recipe(PIPELINES / "jnet-8x.toml")
    trainer = make_trainer(recipe, head_folder, tmp_path / "run", begin_with="jnet-8x")
    assert trainer.step == 166_592 // recipe.run.batch
    few = recipe.model_copy(update={"run": recipe.run.model_copy(update={"images": 166_592})})
    with pytest.raises(TrainingError, match=r"jnet-8x: has seen 166,592 images, and they count: end later"):
        make_trainer(few, head_folder, tmp_path / "few", begin_with="jnet-8x")
    shipped, _ = load_network("jnet-8x", JNet)
    for network in trainer.objective.ema:
        assert all(torch.equal(network.state_dict()[key], value) for key, value in shipped.state_dict().items())


def test_unusable_pictures_are_reported(head_folder: Path, tmp_path: Path) -> None:
    (head_folder / "z.png").write_bytes(b"no picture")
    warnings: list[str] = []
    make_trainer(jnet_recipe(), head_folder, tmp_path / "run", warn=warnings.append)
    assert len(warnings) == 1
    assert "z.png" in warnings[0]


def test_resolved_recipe_of_another_folder(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=f"not a run folder, it has no {RESOLVED}"):
        resolved_recipe(tmp_path)
    (tmp_path / RESOLVED).write_text("{", encoding="utf-8")
    with pytest.raises(RecipeError, match="not a readable TOML file"):
        resolved_recipe(tmp_path)


def test_kind_chooses_the_recipe(write_toml: Callable[[str], Path]) -> None:
    recipe = load_training_recipe(write_toml('kind = "dcgan"\n[run]\nbatch = 4\n'), ["run.seed=7"])
    assert isinstance(recipe, DCGANRecipe)
    assert (recipe.run.batch, recipe.run.seed) == (4, 7)


TRAINING = sorted(PIPELINES.glob("*.toml"))


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
    assert found.peak_bytes is not None
    assert found.peak_bytes > 2**26  # PyTorch alone takes as much


def test_times_steps_that_teach_both_networks(head_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[int, str]] = []
    take = Trainer._take

    def note(trainer: Trainer, phase: Phase, *rest: Any) -> dict[str, Tensor]:
        taken.append((trainer.step, phase.name))
        return take(trainer, phase, *rest)

    monkeypatch.setattr(Trainer, "_take", note)
    late = jnet_recipe().model_copy(update={"optimizer": OptimizerConfig(generator_from=15)})
    dry_run(late, head_folder)
    steps = range(8, 8 + 1 + STEPS)  # of 2 images
    assert taken == [(step, name) for step in steps for name in ("discriminator", "generator")]


def test_times_every_phase_of_long_intervals(head_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    monkeypatch.setattr(Trainer, "train_step", lambda trainer: steps.append(trainer.step))
    recipe = dcgan_recipe()
    rare = recipe.model_copy(update={"loss": recipe.loss.model_copy(update={"generator_interval": 5})})
    dry_run(rare, head_folder)
    assert len(steps) == 1 + 5


def test_samples_need_two_pictures_to_compare_with(head_folder: Path, tmp_path: Path) -> None:
    recipe = dcgan_recipe().model_copy(update={"data": DataConfig(held_out=1)})
    with pytest.raises(TrainingError, match=r"1 picture to compare samples with, .* see data\.held_out"):
        make_trainer(recipe, head_folder, tmp_path / "run")


def test_speed_is_that_of_the_steps_after_the_first(head_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    seconds = iter([100.0, 1.0, 2.0, 1.0])  # the first one warms up
    monkeypatch.setattr("facegen.training.start.time.perf_counter", lambda: clock[0])
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


@pytest.mark.parametrize("path", TRAINING, ids=lambda path: path.stem)
class TestShippedRecipes:
    def test_states_every_value_and_is_whole_on_a_gpu_too(self, path: Path) -> None:
        recipe = load_training_recipe(path)
        assert load_training_recipe(path, on_gpu=True).kind == recipe.kind
        stated = tomllib.loads(path.read_text(encoding="utf-8"))
        for table, values in recipe.model_dump(mode="json", exclude_none=True).items():
            if table == "discriminator" and stated.get("plain"):
                continue  # the plain one stands in its place
            missing = set(values) - set(stated[table]) if isinstance(values, dict) else set()
            assert missing <= {"limit"}, f"[{table}]"

    def test_trains_a_step(self, path: Path, head_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("facegen.training.start.STEPS", 1)
        overrides = ["run.batch=2"]
        if load_training_recipe(path).kind in ("srgan", "unet"):
            overrides += ["side=96", "pairs.crop=32"]  # the networks are full-size, the pictures need not be
        found = dry_run(load_training_recipe(path, overrides), head_folder)
        assert found.parameters["generator"] == found.parameters["average"] > 700_000
        assert found.images_per_second > 0


def test_network_with_the_strength_as_input_begins_like_one_without(head_folder: Path, tmp_path: Path) -> None:
    recipe = jnet_recipe(images=16)
    make_trainer(jnet_recipe(), head_folder, tmp_path / "run").run()
    publish(tmp_path / "run", "blind", tmp_path, recipe_name="test")
    wider = recipe.generator.model_copy(update={"in_channels": 7, "strength": True})
    changed = recipe.model_copy(update={"generator": wider})
    begun = make_trainer(changed, head_folder, tmp_path / "wide", begin_with=str(tmp_path / "blind")).objective.ema[0]
    blind, _ = load_network(str(tmp_path / "blind"), JNet)
    stack = torch.rand(2, 7, recipe.generator.tile, recipe.generator.tile)
    torch.testing.assert_close(begun(stack), blind(stack[:, :6]))


def test_gpu_tables_count_on_a_gpu_alone_and_overrides_after_them() -> None:
    path = PIPELINES / "jnet-8x.toml"
    here, there = (load_training_recipe(path, on_gpu=on_gpu) for on_gpu in (False, True))
    assert (here.run.batch, there.run.batch) == (4, 64)
    assert there.optimizer.learning_rate == 2 * here.optimizer.learning_rate
    assert there.optimizer.betas == here.optimizer.betas
    assert load_training_recipe(path, ["run.batch=8"], on_gpu=True).run.batch == 8


@pytest.mark.parametrize("text", ["gpu = 1", "[gpu]\nbatch = 64", "side = 768\n[gpu.side]\nbatch = 64"])
def test_gpu_tables_are_tables(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.toml").write_text(f'kind = "jnet"\n{text}\n', encoding="utf-8")
    with pytest.raises(RecipeError, match=r"gpu holds more than tables of the recipe; expected \[gpu\.run\]"):
        load_training_recipe(tmp_path / "a.toml", on_gpu=True)
