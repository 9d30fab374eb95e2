"""bfloat16 or float32."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from facegen.runtime import Precision, autocast, bf16_is_fast, resolve


def test_given_precisions_stand() -> None:
    assert resolve("bf16") == "bf16"
    assert resolve("fp32") == "fp32"


@pytest.mark.parametrize("fast", [True, False])
def test_auto_follows_the_processor(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    monkeypatch.setattr("facegen.runtime.bf16_is_fast", lambda: fast)
    assert resolve("auto") == ("bf16" if fast else "fp32")


@pytest.mark.parametrize(
    ("known", "fast"),
    [
        ({"amx_bf16": True, "avx512_bf16": True, "cpu_name": "Intel Xeon"}, True),
        ({"amx_bf16": False, "avx512_bf16": True, "cpu_name": "Intel Xeon"}, False),
        ({"amx_bf16": False, "avx512_bf16": True, "cpu_name": "AMD EPYC"}, True),
        ({"amx_bf16": False, "avx512_bf16": False, "cpu_name": "AMD Ryzen"}, False),
        ({"architecture": "arm64"}, False),
    ],
)
def test_bf16_is_fast_with_amx_or_on_amds_avx512(
    monkeypatch: pytest.MonkeyPatch, known: dict[str, Any], fast: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    assert bf16_is_fast() is fast


def test_probe_answers_even_where_pytorch_lacks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bf16_is_fast() in (True, False)
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert bf16_is_fast() is False


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_autocast_computes_in_the_precision(precision: Precision, dtype: torch.dtype) -> None:
    with autocast(precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
