"""Measure once whether this CPU computes faster in bfloat16 than in float32, and remember it."""

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

from facegen.files import replacing

ROUNDS = 12
"""Convolutions in each precision, alternating; the fastest counts, so that other programs disturb little."""
WORTHWHILE = 0.9
"""Largest share of float32's time for which bfloat16 is used: it rounds more."""


def bf16_is_fast() -> bool:
    """Return True if this CPU computes clearly faster in bfloat16."""
    return bf16_share() < WORTHWHILE


@cache
def bf16_share() -> float:
    """Return the time of a convolution in bfloat16 relative to float32, measured in a twentieth of a second.

    A file in the user's cache folder remembers it for each CPU and version of PyTorch. If that file cannot be written,
    every process measures again.
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
    """Return the folder in which this system expects caches."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "facegen"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "facegen"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "facegen"


def measured_share() -> float:
    """Measure `bf16_share` on a layer like the J-net's, in one thread, as several would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measured_share()
    finally:
        torch.set_num_threads(threads)


def _measured_share() -> float:
    rng = torch.Generator().manual_seed(0)
    layer = torch.randn(2, 64, 32, 32, generator=rng), torch.randn(64, 64, 3, 3, generator=rng)
    inputs = {
        dtype: [x.to(dtype).contiguous(memory_format=torch.channels_last) for x in layer]
        for dtype in (torch.float32, torch.bfloat16)
    }
    seconds = dict.fromkeys(inputs, float("inf"))
    with torch.inference_mode():
        for _ in range(ROUNDS):
            for dtype, (x, weight) in inputs.items():
                started = time.perf_counter()
                F.conv2d(x, weight, padding=1)
                seconds[dtype] = min(seconds[dtype], time.perf_counter() - started)
    return seconds[torch.bfloat16] / seconds[torch.float32]


def _processor() -> str:
    """Return the CPU's name and its instructions for bfloat16, as the name in a virtual machine may be only the maker.
    """
    found = torch.cpu.get_capabilities()
    instructions = [name for name in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16", "bf16") if found.get(name)]
    return " ".join([found.get("cpu_name") or platform.processor() or platform.machine(), *instructions])


def _read(file: Path) -> dict[str, float]:
    """Read the remembered measurements; return none if the file is missing or damaged."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {str(key): float(value) for key, value in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
