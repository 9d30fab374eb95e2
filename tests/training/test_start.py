"""From recipe and folder to a trainer: what is refused, what is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from facegen.errors import RecipeError, TrainingError, WeightsError
from facegen.models.jnet import JNet
from facegen.training.config import DCGANRecipe
from facegen.training.publish import publish
from facegen.training.start import RESOLVED, load_training_recipe, make_trainer, resolved_recipe
from facegen.weights import load_network
from tests.training.conftest import jnet_recipe


def test_run_folder_holds_the_recipe_it_was_made_with(make_recipe: Any, head_folder: Path, tmp_path: Path) -> None:
    recipe = make_recipe(batch=1)
    make_trainer(recipe, head_folder, tmp_path / "deep" / "run")
    assert resolved_recipe(tmp_path / "deep" / "run") == recipe


def test_folder_without_a_checkpoint_may_be_used_again(head_folder: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert make_trainer(jnet_recipe(), head_folder, tmp_path / "run").step == 0


def test_folder_in_use_is_refused(head_folder: Path, tmp_path: Path) -> None:
    make_trainer(jnet_recipe(), head_folder, tmp_path / "run").save()
    with pytest.raises(TrainingError, match=r"run: holds a run already; add --resume .* or choose another --out"):
        make_trainer(jnet_recipe(), head_folder, tmp_path / "run")


@pytest.mark.parametrize("exists", [True, False])
def test_nothing_to_resume_is_told_before_pictures_are_read(tmp_path: Path, exists: bool) -> None:
    if exists:
        (tmp_path / "run").mkdir()
    with pytest.raises(TrainingError, match="no checkpoint to resume from; leave --resume away to begin"):
        make_trainer(jnet_recipe(), tmp_path / "no pictures", tmp_path / "run", resume=True)
    assert (tmp_path / "run").exists() == exists


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
    recipe = jnet_recipe()
    make_trainer(recipe, head_folder, tmp_path / "run").run()
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
