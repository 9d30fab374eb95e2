"""Recipes so small that a step takes a fraction of a second."""

from __future__ import annotations

from typing import Any

import pytest

from facegen.models.dcgan import DCGANConfig
from facegen.models.discriminators import PatchConfig, ProjectedConfig
from facegen.models.jnet import JNetConfig
from facegen.training.config import DCGANRecipe, JNetLoss, JNetRecipe, RunConfig
from facegen.training.datasets import TileConfig

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
    """8 px to 64 px."""
    return JNetRecipe(
        kind="jnet",
        side=96,
        tiles=TileConfig(),
        generator=JNetConfig(tile=8, scale=8, decoder_widths=(8, 8, 8, 8, 4, 4), decoder_depths=(1, 1, 2, 1, 1, 1)),
        discriminator=PatchConfig(widths=(4, 4, 8, 8)),
        loss=JNetLoss(crop=32),
        run=RUN.model_copy(update=run),
    )


RECIPES: dict[str, Any] = {"dcgan": dcgan_recipe, "jnet": jnet_recipe}


@pytest.fixture(params=RECIPES)
def make_recipe(request: pytest.FixtureRequest) -> Any:
    """Each of the recipes, as a function of what its [run] is to say."""
    return RECIPES[request.param]
