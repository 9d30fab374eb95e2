"""The 3x3 convolution of networks whose time goes into wide, small layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegen.ops.winograd import STEP, winograd_conv

WIDE, LARGE = 128, 16 * 16
"""Channels and pixels from which Winograd's algorithm is the faster one (docs/training.md)."""


class Conv3x3(nn.Conv2d):
    """A convolution padded by one pixel; on processors, in float32, by Winograd's algorithm where that is faster."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__(cin, cout, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if self.bias is not None and self._faster(x):
            return winograd_conv(x, self.weight, self.bias)
        return super().forward(x)

    def _faster(self, x: Tensor) -> bool:
        height, width = x.shape[-2:]
        return (
            x.device.type == "cpu"
            and x.dtype == self.weight.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu")
            and min(self.in_channels, self.out_channels) >= WIDE
            and height * width >= LARGE
            and height % STEP == width % STEP == 0
        )
