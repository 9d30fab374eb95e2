"""What a training recipe may and may not say."""

from __future__ import annotations

from typing import Any

import pytest

from facegen.errors import RecipeError
from facegen.recipe import parse_recipe
from facegen.training.config import DCGANRecipe, JNetRecipe, OptimizerConfig, RunConfig
from facegen.training.losses import ADVERSARIAL
from facegen.training.random import POLICIES


def jnet(**values: Any) -> JNetRecipe:
    return parse_recipe({"kind": "jnet", **values}, JNetRecipe, source="x")


def dcgan(**values: Any) -> DCGANRecipe:
    return parse_recipe({"kind": "dcgan", **values}, DCGANRecipe, source="x")


def test_recipes_survive_json() -> None:
    for recipe in (jnet(side=512), dcgan(run={"batch": 3})):
        assert type(recipe).model_validate_json(recipe.model_dump_json()) == recipe


def test_every_augmentation_may_be_asked_for() -> None:
    assert dcgan(loss={"augment": list(POLICIES)}).loss.augment == tuple(POLICIES)


def test_every_adversarial_loss_may_be_asked_for() -> None:
    for kind, loss in ADVERSARIAL.items():
        label = 0.9 if loss.labels else 1.0
        assert dcgan(loss={"kind": kind, "real_label": label}).loss.real_label == label


def test_a_weight_is_a_number_or_changes_over_time() -> None:
    fading = {"start": 50, "end": 0, "fade_from": 100, "fade_to": 300}
    weights = [jnet(loss={"pooled_l1": value}).loss.pooled_l1 for value in (20, fading)]
    assert [weight(200) for weight in weights] == [20, 25]


@pytest.mark.parametrize("guide", [("rgb", 6), ("channels", 10), ("none", 3)])
def test_channels_must_fit_the_guide(guide: tuple[str, int]) -> None:
    mode, planes = guide
    fitting = {"generator": {"in_channels": planes}, "discriminator": {"condition_channels": planes}}
    assert jnet(guide=mode, **fitting).guide == mode
    for part, key in (("generator", "in_channels"), ("discriminator", "condition_channels")):
        with pytest.raises(
            RecipeError, match=rf'x: recipe: {part}\.{key} is 4, expected {planes}: RGB and guide = "{mode}"'
        ):
            jnet(guide=mode, **{**fitting, part: {key: 4}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"side": 128}, "side is 128, expected at least tile x scale = 256"),
        (
            {"generator": {"scale": 4, "decoder_widths": [8] * 7, "decoder_depths": [1] * 7}},
            "scale is 4, expected 8",
        ),
        ({"optimizer": {"learning_rate": 0}}, "optimizer.learning_rate: .*greater than 0, got 0"),
        ({"optimizer": {"betas": [0, 1]}}, "optimizer.betas.1: .*less than 1, got 1"),
        ({"run": {"batch": 0}}, "run.batch: .*got 0"),
        ({"run": {"precision": "fp16"}}, "run.precision: .*got 'fp16'"),
        ({"tiles": {"guide_dropout": 1.5}}, "tiles.guide_dropout: .*got 1.5"),
        ({"guide": "grey"}, "guide: .*got 'grey'"),
        ({"loss": {"real_label": 0.9}}, "loss: real_label is 0.9, but hinge has no labels"),
        ({"loss": {"projected": 1, "crop": 64}}, "loss.crop is 64, expected at least 128 for loss.projected"),
        ({"loss": {"pooled_side": 96}}, "loss.pooled_side is 96, expected a divisor of tile x scale = 256"),
        ({"tiles": {"block": 4}}, r'\[tiles\] unknown key "block"'),
        ({"loss": {"pooled_l1": -1}}, "loss.pooled_l1.start: .*greater than or equal to 0"),
        ({"loss": {"feature_weights": [1, -1]}}, "loss.feature_weights.1: .*greater than or equal to 0"),
        ({"loss": {"features": ["lite2"]}}, "loss.features.0: .*'lite0' or 'lite1', got 'lite2'"),
        ({"loss": {"features": []}}, "loss.features: .*at least 1 item"),
        ({"loss": {"adverserial": 1}}, r'\[loss\] unknown key "adverserial"; did you mean "adversarial"\?'),
    ],
)
def test_jnet_recipe_refuses(values: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        jnet(**values)


def test_dcgan_recipe_refuses_unknown_augmentation() -> None:
    with pytest.raises(RecipeError, match=r"loss\.augment\.0: .*'color', 'translation' or 'cutout', got 'colour'"):
        dcgan(loss={"augment": ["colour"]})


def test_plane_of_strength_is_one_more_channel() -> None:
    assert jnet(generator={"in_channels": 7, "strength": True}).generator.strength
    with pytest.raises(RecipeError, match=r"generator\.in_channels is 5, expected 6"):
        jnet(generator={"in_channels": 6, "strength": True})


def test_the_learning_rate_rises_stays_and_falls() -> None:
    optimizer = OptimizerConfig(learning_rate=1e-3, warmup=0.1, decay_from=0.5, decay_to=0.1)
    rates = [optimizer.rate(course) / 1e-3 for course in (0.0, 0.05, 0.1, 0.5, 0.75, 1.0)]
    assert rates == pytest.approx([0.02, 0.5, 1, 1, 0.55, 0.1])
    falling = [optimizer.rate(0.5 + n / 100) for n in range(51)]
    assert falling == sorted(falling, reverse=True)
    assert {OptimizerConfig().rate(course) for course in (0.0, 0.3, 1.0)} == {OptimizerConfig().learning_rate}


def test_recipes_of_earlier_versions_may_name_workers() -> None:
    assert RunConfig.model_validate({"workers": 2, "batch": 4}) == RunConfig(batch=4)
