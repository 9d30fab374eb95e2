"""Networks to compare with, rebuilt from their papers; their speed needs no trained weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DenseBlock(nn.Module):
    """Five densely connected convolutions (ESRGAN, Wang et al. 2018)."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(width + i * growth, growth if i < 4 else width, 3, padding=1) for i in range(5)
        )

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for conv in self.convs[:-1]:
            maps.append(F.leaky_relu(conv(torch.cat(maps, 1)), 0.2))
        out: Tensor = self.convs[-1](torch.cat(maps, 1))
        return x + 0.2 * out


class RRDBNet(nn.Module):
    """Real-ESRGAN's 4x network: 23 residual-in-residual dense blocks of 64 channels."""

    def __init__(self, width: int = 64, growth: int = 32, blocks: int = 23) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.ModuleList(nn.Sequential(*(DenseBlock(width, growth) for _ in range(3))) for _ in range(blocks))
        self.after, self.up1, self.up2, self.high = (nn.Conv2d(width, width, 3, padding=1) for _ in range(4))
        self.last = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, h, w) to (B, 3, 4h, 4w)."""
        first = self.first(x)
        y = first
        for block in self.body:
            y = y + 0.2 * block(y)
        y = first + self.after(y)
        for up in (self.up1, self.up2):
            y = F.leaky_relu(up(F.interpolate(y, scale_factor=2, mode="nearest")), 0.2)
        out: Tensor = self.last(F.leaky_relu(self.high(y), 0.2))
        return out
