"""Inputs and checks for every network."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn


def pictures(count: int, height: int = 8, width: int = 8, planes: int = 3) -> Tensor:
    """Random pictures, the same every time: (count, planes, height, width) in [0, 1]."""
    return torch.rand(count, planes, height, width, generator=torch.Generator().manual_seed(1))


def assert_every_parameter_learns(net: nn.Module, *outputs: Tensor) -> None:
    """Every trainable parameter gets a gradient that is finite and not all zero."""
    weights = torch.Generator().manual_seed(2)
    loss = sum((torch.randn(o.shape, generator=weights) * o).sum() for o in outputs)
    assert isinstance(loss, Tensor)
    loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().max() > 0, name


def assert_rebuilt_from_card(net: Any, network: type[Any], config: type[BaseModel], *inputs: Any) -> None:
    """The state and the config's JSON, all that a weight folder holds, give the same outputs."""
    with torch.no_grad():
        expected = net(*inputs)
        torch.manual_seed(99)
        rebuilt = network(config.model_validate_json(net.config.model_dump_json())).train(net.training)
        assert not torch.equal(rebuilt(*inputs), expected)
        rebuilt.load_state_dict({name: value.clone() for name, value in net.state_dict().items()})
        assert torch.equal(rebuilt(*inputs), expected)
