"""Muon: gradient descent by orthogonal matrices, for a generator's convolutions.

PyTorch's own takes no convolutions, and pytorch-optimizer's makes matrices orthogonal in bfloat16 only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

LEAST_ROWS = 4
"""Matrices with fewer rows, such as a layer onto three colours, are left to Adam, like biases."""
LENGTH = 0.2
"""Root mean square of an update over the learning rate: Adam's usual one, so that its rates fit."""
MOMENTUM, EPS = 0.95, 1e-8
"""Momentum of Muon's average; Adam's epsilon."""
# The polynomial that brings all singular values near 1 in five rounds (Jordan et al. 2024)
_A, _B, _C, _ROUNDS = 3.4445, -4.7750, 2.0315, 5


def orthogonalised(matrix: Tensor) -> Tensor:
    """The orthogonal matrix nearest to one of (M, N), roughly: singular values end up between 0.7 and 1.2.

    Newton-Schulz rounds need matrix products only; singular values below a thousandth of the Frobenius norm stay small.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(_ROUNDS):
        gram = x @ x.T
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) for matrices and the kernels of convolutions, Adam for all else.

    The gradient's moving average with Nesterov momentum is made orthogonal, so that no direction of a layer learns
    faster than the others. Kernels count as (outputs, inputs x height x width) matrices. Updates are as long as Adam's
    (Liu et al. 2025, "Muon is Scalable for LLM Training"), so Adam's learning rates fit.
    """

    def __init__(self, params: Iterable[nn.Parameter], *, lr: float, betas: tuple[float, float] = (0.9, 0.99)) -> None:
        """`betas` are Adam's."""
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Descend once; closures are not supported."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    state = self.state[parameter] or self._begin(parameter)
                    state["step"] += 1
                    descend = _descend_matrix if _is_matrix(parameter) else _descend_adam
                    descend(parameter, parameter.grad, state, group)

    def _begin(self, parameter: Tensor) -> dict[str, Any]:
        state: dict[str, Any] = self.state[parameter]
        state |= {"step": torch.tensor(0.0), "average": torch.zeros_like(parameter)}
        if not _is_matrix(parameter):
            state["square"] = torch.zeros_like(parameter)
        return state


def _is_matrix(parameter: Tensor) -> bool:
    return parameter.ndim >= 2 and parameter.shape[0] >= LEAST_ROWS


def _descend_matrix(parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    state["average"].lerp_(gradient, 1 - MOMENTUM)
    ahead = gradient.lerp(state["average"], MOMENTUM).flatten(1)
    update = orthogonalised(ahead) * (LENGTH * max(ahead.shape) ** 0.5)
    parameter.add_(update.view(parameter.shape), alpha=-group["lr"])


def _descend_adam(parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    (first, second), steps = group["betas"], state["step"].item()
    state["average"].lerp_(gradient, 1 - first)
    state["square"].lerp_(gradient.square(), 1 - second)
    length = (state["square"] / (1 - second**steps)).sqrt_().add_(EPS)
    parameter.addcdiv_(state["average"] / (1 - first**steps), length, value=-group["lr"])
