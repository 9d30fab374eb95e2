"""Random numbers of a training step, the same however many processes share the batch; and DiffAugment."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_STEP, _FIRST, _SECOND = (n - 2**64 for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_BITS = 24
"""Bits that a float32 holds without rounding."""


class Draws:
    """A step's random numbers, determined by the seed.

    Every process draws for the whole batch and keeps its share of the rows, so that together they see the same numbers
    as a single process.
    """

    def __init__(self, *seed: int, rank: int = 0, world: int = 1, device: torch.device | str = "cpu") -> None:
        """Numbers are drawn on the processor and moved to `device`, so they are the same on every device."""
        self.rng = torch.Generator().manual_seed(hash(seed) & (2**63 - 1))
        self.rank, self.world, self.device = rank, world, torch.device(device)

    def rand(self, count: int, *shape: int) -> Tensor:
        """(count, *shape) uniform in [0, 1)."""
        return self._share(torch.rand(count * self.world, *shape, generator=self.rng))

    def randn(self, count: int, *shape: int) -> Tensor:
        """(count, *shape) standard normal."""
        return self._share(torch.randn(count * self.world, *shape, generator=self.rng))

    def randint(self, low: int, high: int, count: int, *shape: int) -> Tensor:
        """(count, *shape) integers in [low, high)."""
        return self._share(torch.randint(low, high, (count * self.world, *shape), generator=self.rng))

    def shared(self, high: int) -> Tensor:
        """(2,) integers in [0, high), equal in all processes: the top and left of a square, for example."""
        return torch.randint(high, (2,), generator=self.rng).to(self.device, non_blocking=True)

    def _share(self, rows: Tensor) -> Tensor:
        return rows.chunk(self.world)[self.rank].to(self.device, non_blocking=True)


class FixedDraws(Draws):
    """Draws whose numbers stay at the same places in memory, for steps that are replayed as a CUDA graph.

    The first step determines which numbers are needed; `refill` draws the next step's in the same order.
    """

    def __init__(self, draws: Draws) -> None:
        self._draws, self._next = draws, 0
        self._calls: list[tuple[str, tuple[int, ...]]] = []
        self._places: list[Tensor] = []

    def rewind(self) -> None:
        """Return the same numbers again."""
        self._next = 0

    def refill(self, draws: Draws) -> None:
        """Replace the numbers by another step's."""
        self.rewind()
        for (name, arguments), place in zip(self._calls, self._places, strict=True):
            place.copy_(getattr(draws, name)(*arguments), non_blocking=True)

    def rand(self, count: int, *shape: int) -> Tensor:
        return self._placed("rand", count, *shape)

    def randn(self, count: int, *shape: int) -> Tensor:
        return self._placed("randn", count, *shape)

    def randint(self, low: int, high: int, count: int, *shape: int) -> Tensor:
        return self._placed("randint", low, high, count, *shape)

    def shared(self, high: int) -> Tensor:
        return self._placed("shared", high)

    def _placed(self, name: str, *arguments: int) -> Tensor:
        if self._next == len(self._places):
            self._calls.append((name, arguments))
            self._places.append(getattr(self._draws, name)(*arguments))
        self._next += 1
        return self._places[self._next - 1]


