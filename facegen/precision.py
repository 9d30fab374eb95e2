"""Whether to compute in bfloat16, and how many threads there are."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import torch

Precision = Literal["auto", "bf16", "fp32"]


def bf16_is_fast() -> bool:
    """Whether this processor multiplies bfloat16 in hardware (AVX-512 BF16 or AMX)."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def resolve(precision: Precision) -> Literal["bf16", "fp32"]:
    """What `precision` means on this machine."""
    if precision == "auto":
        return "bf16" if bf16_is_fast() else "fp32"
    return precision


def autocast(precision: Precision, device: str = "cpu") -> AbstractContextManager[None]:
    """The autocast context for a precision; fp32 leaves everything as it is."""
    return torch.autocast(device, torch.bfloat16, enabled=resolve(precision) == "bf16")
