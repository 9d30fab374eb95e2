"""The objectives: which networks each phase trains, and what the samples show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import nn

from facegen.models.discriminators import PlainConfig
from facegen.models.jnet import JNetConfig
from facegen.models.projected import ProjectedConfig
from facegen.training.config import DCGANRecipe, JNetLoss
from facegen.training.losses import WeightSchedule
from facegen.training.objectives import DCGANObjective, JNetObjective, Losses, Objective
from facegen.training.objectives.base import mean_logit
from facegen.training.objectives.jnet import crop as crop_square
from facegen.training.random import Draws
from facegen.training.start import make_trainer
from tests.training.conftest import assert_trains_and_resumes, dcgan_recipe, jnet_recipe

Make = Callable[[], Objective]


@pytest.fixture
def make(make_recipe: Any, head_folder: Path, tmp_path: Path) -> Make:
    return lambda: make_trainer(make_recipe(), head_folder, tmp_path / "run").objective


def draws() -> Draws:
    return Draws(5)


def roughen(objective: Objective) -> None:
    """A layer that starts at zero lets no gradient through."""
    rng = torch.Generator().manual_seed(5)
    for module in objective.modules.values():
        for weight in module.parameters():
            weight.data.add_(0.01 * torch.randn(weight.shape, generator=rng))


def descend(objective: Objective, name: str, images_seen: int = 0) -> Losses:
    """One phase's losses with their gradients, as the trainer takes them."""
    for other in objective.phases:
        other.module.requires_grad_(True)
    (phase,) = (phase for phase in objective.phases if phase.name == name)
    pictures = objective.begin(objective.batch(0, 2), draws())
    for other in objective.phases:
        other.module.requires_grad_(other.module is phase.module)
        other.module.zero_grad(set_to_none=True)
    losses = objective.losses(name, pictures, draws(), images_seen)
    losses["total"].backward()  # type: ignore[no-untyped-call]
    return losses


def test_a_phase_teaches_its_own_network_alone(make: Make) -> None:
    objective = make()
    roughen(objective)
    for phase in objective.phases:
        losses = descend(objective, phase.name)
        assert all(torch.isfinite(value) for value in losses.values())
        for other in objective.phases:
            weights = [p for p in other.module.parameters() if p.ndim > 1]  # a hinge cancels the last bias
            taught = [p.grad is not None and bool(p.grad.abs().max() > 0) for p in weights]
            assert all(taught) if other is phase else not any(taught)


def test_losses_are_known_from_batch_and_draws(make: Make) -> None:
    totals = []
    for objective in (make(), make()):
        pictures = objective.begin(objective.batch(3, 2), draws())
        losses = [objective.losses(phase.name, pictures, draws(), 0) for phase in objective.phases]
        totals.append([loss["total"].item() for loss in losses])
    assert totals[0] == totals[1]


def test_what_is_trained_is_saved_and_the_average_starts_as_its_source(make: Make) -> None:
    objective = make()
    for phase in objective.phases:
        held = [p for group in phase.optimizer.param_groups for p in group["params"]]
        assert {id(p) for p in held} == {id(p) for p in phase.module.parameters()}
    average, source = objective.ema
    for a, s in zip(average.parameters(), source.parameters(), strict=True):
        assert torch.equal(a, s)
        assert a is not s
        assert not a.requires_grad
    assert not average.training
    saved = {id(p) for module in objective.modules.values() for p in module.parameters()}
    networks = [v for v in vars(objective).values() if isinstance(v, nn.Module)]
    missing = [p for network in networks for p in network.parameters() if id(p) not in saved]
    assert not any(p.requires_grad for p in missing)


def test_validation_is_a_fixed_sheet_with_finite_figures_and_changes_nothing(make: Make) -> None:
    objective = make()
    before = {name: value.clone() for name, value in objective.modules["generator"].state_dict().items()}
    sheet, figures = objective.validate()
    assert sheet.dtype == np.uint8
    assert sheet.ndim == 3
    assert "score" in figures
    assert all(np.isfinite(value) for value in figures.values())
    for other in (objective, make()):  # also of another run
        again, same_figures = other.validate()
        np.testing.assert_array_equal(again, sheet)
        assert same_figures == figures
    for name, value in objective.modules["generator"].state_dict().items():
        assert torch.equal(value, before[name])


