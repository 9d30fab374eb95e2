"""Muon: gradient descent by orthogonal matrices, for a generator's convolutions.

PyTorch's Muon takes no convolutions, and pytorch-optimizer's makes matrices orthogonal in bfloat16 only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

LEAST_ROWS = 4
"""Adam updates matrices with fewer rows, such as a layer onto three colours, and biases."""
LENGTH = 0.2
"""Root mean square of an update, relative to the learning rate: usual for Adam, so that its rates fit."""
MOMENTUM, EPS = 0.95, 1e-8
"""Momentum of Muon's average; Adam's epsilon."""
# The polynomial that brings all singular values near 1 in five rounds (Jordan et al. 2024)
_A, _B, _C, _ROUNDS = 3.4445, -4.7750, 2.0315, 5


def orthogonalised(matrices: Tensor) -> Tensor:
    """Approximate the orthogonal matrices nearest to (..., M, N): singular values end up between 0.7 and 1.2.

    Newton-Schulz rounds need matrix products only; singular values below a thousandth of the Frobenius norm stay small.
    On a GPU they run in bfloat16, whose error is as small as the polynomial's.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x: Tensor = matrices.mT if tall else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    if x.device.type == "cuda":
        x = x.bfloat16()
    for _ in range(_ROUNDS):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) for matrices and the kernels of convolutions, Adam for all else.

    The gradient's moving average with Nesterov momentum is made orthogonal, so that no direction of a layer learns
    faster than the others. Kernels are (outputs, inputs x height x width) matrices, in batches of one shape. Updates
    are as long as Adam's (Liu et al. 2025, "Muon is Scalable for LLM Training"), so Adam's learning rates fit.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], *, lr: float | Tensor, betas: tuple[float, float] = (0.9, 0.99)
    ) -> None:
        """`betas` are Adam's; a learning rate that is a tensor may change in a step replayed as a graph."""
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Descend once; closures are not supported."""
        for group in self.param_groups:
            trained: list[Tensor] = [p for p in group["params"] if p.grad is not None]
            for parameter in trained:
                self.state[parameter] = self.state[parameter] or _begin(parameter)
            kernels: dict[tuple[int, ...], list[Tensor]] = {}
            for parameter in filter(_is_matrix, trained):
                kernels.setdefault(parameter.shape, []).append(parameter)
            for equal in kernels.values():
                self._descend_matrices(equal, group["lr"])
            if others := [p for p in trained if not _is_matrix(p)]:
                self._descend_adam(others, group["lr"], *group["betas"])

    def _descend_matrices(self, equal: list[Tensor], lr: float | Tensor) -> None:
        averages, gradients = [self.state[p]["average"] for p in equal], _gradients(equal)
        torch._foreach_lerp_(averages, gradients, 1 - MOMENTUM)
        ahead = torch.stack(torch._foreach_lerp(gradients, averages, MOMENTUM)).flatten(2)
        updates = orthogonalised(ahead) * (-lr * LENGTH * max(ahead.shape[1:]) ** 0.5)
        torch._foreach_add_(equal, [update.view(equal[0].shape) for update in updates])

    def _descend_adam(self, others: list[Tensor], lr: float | Tensor, first: float, second: float) -> None:
        states, gradients = [self.state[p] for p in others], _gradients(others)
        for state, parameter in zip(states, others, strict=True):
            state["step"] = state["step"].to(parameter.device)  # a checkpoint loads it onto the processor
        averages, squares = [s["average"] for s in states], [s["square"] for s in states]
        torch._foreach_add_([s["step"] for s in states], 1)
        torch._foreach_lerp_(averages, gradients, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - second)
        step = states[0]["step"]
        lengths = torch._foreach_div(squares, 1 - second**step)
        torch._foreach_sqrt_(lengths)
        torch._foreach_add_(lengths, EPS)
        updates = list(torch._foreach_div(averages, lengths))
        torch._foreach_mul_(updates, -lr / (1 - first**step))
        torch._foreach_add_(others, updates)


def _gradients(parameters: list[Tensor]) -> list[Tensor]:
    return [p.grad for p in parameters if p.grad is not None]


def _begin(parameter: Tensor) -> dict[str, Any]:
    state: dict[str, Any] = {"average": torch.zeros_like(parameter)}
    if not _is_matrix(parameter):
        state |= {"step": torch.zeros((), device=parameter.device), "square": torch.zeros_like(parameter)}
    return state


def _is_matrix(parameter: Tensor) -> bool:
    return parameter.ndim >= 2 and parameter.shape[0] >= LEAST_ROWS
