"""Batchnorm statistics for averaged weights: those kept while training belong to other weights, and other latents."""

from __future__ import annotations

import torch
from torch import Tensor, nn

BATCH = 32
"""Pictures drawn at a time."""


def calibrate_batchnorm(generator: nn.Module, z: Tensor) -> None:
    """Measure a generator's batchnorm statistics anew, over what it draws from (N, z_dim) z; leaves it in eval."""
    norms = [m for m in generator.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over all batches
    generator.train()
    with torch.no_grad():
        for batch in torch.split(z, BATCH):
            generator(batch)
    generator.eval()
