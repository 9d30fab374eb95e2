"""Losses as small functions: means over the batch, float32."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


def hinge_discriminator(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Hinge loss of a discriminator (Lim & Ye 2017), averaged over its heads."""
    losses = [F.relu(1 - r.float()).mean() + F.relu(1 + f.float()).mean() for r, f in zip(real, fake, strict=True)]
    return _mean(losses)


def hinge_generator(fake: Sequence[Tensor]) -> Tensor:
    """Minus the mean logit, averaged over the heads."""
    return _mean([-f.float().mean() for f in fake])


def pooled_l1(a: Tensor, b: Tensor, factor: int) -> Tensor:
    """L1 between two (B, C, H, W) batches after average pooling by `factor`: colours and shapes, no details."""
    return F.l1_loss(F.avg_pool2d(a, factor), F.avg_pool2d(b, factor))


class FeatureLoss(nn.Module):
    """Distance of two batches in a frozen network's features, channel-normalised as in LPIPS (Zhang et al. 2018).

    Every place of every map is scaled to unit length over its channels; squared differences are summed over channels,
    averaged over places and summed over maps. No learned weights. Only the finest maps help: from stride 8 on the
    gradient hardly points towards the target (docs/training.md).
    """

    def __init__(self, network: nn.Module, maps: int = 2) -> None:
        super().__init__()
        self.network, self.maps = network, maps

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Scalar distance of two (B, 3, H, W) batches in [0, 1]; gradients reach `a` alone."""
        features_a = self.network(a * 2 - 1, self.maps)
        features_b = [f.detach() for f in self.network(b * 2 - 1, self.maps)]
        distances = [
            (F.normalize(x.float(), dim=1) - F.normalize(y.float(), dim=1)).square().sum(dim=1).mean()
            for x, y in zip(features_a, features_b, strict=True)
        ]
        return _mean(distances) * len(distances)


def _mean(losses: Sequence[Tensor]) -> Tensor:
    return sum(losses[1:], losses[0]) / len(losses)
