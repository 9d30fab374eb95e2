"""The golden picture: what the pipeline draws with networks that are part of the code. A device that draws another
picture is not to be trusted.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from facegen.errors import WeightsError
from facegen.models.dcgan import DCGANConfig, DCGANGenerator
from facegen.models.jnet import JNet, JNetConfig
from facegen.ops.consistency import downsample_area
from facegen.pipeline import FacePipeline
from facegen.recipe import CandidateOptions, PipelineRecipe
from facegen.runtime import Precision, resolve_device
from facegen.weights import Network

SIDE, BLOCKS = 384, 8
GOLDEN = (
    "8c928f918e8f919494a6a19ea29d9ba293b7a0a5a6a19aa394b2a09da89e97a192ad9b9da49d96a295b7a2a3a99e98a3"
    "94b9a0a0a59c96a5869d928f93918b957c79797777747c7f7a797a757976787d747878797877757a7775747078747579"
    "757574737975767e787a79757773757d737a7676757074807a797a767778777b81858587868784878893908f918f8d93"
    "8b9d8f9293908e968b9b929195908d968a98909192908b938b9d909397908d938d9c919194928c93809088888b89858a"
)
"""The means of 8 x 8 blocks of the picture, red, green and blue, in 255 steps, row by row, as a processor draws them in
float32; tests/test_golden.py prints them anew where the flow itself has changed."""
CLOSE = 3.0
"""Steps of 255 by which a block may differ; rounding and bfloat16 stay below one."""


def choose_device(name: str) -> str:
    """The torch device that a name means here; "auto" takes CUDA, Apple's GPU if it draws the golden picture, or the
    processor.

    Raises:
        UsageError: if there is no such device.
    """
    if name == "auto" and not torch.cuda.is_available() and torch.backends.mps.is_available():
        return "mps" if difference("mps") < CLOSE else "cpu"
    return resolve_device(name)


@cache
def difference(device: str) -> float:
    """The largest difference of a block of the golden picture as a device draws it, in steps of 255; inf if the device
    cannot draw it.
    """
    try:
        found = blocks(golden_picture(device))
    except (RuntimeError, NotImplementedError, TypeError, WeightsError):  # raised where a backend lacks something
        return float("inf")
    wanted = torch.tensor(list(bytes.fromhex(GOLDEN)), dtype=torch.float32).reshape(found.shape)
    return float((found - wanted).abs().nan_to_num(float("inf")).max())


def golden_picture(device: str = "cpu", precision: Precision = "auto") -> Tensor:
    """(3, 384, 384) in [0, 1], drawn, cut in tiles, upscaled, blended and back-projected on the device."""
    generator = DCGANGenerator(DCGANConfig(z_dim=8, widths=(16, 16, 8, 8, 8, 8)))
    upscaler = JNet(JNetConfig(decoder_widths=(16, 16, 16, 8, 8, 8, 4, 4), decoder_depths=(1,) * 8))
    one = CandidateOptions(variants=())  # a choice between equals could fall either way
    recipe = PipelineRecipe(kind="pipeline", precision=precision, fidelity=0.25, candidates=one)
    pipeline = FacePipeline(
        recipe, generator=_known(generator, 2.0), upscaler=_known(upscaler, 1.0), guide="rgb", device=device
    )
    face = pipeline.draw(torch.linspace(-2, 2, 8))
    return pipeline(face, SIDE, landmarks=None).image.float().cpu()


def blocks(picture: Tensor) -> Tensor:
    """(3, 384, 384) in [0, 1] to the means of its blocks, (3, 8, 8), in steps of 255."""
    return downsample_area(picture, (BLOCKS, BLOCKS)) * 255


def _known(network: Network, gain: float) -> Network:
    """Give a network weights that every machine computes alike, as strong as He's random start: n² modulo a prime."""
    with torch.no_grad():
        for number, (name, values) in enumerate(network.named_parameters()):
            if values.ndim == 4:
                squares = (torch.arange(values.numel()) + number).square() * 7919 % 10007
                values.copy_((squares.reshape(values.shape) / 5003 - 1) * gain * (6 / values[0].numel()) ** 0.5)
            else:
                values.fill_(0 if name.endswith("bias") else 1)
    return network.eval()
