"""Plain super-resolution as it trains: every choice of the recipe, and what the discriminator is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from facegen.errors import RecipeError
from facegen.models.srgan import SRGANGenerator
from facegen.models.unet import UNet
from facegen.recipe import parse_recipe
from facegen.training.callbacks import StatsFile, read_stats
from facegen.training.config import SRGANRecipe, UNetRecipe
from facegen.training.objectives import UpscalerObjective
from facegen.training.publish import publish
from facegen.training.random import Draws
from facegen.training.start import make_trainer
from facegen.weights import load_network, read_card
from tests.training.conftest import assert_trains_and_resumes, srgan_recipe, unet_recipe

Recipe = SRGANRecipe | UNetRecipe


def changed(recipe: Recipe, **tables: dict[str, Any]) -> Recipe:
    """A recipe with other values in some of its tables, checked again."""
    values = recipe.model_dump(mode="json", exclude_none=True)
    for table, update in tables.items():
        values[table] |= update
    return parse_recipe(values, type(recipe), source="test")


def objective_of(recipe: Recipe, folder: Path, out: Path) -> UpscalerObjective:
    objective = make_trainer(recipe, folder, out).objective
    assert isinstance(objective, UpscalerObjective)
    return objective


def step_of(objective: UpscalerObjective) -> tuple[Tensor, Tensor, Tensor]:
    """Low-res, real and upscaled pictures; the latter differ from the real ones even at a start from bicubic."""
    low, real, fake = objective.begin(objective.batch(0, 2), Draws(5))
    return low, real, fake + 0.1


FADING = {"start": 1.0, "end": 0.0, "fade_from": 4, "fade_to": 4}


@pytest.mark.parametrize(
    ("make", "tables", "figures"),
    [
        (srgan_recipe, {"loss": {"teacher": "means"}}, {"generator/adversarial", "discriminator/real"}),
        (srgan_recipe, {"loss": {"replay": 3, "historical": 1.0}}, {"generator/historical"}),
        (srgan_recipe, {"loss": {"pixel": FADING}}, {"generator/pixel", "generator/feature"}),
        (srgan_recipe, {"loss": {"pixel_kind": "mse", "feature": 0.0, "adversarial": 0.0}}, {"generator/pixel"}),
        (srgan_recipe, {"generator": {"upsample": "pixelshuffle", "norm": "none", "padding": "zeros"}}, set()),
        (srgan_recipe, {"discriminator": {"norm": "spectral", "condition": True}}, set()),
        (unet_recipe, {"loss": {"teacher": "pairs", "replay": 3}}, {"generator/adversarial"}),
        (unet_recipe, {"discriminator": {"discrimination": 3, "condition": False, "norm": "none"}}, set()),
        (unet_recipe, {"generator": {"scale": 1, "skips": False, "upsample": "deconv", "base": "none"}}, set()),
        (unet_recipe, {"pairs": {"zoom_max": 2.0, "recolour": 0.2, "quarter_turns": True}}, set()),
    ],
)
def test_every_choice_of_the_recipe_trains_and_resumes(
    make: Any, tables: dict[str, Any], figures: set[str], head_folder: Path, tmp_path: Path
) -> None:
    recipe = changed(make(log_images=2, preview_images=10**6), **tables)
    assert_trains_and_resumes(recipe, figures, head_folder, tmp_path / "run")


def test_a_loss_that_faded_is_no_longer_computed(head_folder: Path, tmp_path: Path) -> None:
    objective = objective_of(changed(srgan_recipe(), loss={"pixel": FADING}), head_folder, tmp_path / "run")
    step = step_of(objective)
    early, late = (objective.losses("generator", step, Draws(1), seen) for seen in (3, 4))
    assert set(early) - set(late) == {"pixel"}
    weighted = early["total"] - early["pixel"]
    assert late["total"].item() == pytest.approx(weighted.item(), rel=1e-5)


def test_total_is_the_weighted_sum(head_folder: Path, tmp_path: Path) -> None:
    recipe = changed(srgan_recipe(), loss={"pixel": 3.0, "feature": 0.5, "adversarial": 0.25})
    objective = objective_of(recipe, head_folder, tmp_path / "run")
    low, real, fake = step_of(objective)
    found = objective.losses("generator", (low, real, fake), Draws(1), 0)
    assert found["pixel"].item() == pytest.approx((fake - real).abs().mean().item(), rel=1e-5)
    expected = 3 * found["pixel"] + 0.5 * found["feature"] + 0.25 * found["adversarial"]
    assert found["total"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_teachers_of_equal_pictures_have_nothing_to_say(head_folder: Path, tmp_path: Path) -> None:
    for teacher in ("means", "pairs"):
        recipe = changed(unet_recipe(), loss={"teacher": teacher})
        objective = objective_of(recipe, head_folder, tmp_path / teacher)
        low, real, fake = step_of(objective)
        assert objective.losses("generator", (low, real, real), Draws(1), 0)["adversarial"].item() == 0
        assert objective.losses("generator", (low, real, fake), Draws(1), 0)["adversarial"].item() > 0


def test_discriminator_is_shown_the_picture_and_its_enlarged_low_res_one(head_folder: Path, tmp_path: Path) -> None:
    objective = objective_of(unet_recipe(), head_folder, tmp_path / "run")
    low, real, _ = step_of(objective)
    seen = objective._seen(real, low)
    assert seen.shape == (2, 6, 32, 32)
    assert torch.equal(seen[:, :3], real * 2 - 1)
    assert seen.abs().max() <= 1
    assert (seen[:, 3:] - seen[:, :3]).abs().mean() < 0.2
    alone = objective_of(srgan_recipe(), head_folder, tmp_path / "other")
    assert torch.equal(alone._seen(real, low), real * 2 - 1)


def test_labels_of_upscaled_pictures_are_drawn_around_the_recipes(
    head_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = objective_of(srgan_recipe(), head_folder, tmp_path / "run")
    labels: list[Tensor] = []
    loss = objective.adversarial.discriminator

    def note(real: Any, fake: Any, real_label: Any = 1.0, fake_label: Any = 0.0) -> Tensor:
        labels.append(fake_label)
        return loss(real, fake, real_label, fake_label)

    monkeypatch.setitem(objective.adversarial.__dict__, "discriminator", note)
    low, real, fake = (x.repeat(50, 1, 1, 1) for x in step_of(objective))
    objective.losses("discriminator", (low, real, fake), Draws(1), 0)
    (found,) = labels
    assert found.shape == (100,)
    assert 0 <= found.min() < 0.05 < 0.15 < found.max() < 0.2
    assert found.mean().item() == pytest.approx(0.1, abs=0.02)


def test_a_network_that_begins_as_bicubic_scores_like_it(head_folder: Path, tmp_path: Path) -> None:
    objective = objective_of(unet_recipe(), head_folder, tmp_path / "run")
    sheet, figures = objective.validate()
    assert figures["score"] == pytest.approx(figures["bicubic"], rel=1e-4)
    assert figures["bicubic"] > 0.1
    bicubic, upscaled, real = (sheet[top : top + 32].astype(int) for top in (0, 36, 72))  # rows of 32 px, 4 apart
    assert np.abs(upscaled - bicubic).max() <= 1 < np.abs(upscaled - real).mean()


def test_training_lowers_the_loss(head_folder: Path, tmp_path: Path) -> None:
    run = {"images": 96, "log_images": 4, "preview_images": 10**6}
    for recipe in (srgan_recipe(**run), unet_recipe(**run)):
        quick = changed(recipe, loss={"pixel": 10.0}, optimizer={"learning_rate": 3e-3})
        out = tmp_path / recipe.kind
        make_trainer(quick, head_folder, out, callbacks=[StatsFile()]).run()
        totals = [line["generator/total"] for line in read_stats(out) if "generator/total" in line]
        assert sum(totals[-6:]) < 0.9 * sum(totals[:6]), recipe.kind


def test_a_generator_that_waits_alone_is_logged_without_losses(head_folder: Path, tmp_path: Path) -> None:
    recipe = changed(unet_recipe(), loss={"adversarial": 0.0}, optimizer={"generator_from": 6})
    make_trainer(recipe, head_folder, tmp_path / "run", callbacks=[StatsFile()]).run()
    logged = [line for line in read_stats(tmp_path / "run") if "images_per_second" in line]
    assert ["generator/total" in line for line in logged] == [False, True]


def test_srgan_begins_with_what_srresnet_learned(head_folder: Path, tmp_path: Path) -> None:
    first = changed(srgan_recipe(), loss={"pixel_kind": "mse", "feature": 0.0, "adversarial": 0.0, "fake_label": 0.0})
    make_trainer(first, head_folder, tmp_path / "first").run()
    assert publish(tmp_path / "first", "srresnet", tmp_path, recipe_name="x") == [tmp_path / "srresnet"]
    longer, start = srgan_recipe(images=16), str(tmp_path / "srresnet")
    second = make_trainer(longer, head_folder, tmp_path / "second", begin_with=start)
    assert second.images_seen == 8
    known, _ = load_network(start, SRGANGenerator)
    for network in second.objective.ema:
        for key, value in known.state_dict().items():
            assert torch.equal(network.state_dict()[key], value), key


def test_published_weights_upscale_and_name_their_feature_loss(head_folder: Path, tmp_path: Path) -> None:
    for recipe, network in ((srgan_recipe(), SRGANGenerator), (unet_recipe(), UNet)):
        make_trainer(recipe, head_folder, tmp_path / recipe.kind).run()
        folders = publish(tmp_path / recipe.kind, f"my-{recipe.kind}", tmp_path, recipe_name="x")
        assert [read_card(folder).kind for folder in folders] == [recipe.kind, f"{recipe.kind}-discriminator"]
        loaded, card = load_network(str(folders[0]), network)
        scale = recipe.generator.scale
        assert loaded(torch.rand(1, 3, 12, 20)).shape == (1, 3, 12 * scale, 20 * scale)
        assert ("EfficientNet-Lite0's features stood in for VGG19's" in card.limits) == (recipe.kind == "srgan")


@pytest.mark.parametrize(
    ("make", "tables", "message"),
    [
        (srgan_recipe, {"pairs": {"crop": 100}}, "pairs.crop is 100, expected at most side = 96"),
        (srgan_recipe, {"pairs": {"crop": 34}}, "pairs.crop is 34, expected a multiple of generator.scale = 4"),
        (srgan_recipe, {"pairs": {"crop": 12}}, "pairs.crop is 12, expected at least 16"),
        (unet_recipe, {"discriminator": {"widths": [4] * 6}}, "pairs.crop is 32, expected at least 64"),
        (unet_recipe, {"loss": {"pixel": 0, "feature": 0, "adversarial": 0}}, "all 0 at first: nothing teaches"),
        (unet_recipe, {"loss": {"pixel": FADING, "feature": 0, "adversarial": 0}}, "all 0 at the end: nothing teaches"),
        (unet_recipe, {"loss": {"adversarial": 0, "replay": 5}}, "replay is for a discriminator"),
        (unet_recipe, {"loss": {"kind": "hinge", "fake_label": 0.1}}, "fake_label is 0.1, but hinge has no labels"),
        (srgan_recipe, {"generator": {"scale": 3}}, "generator.scale: .*2, 4 or 8, got 3"),
        (unet_recipe, {"generator": {"skip": False}}, 'unknown key "skip"; did you mean "skips"'),
    ],
)
def test_recipes_refuse(make: Any, tables: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        changed(make(), **tables)
