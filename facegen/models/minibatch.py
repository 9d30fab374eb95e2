"""What lets a discriminator see that a batch's pictures are all alike: minibatch discrimination and deviation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegen.errors import ShapeError


class MinibatchDiscrimination(nn.Module):
    """To each picture's features, how near the rest of the batch is to it (Salimans et al. 2016, section 3.2).

    A trained tensor T (A, B, C) takes the features to B points M_b of C numbers. Picture i gets
    o_b = sum over j of exp(-|M_ib - M_jb|_1), from 1 (alone) to the batch's size (all alike); j = i counts, as in the
    paper. At the start, features of unit variance are about one apart whatever A and C are, where exp(-x) has a slope.
    """

    def __init__(self, features: int, kernels: int = 100, dims: int = 5) -> None:
        """A, B and C; the defaults for the last two are those of the paper's code."""
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(features, kernels, dims) / (dims * features**0.5))

    def forward(self, features: Tensor) -> Tensor:
        """Append the nearness to the features.

        Args:
            features: (N, A), a batch of N pictures; flattened and pooled by the caller.
        Returns:
            (N, A + B), in the features' dtype.
        Raises:
            ShapeError: if the features are not (N, A).
        """
        count, kernels, dims = self.kernel.shape
        if features.ndim != 2 or features.shape[1] != count:
            raise ShapeError(
                f"MinibatchDiscrimination: features have shape {tuple(features.shape)}, expected (N, {count})."
            )
        points = (features @ self.kernel.flatten(1).to(features.dtype)).float().view(-1, kernels, dims)  # (N, B, C)
        distances = (points[:, None] - points).abs().sum(dim=3)  # (N, N, B)
        nearness = torch.exp(-distances).sum(dim=1)  # (N, B)
        return torch.cat([features, nearness.to(features.dtype)], dim=1)


class MinibatchStddev(nn.Module):
    """One more channel: how much a group of pictures differs (Karras et al. 2018), so that sameness can be seen.

    The standard deviation over the group, averaged over channels and places. The last group may be smaller.
    """

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        deviations = [
            (group.float().var(dim=0, correction=0) + 1e-8).sqrt().mean().expand(len(group), 1, *x.shape[2:])
            for group in torch.split(x, self.group)
        ]
        return torch.cat([x, torch.cat(deviations).to(x.dtype)], dim=1)  # (B, C+1, H, W)
