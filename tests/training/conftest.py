"""Recipes so small that a step takes a fraction of a second, and what every choice of a recipe must pass."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from facegen.models.dcgan import DCGANConfig
from facegen.models.discriminators import PatchConfig
from facegen.models.jnet import JNetConfig
from facegen.models.projected import ProjectedConfig
from facegen.models.srgan import SRGANConfig, SRGANDiscriminatorConfig
from facegen.models.unet import GridConfig, UNetConfig
from facegen.training.callbacks import StatsFile, read_stats
from facegen.training.config import (
    DCGANRecipe,
    JNetLoss,
    JNetRecipe,
    OptimizerConfig,
    RunConfig,
    SRGANRecipe,
    UNetRecipe,
    UpscalerLoss,
)
from facegen.training.datasets import PairConfig
from facegen.training.losses import WeightSchedule
from facegen.training.start import AnyRecipe, make_trainer
from facegen.training.tiles import TileConfig

RUN = RunConfig(batch=2, images=8, precision="fp32", preview_images=8, log_images=4, seed=3)


def dcgan_recipe(**run: Any) -> DCGANRecipe:
    """128 px, the least that the projected discriminator sees, but with few channels."""
    return DCGANRecipe(
        kind="dcgan",
        generator=DCGANConfig(z_dim=4, widths=(8, 8, 8, 8, 4, 4)),
        discriminator=ProjectedConfig(mix=4, mix_max=8, head=4),
        run=RUN.model_copy(update=run),
    )


def jnet_recipe(**run: Any) -> JNetRecipe:
    """8 px to 64 px, by Muon."""
    return JNetRecipe(
        kind="jnet",
        side=96,
        tiles=TileConfig(),
        generator=JNetConfig(tile=8, scale=8, decoder_widths=(8, 8, 8, 8, 4, 4), decoder_depths=(1, 1, 2, 1, 1, 1)),
        discriminator=PatchConfig(widths=(4, 4, 8, 8)),
        loss=JNetLoss(crop=32),
        optimizer=OptimizerConfig(generator="muon"),
        run=RUN.model_copy(update=run),
    )


def srgan_recipe(**run: Any) -> SRGANRecipe:
    """8 px to 32 px, with both batchnorms."""
    return SRGANRecipe(
        kind="srgan",
        side=96,
        pairs=PairConfig(crop=32),
        generator=SRGANConfig(blocks=1, width=4, end_kernel=3),
        discriminator=SRGANDiscriminatorConfig(width=4, dense=8, grid=2),
        loss=UpscalerLoss(pixel=WeightSchedule(start=1.0), adversarial=WeightSchedule(start=0.1), fake_label=0.1),
        run=RUN.model_copy(update=run),
    )


def unet_recipe(**run: Any) -> UNetRecipe:
    """16 px to 32 px, on bicubic enlargement."""
    return UNetRecipe(
        kind="unet",
        side=96,
        pairs=PairConfig(crop=32, reduction="area"),
        generator=UNetConfig(widths=(4, 4, 8), outer_width=4, depth=1, upsample="nearest", base="bicubic"),
        discriminator=GridConfig(widths=(4, 4, 8)),
        loss=UpscalerLoss(kind="lsgan", pixel=WeightSchedule(start=1.0), adversarial=WeightSchedule(start=0.1)),
        run=RUN.model_copy(update=run),
    )


RECIPES: dict[str, Any] = {
    "dcgan": dcgan_recipe,
    "jnet": jnet_recipe,
    "srgan": srgan_recipe,
    "unet": unet_recipe,
}


def assert_trains_and_resumes(recipe: AnyRecipe, figures: set[str], data: Path, out: Path) -> None:
    """The generator moves, `figures` are among those logged, and a resumed run has every weight and memory again."""
    trainer = make_trainer(recipe, data, out, callbacks=[StatsFile()])
    before = copy.deepcopy(trainer.objective.modules["generator"].state_dict())
    trainer.run()
    assert figures <= {name for line in read_stats(out) for name in line}
    after = trainer.objective.modules["generator"].state_dict()
    assert not torch.equal(before["to_rgb.weight"], after["to_rgb.weight"])
    again = make_trainer(recipe, data, out, resume=True)
    for name, module in trainer.objective.modules.items():
        for key, value in module.state_dict().items():
            assert torch.equal(again.objective.modules[name].state_dict()[key], value), (name, key)


@pytest.fixture(params=RECIPES)
def make_recipe(request: pytest.FixtureRequest) -> Any:
    """Each of the recipes, as a function of what its [run] is to say."""
    return RECIPES[request.param]


@pytest.fixture(autouse=True)
def _few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation compares few pictures, so that it is quick."""
    monkeypatch.setattr("facegen.training.objectives.dcgan.VALIDATED", 64)
    monkeypatch.setattr("facegen.training.objectives.content.VALIDATED", 16)
