"""Winograd's algorithm gives what the plain convolution does, forward and backward."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.errors import ShapeError
from facegen.ops.winograd import winograd_conv


def values(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()


@pytest.mark.parametrize("shape", [(2, 3, 8, 12), (1, 5, 4, 4), (3, 1, 16, 8)])
@pytest.mark.parametrize("last", [False, True])
def test_equals_the_plain_convolution_and_its_gradients(shape: tuple[int, ...], last: bool) -> None:
    x, weight, bias = values(*shape), values(7, shape[1], 3, 3), values(7)
    seen = x.to(memory_format=torch.channels_last) if last else x
    plain, ours = F.conv2d(x, weight, bias, padding=1), winograd_conv(seen, weight, bias)
    torch.testing.assert_close(ours, plain)
    pull = torch.randn_like(plain)
    of_plain, of_ours = (torch.autograd.grad(y, (x, weight, bias), pull) for y in (plain, ours))
    for mine, true in zip(of_ours, of_plain, strict=True):
        torch.testing.assert_close(mine, true)


def test_gradcheck() -> None:
    assert torch.autograd.gradcheck(winograd_conv, (values(1, 2, 4, 8), values(3, 2, 3, 3), values(3)))


def test_float32_rounds_little() -> None:
    x, weight, bias = values(2, 160, 32, 32), values(160, 160, 3, 3), values(160)
    with torch.no_grad():
        true = F.conv2d(x, weight, bias, padding=1)
        found = winograd_conv(x.float(), weight.float(), bias.float())
    assert found.dtype == torch.float32
    assert (found - true).abs().max() < 3e-5 * true.abs().max()


def test_only_what_is_asked_for_gets_a_gradient() -> None:
    x, weight, bias = values(1, 2, 4, 4), values(2, 2, 3, 3).detach(), values(2).detach()
    winograd_conv(x, weight, bias).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert weight.grad is None


@pytest.mark.parametrize(
    ("x", "weight"), [((1, 2, 6, 8), (2, 2, 3, 3)), ((1, 2, 8, 8), (2, 3, 3, 3)), ((2, 8, 8), (2, 2, 3, 3))]
)
def test_other_shapes_are_refused(x: tuple[int, ...], weight: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="expected \\(B, C, H, W\\) with sides that 4 divides"):
        winograd_conv(values(*x), values(*weight), values(2))