def test_score_knows_a_better_j_net(head_folder: Path, tmp_path: Path) -> None:
    objective = make_trainer(jnet_recipe(), head_folder, tmp_path / "run").objective
    before = objective.validate()[1]["score"]
    for weight in objective.ema[0].parameters():
        weight.data.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    assert objective.validate()[1]["score"] > 1.2 * before


def test_l1_compares_tiles_pooled_to_the_side_of_the_recipe(head_folder: Path, tmp_path: Path) -> None:
    recipe, found = jnet_recipe(), {}
    for side in (8, 64):
        loss = recipe.loss.model_copy(update={"pooled_side": side})
        out = tmp_path / str(side)
        objective = make_trainer(recipe.model_copy(update={"loss": loss}), head_folder, out).objective
        pictures = objective.begin(objective.batch(0, 2), draws())
        found[side] = objective.losses("generator", pictures, draws(), 0)["pooled_l1"].item(), pictures
    (small, step), (whole, _) = found[8], found[64]
    real, fake = step.real, step.upscaled
    assert whole == pytest.approx((fake - real).abs().mean().item())
    means = (fake - real).unflatten(-1, (8, 8)).unflatten(-3, (8, 8)).mean(dim=(-1, -3))  # over 8 x 8 px each
    assert small == pytest.approx(means.abs().mean().item(), rel=1e-4)
    assert small < 0.9 * whole


