"""Tiny networks, tiny upscalers, and tiny sets of heads."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from facegen.arrays import RGB
from facegen.evaluation import portraits as measuring
from facegen.evaluation import samples
from facegen.evaluation.upscalers import Setting
from facegen.media.images import resize, write_image
from facegen.models.efficientnet import EfficientNetLite, load_efficientnet
from facegen.models.srgan import SRGANConfig, SRGANGenerator
from facegen.models.unet import UNet, UNetConfig
from facegen.pipeline import FacePipeline
from facegen.weights import Kind, save_weights
from tests import tiny

load_once = cache(load_efficientnet)


@pytest.fixture(scope="session", autouse=True)
def loaded_once() -> Iterator[None]:
    """The feature network is read from its file once."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (samples, measuring):
            patch.setattr(module, "load_efficientnet", load_once)
        yield


@pytest.fixture(scope="session")
def lite2() -> EfficientNetLite:
    return load_once("lite2")


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> FacePipeline:
    """Tiny networks, one candidate per tile."""
    return FacePipeline.load(tiny.save_all(tmp_path_factory.mktemp("tiny"), extra="candidates.variants = []"))


@pytest.fixture(scope="session")
def heads(tmp_path_factory: pytest.TempPathFactory, head: RGB) -> Path:
    """Twenty heads of 128 px: one face in different light and places."""
    folder = tmp_path_factory.mktemp("heads")
    for number in range(20):
        shifted = np.roll(head, (number % 4 - 2, number % 5 - 2), axis=(0, 1))
        light = (shifted * (0.6 + 0.02 * number)).astype(np.uint8)
        write_image(folder / f"me_{number:02d}.png", resize(light, (128, 128)))
    return folder


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weight folders jnet (8x), srgan (4x), unet (2x) and dcgan, and the recipe tiny.toml."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny.save_all(folder, extra="candidates.variants = []")
    torch.manual_seed(3)
    srgan = SRGANGenerator(SRGANConfig(scale=4, blocks=1, width=4, end_kernel=3, match_histogram=True))
    unet = UNet(UNetConfig(scale=2, widths=(4, 4), outer_width=4))
    networks: dict[Kind, SRGANGenerator | UNet] = {"srgan": srgan, "unet": unet}
    for kind, network in networks.items():
        torch.nn.init.normal_(network.to_rgb.weight, 0, 0.2)
        save_weights(folder / kind, network, tiny.card(kind, network.config.model_dump(mode="json")))
    return folder


@pytest.fixture(scope="session")
def setting(weights: Path) -> Setting:
    """Upscaling by 8 with the tiny recipe."""
    return Setting(8, weights / "tiny.toml")


@pytest.fixture(scope="session")
def portraits(tmp_path_factory: pytest.TempPathFactory, head: RGB) -> Path:
    """Two heads of 256 px and more; a head that is too small, one that is not square, and a file without a picture."""
    folder = tmp_path_factory.mktemp("portraits")
    large = resize(head, (256, 256))
    pictures = {"a_1": large, "b/a_1": resize(255 - head // 2, (300, 300)), "c_small": head, "d_wide": large[:200]}
    for name, picture in pictures.items():
        write_image(folder / f"{name}.png", picture)
    (folder / "e_none.png").write_bytes(b"nothing")
    return folder
