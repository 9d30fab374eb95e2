"""Giving every node of a grid one of K labels, so that the labels are good and neighbours go together.

The labelling maximises sum(quality of the chosen labels) - sum(cost of each two neighbours' labels). Iterated
conditional modes (J. Besag, "On the Statistical Analysis of Dirty Pictures", JRSS B 48, 1986), with a whole row or
column as the unit: given the lines beside it, a line is solved exactly by dynamic programming (Viterbi).
"""

import torch
from torch import Tensor

MAX_SWEEPS = 100
"""Far more than the search needs (2 to 5); bounds it if rounding ever made two labellings alternate."""


def label_grid(quality: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Find the best labelling from K + 1 starts: every node's best label, and each label everywhere.

    Deterministic. Usually the optimum, always at least as good as every start.

    Args:
        quality: (R, N, K) worth of each label, for R rows of N nodes.
        across: (R, N-1, K, K) cost of a node's label (third axis) beside its right neighbour's (fourth).
        down: (R-1, N, K, K) cost of a node's label above its lower neighbour's.
    Returns:
        (R, N) int64 labels.
    """
    rows, columns, count = quality.shape
    constant = torch.arange(count)[:, None, None].expand(-1, rows, columns)
    labels = torch.cat([quality.argmax(-1)[None], constant])  # (S, R, N), S = K + 1 starts
    for _ in range(MAX_SWEEPS):
        before = labels
        labels = _solve_rows(labels, quality, across, down)
        labels = _solve_rows(labels.mT, quality.transpose(0, 1), down.transpose(0, 1), across.transpose(0, 1)).mT
        if torch.equal(before, labels):
            break
    return labels[grid_value(labels, quality, across, down).argmax()]


def grid_value(labels: Tensor, quality: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """What `label_grid` maximises.

    Args:
        labels: (S, R, N) int64, any number of labellings.
        quality, across, down: see `label_grid`.
    Returns:
        (S,) values, higher is better.
    """
    costs = _row_costs(labels, down) + _row_costs(labels.mT, across.transpose(0, 1)).transpose(1, 2)  # (S, R, N, K)
    worth = quality - costs / 2  # both ends of a link count it
    return worth.gather(-1, labels[..., None]).sum((1, 2, 3))


def _solve_rows(labels: Tensor, quality: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Solve the even rows given the odd ones, then the odd rows given the even ones: (S, R, N) -> (S, R, N)."""
    odd = (torch.arange(len(quality)) % 2 == 1)[:, None]  # (R, 1)
    for chosen in (~odd, odd):
        labels = torch.where(chosen, _best_rows(quality - _row_costs(labels, down), across), labels)
    return labels


def _row_costs(labels: Tensor, down: Tensor) -> Tensor:
    """What each label of each node costs below and above its neighbours' labels: (S, R, N) -> (S, R, N, K)."""
    rows, columns = torch.arange(len(down))[:, None], torch.arange(labels.shape[-1])
    costs = down.new_zeros(*labels.shape, down.shape[-1])
    costs[:, 1:] += down[rows, columns, labels[:, :-1]]
    costs[:, :-1] += down.mT[rows, columns, labels[:, 1:]]
    return costs


def _best_rows(worth: Tensor, across: Tensor) -> Tensor:
    """The best labels of each row by itself, exactly: worth (S, R, N, K), across (R, N-1, K, K) -> (S, R, N)."""
    best = worth[:, :, 0]  # (S, R, K): of the row so far, if it ends in this label
    origins = []
    for column, links in enumerate(across.unbind(1), start=1):
        best, origin = (best[..., None] - links).max(-2)
        best = best + worth[:, :, column]
        origins.append(origin)
    labels = [best.argmax(-1, keepdim=True)]  # (S, R, 1), from the last column back
    for origin in reversed(origins):
        labels.append(origin.gather(-1, labels[-1]))
    return torch.cat(labels[::-1], dim=-1)
