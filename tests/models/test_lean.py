"""The J-net rearranged for inference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from facegen.models.jnet import JNet, JNetConfig, enlarge
from facegen.models.lean import LeanJNet, can_be_lean


def make(**changes: Any) -> JNet:
    """A network whose last layers and trunk do something, with biases."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"tile": 8, "scale": 8, "decoder_widths": (12, 12, 8, 8, 6, 4), "chroma": 2}
    net = JNet(JNetConfig(**(options | {"decoder_depths": (1, 2, 1, 2, 1, 1), "trunk": 1} | changes)))
    for parameter in net.parameters():
        nn.init.normal_(parameter, 0, 0.1 if parameter.ndim > 1 else 0.05)
    return net.eval()


def stacks(count: int, *, side: int = 8, channels: int = 6) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("side", [8, 24])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"trunk": 0, "in_channels": 3},
        {"scale": 2, "decoder_widths": (12, 8, 8, 4), "decoder_depths": (1, 1, 3, 1)},
        {"tile": 4, "decoder_widths": (12, 8, 8, 6, 4), "decoder_depths": (2, 1, 1, 1, 1)},
    ],
)
@torch.no_grad()
def test_it_draws_what_the_j_net_draws(changes: dict[str, Any], side: int) -> None:
    net = make(**changes)
    stack = stacks(2, side=side, channels=net.config.in_channels)
    drawn = net(stack)
    assert (drawn - enlarge(stack[:, :3], net.config.scale)).std() > 0.001
    torch.testing.assert_close(LeanJNet(net)(stack), drawn, atol=2e-6, rtol=1e-5)


@torch.no_grad()
def test_in_bfloat16_it_is_as_near_as_the_j_net_is() -> None:
    net, stack = make(), stacks(4)
    exact = net(stack)
    with torch.autocast("cpu", torch.bfloat16):
        usual = (net(stack) - exact).square().mean()
    drawn = LeanJNet(net, torch.bfloat16)(stack)
    assert drawn.dtype == torch.float32
    assert 0 < (drawn - exact).square().mean() < 2 * usual


def test_it_leaves_the_j_net_alone() -> None:
    net = make()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    lean = LeanJNet(net, torch.bfloat16)
    assert not any(parameter.requires_grad for parameter in lean.parameters())
    assert all(parameter.requires_grad for parameter in net.parameters())
    with torch.inference_mode():
        lean(stacks(1))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    "changes",
    [{"chroma": 1}, {"upsample": "deconv"}, {"norm": "batch"}, {"base": "none", "chroma": 1},
     {"decoder_depths": (1, 2, 1, 2, 1, 2)}],
)  # fmt: skip
def test_other_networks_are_not_rearranged(changes: dict[str, Any]) -> None:
    assert not can_be_lean(make(**changes))
    assert can_be_lean(make())
    assert not can_be_lean(nn.Identity())
