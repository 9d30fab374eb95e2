"""Random numbers of a training step, the same whether one process draws them or several share the batch."""

from __future__ import annotations

import torch
from torch import Tensor


class Draws:
    """A step's source of random numbers, known from the seed alone.

    Every process draws for the whole batch and keeps its own rows, so that the processes together see what a single one
    would have seen.
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
