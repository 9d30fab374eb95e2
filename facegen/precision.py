"""Whether this processor computes faster in bfloat16 than in float32: measured once, and remembered."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.files import replacing

ROUNDS = 12
"""Convolutions in each precision, in turns; the quickest counts, so that a busy machine misleads little."""
WORTH = 0.9
"""Share of float32's time from which on bfloat16, which rounds more, is not worth it."""


def bf16_is_fast() -> bool:
    """True if this processor computes clearly faster in bfloat16."""
    return bf16_share() < WORTH


@cache
def bf16_share() -> float:
    """The time of a convolution in bfloat16 over that in float32, measured in a twentieth of a second.

    It is remembered in a file of the user's cache folder, for each processor and version of PyTorch. Where that cannot
    be written, every process measures anew.
    """
    file, key = cache_folder() / "bfloat16.json", f"{_processor()}; torch {torch.__version__}"
    known = _read(file)
    if key not in known:
        known[key] = round(measured_share(), 3)
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file) as temporary:
                temporary.write_text(json.dumps(known, indent=1), encoding="utf-8")
    return known[key]


def cache_folder() -> Path:
    """Where this system wants programs to keep what they can make again."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "facegen"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "facegen"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "facegen"


def measured_share() -> float:
    """Measure what `bf16_share` remembers on a layer like the J-net's, by one thread: several wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measured_share()
    finally:
        torch.set_num_threads(threads)


def _measured_share() -> float:
    rng = torch.Generator().manual_seed(0)
    layer = torch.randn(2, 64, 32, 32, generator=rng), torch.randn(64, 64, 3, 3, generator=rng)
    given = {dtype: [_laid_out(x, dtype) for x in layer] for dtype in (torch.float32, torch.bfloat16)}
    seconds = dict.fromkeys(given, float("inf"))
    with torch.inference_mode():
        for _ in range(ROUNDS):
            for dtype, (x, weight) in given.items():
                started = time.perf_counter()
                F.conv2d(x, weight, padding=1)
                seconds[dtype] = min(seconds[dtype], time.perf_counter() - started)
    return seconds[torch.bfloat16] / seconds[torch.float32]


def _laid_out(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


def _processor() -> str:
    """Its name and what it has for bfloat16, as virtual machines tell little more than the maker."""
    known = torch.cpu.get_capabilities()
    has = [name for name in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16", "bf16") if known.get(name)]
    return " ".join([known.get("cpu_name") or platform.processor() or platform.machine(), *has])


def _read(file: Path) -> dict[str, float]:
    """Read the measurements that are remembered; nothing where the file is missing or damaged."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {str(key): float(value) for key, value in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
