"""3x3 convolutions by Winograd's algorithm: a quarter of the multiplications, as matrix products.

Every 4 x 4 pixels come from 6 x 6 of the input by 36 products a pair of channels instead of 144: F(4x4, 3x3) of Lavin &
Gray 2016, "Fast Algorithms for Convolutional Neural Networks", whose matrices these are. Rounding is some ten times
that of the plain sum (1e-5 of the largest value in float32), too much for half precision.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from facegen.errors import ShapeError

STEP, WINDOW = 4, 6
"""Sides, in pixels, of what one group of products makes and of what it reads."""
Rows = Sequence[Sequence[float]]
_INPUT: Rows = [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0],
                [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]]  # fmt: skip
_KERNEL: Rows = [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6], [1 / 24, 1 / 12, 1 / 6],
                 [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]]  # fmt: skip
_OUTPUT: Rows = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]


def _both_axes(matrix: Rows) -> Tensor:
    along = torch.tensor(matrix, dtype=torch.float64)
    return torch.kron(along, along)


INPUT, KERNEL, OUTPUT = _both_axes(_INPUT), _both_axes(_KERNEL), _both_axes(_OUTPUT)
"""(36, 36), (36, 9) and (16, 36): from a window, from a kernel, and from their products to pixels."""


def winograd_conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`F.conv2d(x, weight, bias, padding=1)`, differentiable once.

    Args:
        x: (B, C, H, W) with sides that 4 divides.
        weight: (D, C, 3, 3), of the same dtype.
        bias: (D,).
    Returns:
        (B, D, H, W), channels last in memory.
    Raises:
        ShapeError: if one of them has another shape.
    """
    if x.ndim != 4 or x.shape[2] % STEP or x.shape[3] % STEP or weight.shape[1:] != (x.shape[1], 3, 3):
        raise ShapeError(f"winograd_conv: x has shape {tuple(x.shape)} and weight {tuple(weight.shape)}, "
                         f"expected (B, C, H, W) with sides that {STEP} divides and (D, C, 3, 3).")  # fmt: skip
    convolved: Tensor = _Winograd.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return convolved.permute(0, 3, 1, 2)


class _Winograd(torch.autograd.Function):
    """The result is (B, H, W, D): a view must be made outside, or nothing could be done to it in place."""

    @staticmethod
    def forward(context: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        windows = _windows(x)
        context.save_for_backward(windows, weight)
        return _join(windows @ _kernels(weight), x) + bias

    @staticmethod
    @once_differentiable
    def backward(context: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        windows, weight = context.saved_tensors  # type: ignore[attr-defined]
        wanted = context.needs_input_grad  # type: ignore[attr-defined]
        gradient = gradient.permute(0, 3, 1, 2)  # (B, D, H, W)
        of_x = of_weight = of_bias = None
        if wanted[0]:  # the convolution with turned kernels
            turned = _kernels(weight.flip(2, 3).transpose(0, 1))
            of_x = _join(_windows(gradient) @ turned, gradient).permute(0, 3, 1, 2)
        if wanted[1]:
            of_products = windows.transpose(1, 2) @ _part(gradient)  # (36, C, D)
            of_weight = KERNEL.to(weight).T @ of_products.flatten(1)
            of_weight = of_weight.view(3, 3, *of_products.shape[1:]).permute(3, 2, 0, 1)
        if wanted[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_x, of_weight, of_bias


def _windows(x: Tensor) -> Tensor:
    """The transformed windows of (B, C, H, W): (36, B * H/4 * W/4, C)."""
    (count, channels, height, width) = x.shape
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))  # (B, H+2, W+2, C)
    windows = padded.unfold(1, WINDOW, STEP).unfold(2, WINDOW, STEP)  # (B, H/4, W/4, C, 6, 6)
    values = windows.permute(4, 5, 0, 1, 2, 3).reshape(WINDOW**2, -1)
    return (INPUT.to(x) @ values).view(WINDOW**2, count * (height // STEP) * (width // STEP), channels)


def _kernels(weight: Tensor) -> Tensor:
    """The transformed kernels of (D, C, 3, 3): (36, C, D)."""
    values = weight.permute(2, 3, 1, 0).reshape(9, -1)
    return (KERNEL.to(weight) @ values).view(WINDOW**2, weight.shape[1], weight.shape[0])


def _join(products: Tensor, like: Tensor) -> Tensor:
    """Products (36, B * H/4 * W/4, D) to pixels (B, H, W, D), of a picture `like` (B, ..., H, W)."""
    (count, _, height, width), channels = like.shape, products.shape[2]
    pixels = (OUTPUT.to(products) @ products.flatten(1)).view(
        STEP, STEP, count, height // STEP, width // STEP, channels
    )
    return pixels.permute(2, 3, 0, 4, 1, 5).reshape(count, height, width, channels)


def _part(gradient: Tensor) -> Tensor:
    """Undo the layout of `_join`: (B, D, H, W) to (36, B * H/4 * W/4, D)."""
    (count, channels, height, width) = gradient.shape
    parted = gradient.permute(0, 2, 3, 1).reshape(count, height // STEP, STEP, width // STEP, STEP, channels)
    values = parted.permute(2, 4, 0, 1, 3, 5).reshape(STEP**2, -1)
    return (OUTPUT.to(gradient).T @ values).view(WINDOW**2, -1, channels)
