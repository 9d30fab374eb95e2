"""bfloat16 or float32."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from facegen.runtime import Precision, autocast, in_batches, resolve


def test_given_precisions_stand() -> None:
    assert resolve("bf16") == "bf16"
    assert resolve("fp32") == "fp32"


@pytest.mark.parametrize("fast", [True, False])
def test_auto_follows_the_processor(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    monkeypatch.setattr("facegen.runtime.bf16_is_fast", lambda: fast)
    assert resolve("auto") == ("bf16" if fast else "fp32")


def test_the_processors_timing_says_nothing_about_other_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facegen.runtime.bf16_is_fast", lambda: True)
    assert resolve("auto") == "bf16"
    assert resolve("auto", "mps") == "fp32"


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_autocast_computes_in_the_precision(precision: Precision, dtype: torch.dtype) -> None:
    with autocast(precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_a_full_batch_is_filled_up() -> None:
    tiles, seen = torch.rand(7, 3, 2, 2), list[int]()

    def run(tiles: Tensor) -> Tensor:
        seen.append(len(tiles))
        return tiles + 1

    found = torch.cat([output for _, output in in_batches(run, tiles, 5, full=True)])
    assert torch.equal(found, tiles + 1)
    assert seen == [5, 5]
