"""Whole pictures through a plain super-resolution network: SRGAN's generator or the U-net."""

from __future__ import annotations

import torch
from torch import Tensor

from facegen.errors import UsageError
from facegen.models.srgan import SRGANGenerator
from facegen.models.unet import UNet
from facegen.ops.color import match_histogram
from facegen.weights import MODELS, find_weights, load_network, read_card

PlainUpscaler = SRGANGenerator | UNet


def load_upscaler(name: str) -> PlainUpscaler:
    """Build the network of published weights, in eval mode.

    Args:
        name: of shipped weights, or a weight folder.
    Raises:
        UsageError: if the weights are another kind of network's.
        WeightsError: if they are missing or damaged.
    """
    kind = read_card(find_weights(name)).kind
    network = MODELS[kind][1]
    if network not in (SRGANGenerator, UNet):
        raise UsageError(f"weights {name!r}: hold a {kind}, expected a srgan or a unet.")
    loaded, _ = load_network(name, network)
    assert isinstance(loaded, SRGANGenerator | UNet)
    return loaded


@torch.no_grad()
def upscale(network: PlainUpscaler, low_res: Tensor, times: int = 1) -> Tensor:
    """Upscale a picture, and what comes out again and again (as StackGAN stacks its stages, Zhang et al. 2017).

    The histogram, if the network's config asks for it, is matched to the low-res picture at the end of each time.

    Args:
        network: in eval mode.
        low_res: (3, h, w) in [0, 1].
        times: how often; 2 with a network of scale 2 upscales 64 px to 256.
    Returns:
        (3, s*h, s*w) float32 in [0, 1], where s is the network's scale to the power of `times`.
    Raises:
        UsageError: if `times` is below 1.
    """
    if times < 1:
        raise UsageError(f"upscale: times is {times}, expected at least 1.")
    picture = low_res.float()
    for _ in range(times):
        picture = network(picture[None])[0].clamp(0, 1)
        if isinstance(network, SRGANGenerator) and network.config.match_histogram:
            picture = match_histogram(picture, low_res)
    return picture
