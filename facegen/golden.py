"""Check a device: the pipeline, with networks defined in this file, must draw the golden picture on it."""

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
"""Means of 8 x 8 blocks of the picture that a CPU draws in float32: red, green and blue planes, row by row, in 8 bits.
If the pipeline itself has changed, tests/test_golden.py prints the new value."""
CLOSE = 3.0
"""Largest difference of a block, in 8-bit steps; rounding and bfloat16 stay below one."""


def choose_device(name: str) -> str:
    """Return the torch device of a name; "auto" is CUDA, Apple's GPU if it draws the golden picture, or the CPU.

    Raises:
        UsageError: if there is no such device.
    """
    if name == "auto" and not torch.cuda.is_available() and torch.backends.mps.is_available():
        return "mps" if difference("mps") < CLOSE else "cpu"
    return resolve_device(name)


@cache
def difference(device: str) -> float:
    """Return the largest difference of a block of the golden picture drawn by a device, in 8-bit steps; inf if it
    cannot draw it.
    """
    try:
        found = blocks(golden_picture(device))
    except (RuntimeError, NotImplementedError, TypeError, WeightsError):  # the device lacks an operation
        return float("inf")
    wanted = torch.tensor(list(bytes.fromhex(GOLDEN)), dtype=torch.float32).reshape(found.shape)
    return float((found - wanted).abs().nan_to_num(float("inf")).max())


def golden_picture(device: str = "cpu", precision: Precision = "auto") -> Tensor:
    """Draw and upscale the golden picture on a device: (3, 384, 384) in [0, 1]."""
    generator = DCGANGenerator(DCGANConfig(z_dim=8, widths=(16, 16, 8, 8, 8, 8)))
    upscaler = JNet(JNetConfig(decoder_widths=(16, 16, 16, 8, 8, 8, 4, 4), decoder_depths=(1,) * 8))
    one = CandidateOptions(variants=())  # the choice between equal candidates could differ
    recipe = PipelineRecipe(kind="pipeline", precision=precision, fidelity=0.25, candidates=one)
    pipeline = FacePipeline(
        recipe, generator=_fixed(generator, 2.0), upscaler=_fixed(upscaler, 1.0), guide="rgb", device=device
    )
    face = pipeline.draw(torch.linspace(-2, 2, 8))
    return pipeline(face, SIDE, landmarks=None).image.float().cpu()


def blocks(picture: Tensor) -> Tensor:
    """Average the blocks of a picture: (3, 384, 384) in [0, 1] -> (3, 8, 8) in 8-bit steps."""
    return downsample_area(picture, (BLOCKS, BLOCKS)) * 255


def _fixed(network: Network, gain: float) -> Network:
    """Set weights that are equal on every machine: n² modulo a prime, with the scale of He's initialisation."""
    with torch.no_grad():
        for number, (name, values) in enumerate(network.named_parameters()):
            if values.ndim == 4:
                squares = (torch.arange(values.numel()) + number).square() * 7919 % 10007
                values.copy_((squares.reshape(values.shape) / 5003 - 1) * gain * (6 / values[0].numel()) ** 0.5)
            else:
                values.fill_(0 if name.endswith("bias") else 1)
    return network.eval()
