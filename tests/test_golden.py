"""The golden picture: what a processor draws, and that faults of a device show in it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from facegen import golden
from facegen.golden import BLOCKS, CLOSE, GOLDEN, blocks, choose_device, difference, golden_picture


@pytest.fixture(scope="module")
def picture() -> Tensor:
    return golden_picture(precision="fp32")


def distance(picture: Tensor) -> float:
    """Largest difference of a block from the golden picture's."""
    wanted = torch.tensor(list(bytes.fromhex(GOLDEN)), dtype=torch.float32).reshape(3, BLOCKS, BLOCKS)
    return float((blocks(picture) - wanted).abs().max())


def test_float32_draws_the_golden_picture(picture: Tensor) -> None:
    """Where the flow has changed, GOLDEN becomes what the message says."""
    found = bytes(blocks(picture).round().byte().flatten().tolist()).hex()
    assert distance(picture) < 0.6, f"GOLDEN = {found}"


def test_bfloat16_is_close_to_it() -> None:
    assert distance(golden_picture(precision="bf16")) < CLOSE / 2


def test_the_processor_passes() -> None:
    assert difference("cpu") < CLOSE


@pytest.mark.parametrize(
    "fault",
    [
        lambda picture: picture.roll(32, 2),
        lambda picture: picture.flip(1),
        lambda picture: torch.where(torch.arange(384) // 128 == 1, picture.mean(), picture),
        lambda picture: picture.flip(0),
        lambda picture: picture * 0.97,
        lambda picture: picture * float("nan"),
    ],
    ids=["tiles moved", "upside down", "tiles lost", "red for blue", "darker", "not numbers"],
)
def test_a_device_with_a_fault_is_found_out(fault: Any, picture: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden, "golden_picture", lambda device: fault(picture))
    assert difference.__wrapped__("cpu") > CLOSE


def test_a_device_that_cannot_draw_differs_without_bound() -> None:
    assert difference("vulkan") == float("inf")


@pytest.mark.parametrize(("differs", "chosen"), [(0.4, "mps"), (90.0, "cpu")])
def test_auto_takes_apples_gpu_only_if_it_draws_the_golden_picture(
    monkeypatch: pytest.MonkeyPatch, differs: float, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(golden, "difference", lambda device: differs)
    assert choose_device("auto") == chosen


def test_a_device_named_is_taken() -> None:
    assert choose_device("cpu") == "cpu"


class NoFloat64(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses float64 on a GPU, as Apple's do."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else [out]:
            if isinstance(value, Tensor) and value.is_cuda and value.dtype == torch.float64:
                raise TypeError(f"{func}: float64 on a GPU")
        return out


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_without_float64_draws_the_golden_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facegen.ops.blending.widest_float", lambda device: torch.float32)
    monkeypatch.setattr("facegen.ops.scoring.widest_float", lambda device: torch.float32)
    with NoFloat64():  # type: ignore[no-untyped-call]
        assert distance(golden_picture("cuda")) < CLOSE