@pytest.mark.parametrize("crop", [32, 999])
def test_discriminators_look_at_the_same_place_of_all(head_folder: Path, tmp_path: Path, crop: int) -> None:
    recipe = jnet_recipe()
    recipe = recipe.model_copy(update={"loss": recipe.loss.model_copy(update={"crop": crop})})
    objective = make_trainer(recipe, head_folder, tmp_path / "run").objective
    assert isinstance(objective, JNetObjective)
    stack, real = objective.batch(0, 2)
    cut = objective.cut(draws(), real.shape[-1])
    side = min(crop, 64)
    low, high = crop_square(stack, cut, side // 8), crop_square(real, cut * 8, side)
    y, x = cut.tolist()
    assert torch.equal(low, stack[..., y : y + side // 8, x : x + side // 8])
    assert torch.equal(high, real[..., 8 * y : 8 * y + side, 8 * x : 8 * x + side])
    places = [tuple(objective.cut(Draws(seed), 64).tolist()) for seed in range(300)]
    assert len(set(places)) == (25 if crop == 32 else 1)


def test_frozen_features_look_at_any_pixel(head_folder: Path, tmp_path: Path) -> None:
    objective = make_trainer(jnet_recipe(), head_folder, tmp_path / "run").objective
    assert isinstance(objective, JNetObjective)
    windows = [objective.window(Draws(seed), 64).tolist() for seed in range(300)]
    assert {y % 8 for y, _ in windows} == {x % 8 for _, x in windows} == set(range(8))
    assert max(y for y, _ in windows) == max(x for _, x in windows) == 32


@pytest.mark.parametrize("features", [("lite0", "lite1"), ("lite1",)])
def test_frozen_networks_run_once_for_all_losses(
    head_folder: Path, tmp_path: Path, features: tuple[Literal["lite0", "lite1"], ...]
) -> None:
    recipe = jnet_recipe()
    loss = recipe.loss.model_copy(update={"projected": WeightSchedule(start=0.5), "features": features, "crop": 128})
    generator = JNetConfig(tile=16, scale=8, decoder_widths=(4,) * 7, decoder_depths=(1,) * 7)
    recipe = recipe.model_copy(update={"loss": loss, "generator": generator, "side": 128})
    objective = make_trainer(recipe, head_folder, tmp_path / "run").objective
    assert isinstance(objective, JNetObjective)
    assert objective.projected is not None
    roughen(objective)
    objective.projected.eval()  # spectral norms take a step whenever they are asked while they train
    networks = {id(network): network for network, _ in objective.frozen.values()}
    seen: list[int] = []
    for key, network in networks.items():
        network.register_forward_hook(lambda *_, key=key: seen.append(key))
    step = objective.begin(objective.batch(0, 2), draws())
    losses, discriminator_losses = (objective.losses(name, step, draws(), 0) for name in ("generator", "discriminator"))
    assert sorted(seen) == sorted(list(networks) * 2)  # at the real and at the upscaled tiles
    assert len(networks) == len({*features, "lite0"})
    real, upscaled = (crop.pictures for crop in step.crops)
    torch.testing.assert_close(losses["feature"], objective.content(upscaled, real))
    found = objective.projected(upscaled * 2 - 1)
    torch.testing.assert_close(losses["projected"], objective.adversarial.generator(found))
    wanted = mean_logit(objective.projected(real * 2 - 1))
    torch.testing.assert_close(discriminator_losses["projected_real"], wanted)


def with_loss(**changes: Any) -> DCGANRecipe:
    recipe = dcgan_recipe()
    plain = changes.pop("plain", None)
    generator = recipe.generator.model_copy(update={"mapped": "reconstruction" in changes})
    loss = recipe.loss.model_copy(update=changes)
    return recipe.model_copy(update={"loss": loss, "plain": plain, "generator": generator})


PLAIN = PlainConfig(widths=(4, 4, 4, 4, 8))
BARE = PlainConfig(widths=(4, 4, 4, 4, 8), norm="none")


@pytest.mark.parametrize(
    ("changes", "figures"),
    [
        ({"kind": "minimax", "real_label": 0.9, "plain": PLAIN}, set()),
        ({"kind": "non-saturating", "plain": PLAIN}, set()),
        ({"kind": "lsgan", "feature_matching": 1.0}, {"generator/feature_matching"}),
        ({"kind": "lsgan", "feature_matching": 1.0, "plain": PLAIN}, {"generator/feature_matching"}),
        ({"kind": "wasserstein", "gradient_penalty": 10.0, "plain": BARE, "generator_interval": 2},
         {"discriminator/gradient_penalty"}),
        ({"r1": 1.0, "r1_interval": 2}, {"r1/penalty"}),
        ({"historical": 1.0, "replay": 3}, {"generator/historical"}),
        ({"growing_images": 4}, set()),
        ({"reconstruction": 1.0}, {"generator/reconstruction", "generator/prior"}),
        ({"plain": PlainConfig(widths=(4, 4, 4, 4, 8), norm="spectral", stddev_group=2)}, set()),
        ({"plain": PlainConfig(widths=(4, 4, 4, 4, 8), discrimination=3)}, set()),
    ],
)  # fmt: skip
def test_every_choice_of_the_recipe_trains_and_resumes(
    changes: dict[str, Any], figures: set[str], head_folder: Path, tmp_path: Path
) -> None:
    recipe = with_loss(**changes)
    assert_trains_and_resumes(recipe, figures, head_folder, tmp_path / "run")


def test_growing_shows_coarse_pictures_first(head_folder: Path, tmp_path: Path) -> None:
    objective = make_trainer(with_loss(growing_images=100), head_folder, tmp_path / "run").objective
    assert isinstance(objective, DCGANObjective)
    pictures = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    steps = [(objective._grown(pictures, seen) - pictures).abs().mean().item() for seen in (0, 49, 75, 150, 350, 400)]
    assert steps[0] == steps[1] > steps[2] > steps[3] > steps[4] > steps[5] == 0


def test_delayed_generator_waits(head_folder: Path, tmp_path: Path) -> None:
    recipe = jnet_recipe(images=8)
    recipe = recipe.model_copy(update={"optimizer": recipe.optimizer.model_copy(update={"generator_from": 4})})
    trainer = make_trainer(recipe, head_folder, tmp_path / "run")
    trainer.run()
    states = {phase.name: phase.optimizer.state.values() for phase in trainer.objective.phases}
    steps = {name: {int(s["step"]) for s in found if "step" in s} for name, found in states.items()}
    assert steps == {"discriminator": {4}, "generator": {2}}


def test_projected_discriminator_trains_with_the_patchgan(head_folder: Path, tmp_path: Path) -> None:
    recipe = jnet_recipe(images=2)
    recipe = recipe.model_copy(
        update={
            "side": 128,
            "generator": JNetConfig(tile=16, decoder_widths=(8, 8, 8, 8, 8, 4, 4), decoder_depths=(1,) * 7),
            "loss": JNetLoss.model_validate({"projected": 1.0, "crop": 128}),
            "projected": ProjectedConfig(mix=4, mix_max=8, head=4),
        }
    )
    trainer = make_trainer(recipe, head_folder, tmp_path / "run")
    roughen(trainer.objective)
    losses = descend(trainer.objective, "discriminator")
    assert {"projected_real", "projected_fake"} <= losses.keys()
    assert "projected" in descend(trainer.objective, "generator")
    trainer.run()
    assert set(trainer.objective.companions) == {"-patchgan", "-heads"}
