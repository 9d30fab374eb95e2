"""The objectives: whom each phase teaches, and what the samples show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from facegen.training.objectives import DCGANObjective, JNetObjective, Objective
from facegen.training.start import make_trainer
from facegen.training.trainer import Trainer

Make = Callable[[], Objective]


@pytest.fixture
def make(make_recipe: Any, head_folder: Path, tmp_path: Path) -> Make:
    return lambda: make_trainer(make_recipe(), head_folder, tmp_path / "run", resume=False).objective


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def test_a_phase_teaches_its_own_network_alone(make: Make) -> None:
    objective = make()
    batch = objective.batch(0, 2)
    for module in objective.modules.values():  # a layer that starts at zero lets no gradient through
        for weight in module.parameters():
            weight.data.add_(0.01 * torch.randn(weight.shape, generator=rng()))
    for phase in objective.phases:
        for other in objective.phases:
            other.module.requires_grad_(other is phase)
            other.module.zero_grad(set_to_none=True)
        losses = objective.losses(phase.name, batch, rng())
        losses["total"].backward()  # type: ignore[no-untyped-call]
        assert all(torch.isfinite(value) for value in losses.values())
        for other in objective.phases:
            weights = [p for p in other.module.parameters() if p.ndim > 1]  # a hinge cancels the last bias
            taught = [p.grad is not None and bool(p.grad.abs().max() > 0) for p in weights]
            assert all(taught) if other is phase else not any(taught)


def test_losses_are_known_from_batch_and_generator(make: Make) -> None:
    totals = []
    for objective in (make(), make()):
        batch = objective.batch(3, 2)
        totals.append([objective.losses(phase.name, batch, rng())["total"].item() for phase in objective.phases])
    assert totals[0] == totals[1]


def test_average_starts_as_its_source_and_is_not_trained(make: Make) -> None:
    average, source = make().ema
    for a, s in zip(average.parameters(), source.parameters(), strict=True):
        assert torch.equal(a, s)
        assert a is not s
        assert not a.requires_grad
    assert not average.training


def test_optimizers_hold_what_the_phases_train(make: Make) -> None:
    for phase in make().phases:
        held = [p for group in phase.optimizer.param_groups for p in group["params"]]
        assert {id(p) for p in held} == {id(p) for p in phase.module.parameters()}


def test_everything_but_the_frozen_trunk_is_saved(make: Make) -> None:
    objective = make()
    saved = {id(p) for module in objective.modules.values() for p in module.parameters()}
    networks = [v for v in vars(objective).values() if isinstance(v, nn.Module)]
    missing = [p for network in networks for p in network.parameters() if id(p) not in saved]
    assert not any(p.requires_grad for p in missing)


def test_preview_is_a_fixed_sheet_and_changes_nothing(make: Make) -> None:
    objective = make()
    before = {name: value.clone() for name, value in objective.modules["generator"].state_dict().items()}
    sheet = objective.preview()
    assert sheet.dtype == np.uint8
    assert sheet.ndim == 3
    np.testing.assert_array_equal(objective.preview(), sheet)
    for name, value in objective.modules["generator"].state_dict().items():
        assert torch.equal(value, before[name])


def test_previews_of_every_run_show_the_same_latents(make: Make) -> None:
    one, other = make(), make()
    if isinstance(one, DCGANObjective) and isinstance(other, DCGANObjective):
        assert torch.equal(one.preview_z, other.preview_z)
    np.testing.assert_array_equal(one.preview(), other.preview())


def test_feature_crop_takes_the_same_place_of_both(head_folder: Path, tmp_path: Path, jnet_trainer: Trainer) -> None:
    objective = jnet_trainer.objective
    assert isinstance(objective, JNetObjective)
    _, real = objective.batch(0, 2)
    crop, same = objective._crop(real, real, rng())
    assert crop.shape == (2, 3, 32, 32)
    assert torch.equal(crop, same)
    objective.recipe = objective.recipe.model_copy(
        update={"loss": objective.recipe.loss.model_copy(update={"feature_crop": 999})}
    )
    assert torch.equal(objective._crop(real, real, rng())[0], real)


@pytest.fixture
def jnet_trainer(head_folder: Path, tmp_path: Path) -> Trainer:
    from tests.training.conftest import jnet_recipe

    return make_trainer(jnet_recipe(), head_folder, tmp_path / "run", resume=False)
