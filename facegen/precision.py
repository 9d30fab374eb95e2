"""The precision and the device that networks compute in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Literal

import torch

from facegen.errors import UsageError

Precision = Literal["auto", "bf16", "fp32"]


def bf16_is_fast() -> bool:
    """True if this processor multiplies bfloat16 faster than float32.

    AMX does, and AMD's AVX-512 BF16. Intel's AVX-512 BF16 alone, as virtual machines without AMX show it, does not: on
    such a Xeon a convolution of 160 channels took 22 ms in bfloat16 and 14 ms in float32.
    """
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older PyTorch has it not
    if known.get("amx_bf16"):
        return True
    return bool(known.get("avx512_bf16")) and "Intel" not in known.get("cpu_name", "")


def resolve(precision: Precision, device: str = "cpu") -> Literal["bf16", "fp32"]:
    """Resolve "auto" for this machine's processor, or for its GPU."""
    if precision == "auto":
        fast = torch.cuda.is_bf16_supported(including_emulation=False) if device == "cuda" else bf16_is_fast()
        return "bf16" if fast else "fp32"
    return precision


def autocast(precision: Precision, device: str = "cpu") -> AbstractContextManager[None]:
    """The autocast context for a precision; fp32 leaves everything as it is."""
    return torch.autocast(device, torch.bfloat16, enabled=resolve(precision, device.partition(":")[0]) == "bf16")


def resolve_device(name: str) -> str:
    """The torch device a name means here; "auto" takes CUDA where there is one, else the processor.

    Raises:
        UsageError: if there is no such device.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device {name!r} cannot be used here: {reason} Try --device cpu.") from None
    return name