class ItemDraws:
    """Random numbers for the items of an endless training order, the same on any device.

    They are a hash of seed, item, call and place (splitmix64, Steele et al. 2014), so there is no state: a batch may be
    made in parts, in any order, by any process.
    """

    def __init__(self, seed: int, items: Tensor) -> None:
        """`items` are (B,) int64 numbers in the order."""
        self.keys = _mixed(_mixed(torch.full_like(items, seed)) + items)
        self.calls = 0

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """(B, *shape) float32, uniform in [low, high)."""
        return low + (high - low) * self._bits(shape).float().mul(2.0**-_BITS)

    def integers(self, high: Tensor | int, *shape: int) -> Tensor:
        """(B, *shape) int64, uniform in [0, high); `high` is (B,) or a number."""
        limit = high.view(-1, *(1,) * len(shape)) if isinstance(high, Tensor) else high
        return (self._bits(shape) * limit) >> _BITS

    def normal(self, *shape: int) -> Tensor:
        """(B, *shape) float32, standard normal (Box and Muller 1958)."""
        radius = (1 - self.uniform(*shape)).log().mul(-2).sqrt()
        return radius * (2 * math.pi * self.uniform(*shape)).cos()

    def chance(self, share: float, *shape: int) -> Tensor:
        """(B, *shape) bool, true in `share` of the cases."""
        return self.uniform(*shape) < share

    def _bits(self, shape: tuple[int, ...]) -> Tensor:
        self.calls += 1
        places = torch.arange(math.prod(shape), device=self.keys.device)
        stream = _mixed(self.keys + self.calls)
        bits: Tensor = (_mixed(stream[:, None] + places) >> (64 - _BITS)) & (2**_BITS - 1)
        return bits.view(-1, *shape)


def _mixed(values: Tensor) -> Tensor:
    """splitmix64 of int64 numbers, which wrap around; the sign bits of arithmetic shifts are masked off."""
    z = values * _STEP
    z = (z ^ ((z >> 30) & (2**34 - 1))) * _FIRST
    z = (z ^ ((z >> 27) & (2**37 - 1))) * _SECOND
    mixed: Tensor = z ^ ((z >> 31) & (2**33 - 1))
    return mixed


def colour(x: Tensor, draws: Draws) -> Tensor:
    """Shift brightness by up to 0.5, scale saturation by 0-2 and contrast by 0.5-1.5."""
    brightness, saturation, contrast = draws.rand(x.shape[0], 3, 1, 1, 1).unbind(1)  # (B, 1, 1, 1) each
    x = x + brightness - 0.5
    grey = x.mean(dim=1, keepdim=True)
    x = (x - grey) * (saturation * 2) + grey
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    contrasted: Tensor = (x - mean) * (contrast + 0.5) + mean
    return contrasted


def translation(x: Tensor, draws: Draws) -> Tensor:
    """Move by up to an eighth of the side; zeros come in."""
    side = x.shape[-1]
    reach = int(side / 8 + 0.5)
    moves = draws.randint(-reach, reach + 1, x.shape[0], 2)
    places = torch.arange(side, device=x.device) + moves[..., None]  # (B, 2, side): rows and columns to take
    inside = ((places >= 0) & (places < side)).to(x.dtype)
    rows, columns = places.clamp(0, side - 1).unbind(1)
    moved = x.gather(2, rows[:, None, :, None].expand_as(x)).gather(3, columns[:, None, None, :].expand_as(x))
    return moved * inside[:, None, 0, :, None] * inside[:, None, 1, None, :]


def cutout(x: Tensor, draws: Draws) -> Tensor:
    """Blank a square of half the side, which may leave the picture."""
    side = x.shape[-1]
    reach = int(side / 2 + 0.5) // 2
    starts = draws.randint(0, side + 1, x.shape[0], 2)[..., None] - reach  # (B, 2, 1)
    places = torch.arange(side, device=x.device)
    cut = (places >= starts) & (places < starts + 2 * reach)  # (B, 2, side)
    return x * ~(cut[:, None, 0, :, None] & cut[:, None, 1, None, :])


POLICIES: dict[str, Callable[[Tensor, Draws], Tensor]] = {"color": colour, "translation": translation, "cutout": cutout}
"""By their names in the paper."""


def diffaugment(x: Tensor, policies: Sequence[str], draws: Draws) -> Tensor:
    """Apply differentiable augmentations (Zhao et al. 2020) to (B, 3, H, W) pictures in [-1, 1], in order."""
    for name in policies:
        x = POLICIES[name](x, draws)
    return x
