"""Which convolutions go by Winograd's algorithm; that they then give the same."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from facegen.models.convolution import Conv3x3
from facegen.ops.winograd import winograd_conv


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes that Winograd's algorithm is asked for, which stays at work."""
    seen = []

    def noted(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(x.shape))
        return winograd_conv(x, weight, bias)

    monkeypatch.setattr("facegen.models.convolution.winograd_conv", noted)
    return seen


@pytest.mark.parametrize(
    ("cin", "cout", "side", "fast"),
    [(128, 130, 16, True), (130, 128, 32, True), (127, 128, 16, False), (128, 64, 16, False), (128, 128, 12, False),
     (128, 128, 18, False)],
)  # fmt: skip
def test_wide_layers_of_some_size_are_fast_and_all_are_right(
    calls: list[tuple[int, ...]], cin: int, cout: int, side: int, fast: bool
) -> None:
    torch.manual_seed(0)
    layer, x = Conv3x3(cin, cout), torch.randn(1, cin, side, side)
    with torch.inference_mode():
        found, true = layer(x), F.conv2d(x, layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(found, true, atol=1e-4, rtol=1e-4)
    assert calls == ([(1, cin, side, side)] if fast else [])


def test_half_precision_is_left_to_the_processor(calls: list[tuple[int, ...]]) -> None:
    layer, x = Conv3x3(128, 128), torch.randn(1, 128, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert layer.double()(x.double()).dtype == torch.float64
    assert calls == []


def test_what_follows_may_be_done_in_place() -> None:
    x = torch.randn(1, 128, 16, 16, requires_grad=True)
    F.leaky_relu(Conv3x3(128, 128)(x), 0.2, inplace=True).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.abs().min() > 0
