"""Random numbers of a training step, the same however many processes share the batch; and DiffAugment."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


class Draws:
    """A step's source of random numbers, known from the seed alone.

    Every process draws for the whole batch and keeps its own rows, so that together they see what a single one would.
    """

    def __init__(self, *seed: int, rank: int = 0, world: int = 1) -> None:
        self.rng = torch.Generator().manual_seed(hash(seed) & (2**63 - 1))
        self.rank, self.world = rank, world

    def rand(self, count: int, *shape: int) -> Tensor:
        """(count, *shape) uniform in [0, 1)."""
        return self._own(torch.rand(count * self.world, *shape, generator=self.rng))

    def randn(self, count: int, *shape: int) -> Tensor:
        """(count, *shape) standard normal."""
        return self._own(torch.randn(count * self.world, *shape, generator=self.rng))

    def randint(self, low: int, high: int, count: int, *shape: int) -> Tensor:
        """(count, *shape) whole numbers in [low, high)."""
        return self._own(torch.randint(low, high, (count * self.world, *shape), generator=self.rng))

    def shared(self, low: int, high: int, count: int) -> list[int]:
        """`count` whole numbers in [low, high), equal in all processes."""
        return torch.randint(low, high, (count,), generator=self.rng).tolist()

    def _own(self, rows: Tensor) -> Tensor:
        return rows.chunk(self.world)[self.rank]


def colour(x: Tensor, draws: Draws) -> Tensor:
    """Shift brightness by up to 0.5, scale saturation by 0-2 and contrast by 0.5-1.5."""
    brightness, saturation, contrast = draws.rand(x.shape[0], 3, 1, 1, 1).to(x.device).unbind(1)  # (B, 1, 1, 1) each
    x = x + brightness - 0.5
    grey = x.mean(dim=1, keepdim=True)
    x = (x - grey) * (saturation * 2) + grey
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    contrasted: Tensor = (x - mean) * (contrast + 0.5) + mean
    return contrasted


def translation(x: Tensor, draws: Draws, ratio: float = 0.125) -> Tensor:
    """Move by up to an eighth of the side; zeros come in."""
    side = x.shape[-1]
    reach = int(side * ratio + 0.5)
    moves = draws.randint(-reach, reach + 1, x.shape[0], 2).tolist()
    padded = F.pad(x, (reach, reach, reach, reach))
    starts = [(reach + dy, reach + dx) for dy, dx in moves]
    return torch.stack([p[:, y : y + side, x : x + side] for p, (y, x) in zip(padded, starts, strict=True)])


def cutout(x: Tensor, draws: Draws, ratio: float = 0.5) -> Tensor:
    """Blank a square of half the side, which may leave the picture."""
    side = x.shape[-1]
    size = int(side * ratio + 0.5)
    mask = torch.ones(x.shape[0], 1, side, side, dtype=x.dtype)
    for m, (cy, cx) in zip(mask, draws.randint(0, side + 1, x.shape[0], 2).tolist(), strict=True):
        m[:, max(cy - size // 2, 0) : cy + size // 2, max(cx - size // 2, 0) : cx + size // 2] = 0
    return x * mask.to(x.device)


POLICIES: dict[str, Callable[[Tensor, Draws], Tensor]] = {"color": colour, "translation": translation, "cutout": cutout}
"""Under the names of the paper's own policies."""


def diffaugment(x: Tensor, policies: Sequence[str], draws: Draws) -> Tensor:
    """Apply differentiable augmentations (Zhao et al. 2020) to (B, 3, H, W) pictures in [-1, 1], in order."""
    for name in policies:
        x = POLICIES[name](x, draws)
    return x
