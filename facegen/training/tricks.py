"""Memories that steady a training. Modules whose buffers hold all they know, so that a checkpoint keeps it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegen.errors import ShapeError


class HistoricalAverage(nn.Module):
    """The mean of a network's parameters over all their values so far, to be kept near (Salimans et al. 2016, 3.3).

    Of all values that it was updated with; until then it holds those it was made with.
    """

    mean: Tensor
    count: Tensor

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.register_buffer("mean", _parameters(module).detach().clone())  # (parameters,)
        self.register_buffer("count", torch.tensor(0))

    def penalty(self, module: nn.Module) -> Tensor:
        """Squared distance of the parameters from their mean, |theta - mean|^2, per parameter; with their gradient."""
        return (_parameters(module) - self.mean).square().mean()

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take the parameters' present values into the mean; once a step."""
        self.count += 1
        self.mean += (_parameters(module) - self.mean) / self.count


class ReplayBuffer(nn.Module):
    """Earlier drawn pictures, shown again so that the discriminator does not forget them (Shrivastava et al. 2017).

    Picture by picture, as CycleGAN does (Zhu et al. 2017): until the buffer is full each is kept and passed on; from
    then on each is exchanged, with probability 1/2, against a kept one at random, whose place it takes.

    Kept as uint8, as pictures on disk are: an exchanged picture comes back up to 1/255 off in [-1, 1], clamped.
    """

    pictures: Tensor
    count: Tensor

    def __init__(self, capacity: int, channels: int, side: int) -> None:
        super().__init__()
        self.register_buffer("pictures", torch.zeros(capacity, channels, side, side, dtype=torch.uint8))
        self.register_buffer("count", torch.tensor(0))

    @torch.no_grad()
    def mix(self, fake: Tensor, rng: torch.Generator) -> Tensor:
        """Exchange about half of a batch, and keep what went out.

        Args:
            fake: (B, C, H, W) in [-1, 1]; not changed.
            rng: draws which pictures are exchanged, and against which; the same number of draws however full it is.
        Returns:
            (B, C, H, W) without gradient: `fake`, with earlier pictures in some of the places.
        Raises:
            ShapeError: if the pictures are of another size than the buffer's.
        """
        if fake.ndim != 4 or fake.shape[1:] != self.pictures.shape[1:]:
            sides = ", ".join(str(n) for n in self.pictures.shape[1:])
            raise ShapeError(f"ReplayBuffer: pictures have shape {tuple(fake.shape)}, expected (B, {sides}).")
        capacity = len(self.pictures)
        exchanged = (torch.rand(len(fake), generator=rng) < 0.5).tolist()
        places = torch.randint(capacity, (len(fake),), generator=rng).tolist()
        kept = ((fake.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        mixed = fake.detach().clone()
        filled = int(self.count)
        for i, picture in enumerate(kept):
            if filled < capacity:
                self.pictures[filled] = picture
                filled += 1
            elif exchanged[i]:
                mixed[i] = self.pictures[places[i]].float() / 127.5 - 1
                self.pictures[places[i]] = picture
        self.count.fill_(filled)
        return mixed


def _parameters(module: nn.Module) -> Tensor:
    """All of a network's parameters as one float32 vector, in whatever memory format they are."""
    return torch.cat([p.float().reshape(-1) for p in module.parameters()])
