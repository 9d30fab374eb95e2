"""What the stages that upscale pictures share: the content loss, and how they are validated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from facegen.media.sheets import contact_sheet
from facegen.models.efficientnet import EfficientNetLite, Name, feature_loss, load_efficientnet, maps_loss
from facegen.training.config import FeatureLoss
from facegen.training.objectives.base import placed, to_device, to_uint8
from facegen.training.vgg import load_vgg19, vgg_loss

BATCH, VALIDATED = 8, 48
"""Pictures that `validate` looks at, at a time and in all; the first ones are shown."""

Distance = Callable[[Tensor, Tensor], Tensor]


class Pairs(Protocol):
    """Numbered pairs of what is upscaled and what is to come out."""

    def batch(self, start: int, size: int) -> tuple[Tensor, Tensor]:
        """(B, 3 or more, h, w) low-res planes, RGB first, and (B, 3, s*h, s*w); both in [0, 1]."""
        ...


class ContentLoss:
    """The distance that the recipe names, in frozen networks' features."""

    def __init__(self, loss: FeatureLoss, device: torch.device) -> None:
        """Load the networks.

        Raises:
            MissingExtraError: if an EfficientNet's weights are wanted that are not installed.
            TrainingError: if VGG19's weights are wanted and cannot be read.
        """
        self.weights = loss.feature_weights
        self.vgg = None if loss.vgg19 is None else placed(load_vgg19(loss.vgg19), device)
        names = () if self.vgg else loss.features
        self.networks: dict[Name, EfficientNetLite] = {name: placed(load_efficientnet(name), device) for name in names}

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Of two (B, 3, H, W) batches in [0, 1]; gradients reach the first alone."""
        if self.vgg is not None:
            return vgg_loss(self.vgg, a, b)
        losses = [feature_loss(network, a, b, weights=self.weights) for network in self.networks.values()]
        return torch.stack(losses).mean()

    def of_maps(self, maps: Mapping[Name, Sequence[Tensor]], wanted: Mapping[Name, Sequence[Tensor]]) -> Tensor:
        """The same of two batches whose maps by the EfficientNets are known already."""
        losses = [maps_loss(maps[name], wanted[name], weights=self.weights) for name in self.networks]
        return torch.stack(losses).mean()


@torch.no_grad()
def validate(
    unseen: Pairs, network: torch.nn.Module, distance: Distance, device: torch.device
) -> tuple[NDArray[np.uint8], dict[str, float]]:
    """Look at pairs that are not trained on.

    Returns:
        a sheet with rows of bicubic, upscaled and real pictures, and the mean distance to the real ones of those
        upscaled ("score") and of the bicubic ones.
    """
    sheet: list[NDArray[np.uint8]] = []
    distances = []
    for start in range(0, VALIDATED, BATCH):
        low, real = (to_device(x, device) for x in unseen.batch(start, BATCH))
        upscaled = network(low).float().clamp(0, 1)
        bicubic = F.interpolate(low[:, :3], size=real.shape[-2:], mode="bicubic", align_corners=False).clamp(0, 1)
        distances.append([distance(x, real).item() for x in (upscaled, bicubic)])
        if not start:
            sheet = [picture for row in (bicubic, upscaled, real) for picture in to_uint8(row)]
    score, base = np.mean(distances, axis=0)
    return contact_sheet(sheet, columns=BATCH), {"score": float(score), "bicubic": float(base)}
