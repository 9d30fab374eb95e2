"""Weight folders of tiny seeded networks, and a recipe that names them: the real flow in a tenth of a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from facegen.faces.guide import GUIDE_CHANNELS, GuideMode
from facegen.models.dcgan import DCGANConfig, DCGANGenerator
from facegen.models.discriminators import PatchConfig, PatchDiscriminator
from facegen.models.jnet import JNet, JNetConfig
from facegen.weights import Card, Kind, save_weights


def _initialise(net: nn.Module, gain: float = 1.0) -> None:
    """He's start, whatever the network's own is: golden values are to outlive changes of that."""
    for module in net.modules():
        if isinstance(module, nn.ConvTranspose2d | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, a=0.2)
            module.weight.data.mul_(gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def generator() -> DCGANGenerator:
    """A DCGAN of 16,000 parameters whose faces differ from each other."""
    torch.manual_seed(0)
    net = DCGANGenerator(DCGANConfig(z_dim=8, widths=(16, 16, 8, 8, 8, 8)))
    _initialise(net, 1.9)
    return net.eval()


def upscaler(guide: GuideMode = "rgb", **options: Any) -> JNet:
    """A J-net of 40,000 parameters that adds something of its own to the bicubic base."""
    torch.manual_seed(1)
    widths, depths = (16, 16, 16, 8, 8, 8, 4, 4), (1,) * 8
    config: dict[str, Any] = {
        "decoder_widths": widths,
        "decoder_depths": depths,
        "in_channels": 3 + GUIDE_CHANNELS[guide],
    }
    net = JNet(JNetConfig(**(config | options)))
    _initialise(net)  # its own start would add nothing to the base
    net.to_rgb.weight.data.mul_(0.3)
    return net.eval()


def discriminator(planes: int = 6) -> PatchDiscriminator:
    """A PatchGAN of 1,400 parameters."""
    torch.manual_seed(2)
    return PatchDiscriminator(PatchConfig(widths=(4, 4, 4, 4), condition_channels=planes)).eval()


def card(kind: Kind, config: dict[str, Any], **changes: Any) -> Card:
    """A card that says the least."""
    values: dict[str, Any] = {
        "name": f"tiny-{kind}",
        "kind": kind,
        "sha256": "",
        "config": config,
        "recipe": "tests/tiny.py",
        "images_seen": 1234,
        "sources": ("none: 0",),
        "licence": "MIT",
        "limits": "Draws noise.",
    }
    return Card(**(values | changes))


def save(folder: Path, network: DCGANGenerator | JNet | PatchDiscriminator, guide: GuideMode | None = None) -> Path:
    """Save one network below `folder`, named after its kind."""
    kinds: dict[type[nn.Module], Kind] = {DCGANGenerator: "dcgan", JNet: "jnet", PatchDiscriminator: "patchgan"}
    kind = kinds[type(network)]
    save_weights(folder / kind, network, card(kind, network.config.model_dump(mode="json"), guide=guide))
    return folder / kind


def save_all(folder: Path, guide: GuideMode = "rgb", extra: str = "") -> Path:
    """Save all three networks and a recipe that names them; returns the recipe."""
    save(folder, generator())
    save(folder, upscaler(guide), guide)
    save(folder, discriminator(3 + GUIDE_CHANNELS[guide]))
    recipe = folder / "tiny.toml"
    recipe.write_text(
        f"""kind = "pipeline"
precision = "fp32"
head_side = 64
{extra}
[weights]
generator = "{folder / "dcgan"}"
upscaler = "{folder / "jnet"}"
discriminator = "{folder / "patchgan"}"
""",
        encoding="utf-8",
    )
    return recipe
