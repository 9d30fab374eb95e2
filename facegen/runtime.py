"""Run a network: choose the device, the precision and the tiles at a time, and continue when memory runs out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Concatenate, Literal, ParamSpec, Protocol, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegen.errors import UsageError, suggest
from facegen.models.jnet import JNet
from facegen.models.lean import LeanJNet, can_be_lean
from facegen.precision import bf16_is_fast

Inputs = ParamSpec("Inputs")
Result = TypeVar("Result")
Precision = Literal["auto", "bf16", "fp32"]
DEVICES = ("cpu", "cuda", "mps")
"""Kinds of devices that can run networks; cuda:1 is a second one."""
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
Run = Callable[[Tensor], Tensor]
"""Runs a network: tiles (N, C, t, t) -> images (N, 3, h, w)."""


def resolve(precision: Precision, device: str = "cpu") -> Literal["bf16", "fp32"]:
    """Return the faster precision of a kind of device, as in "cuda", for "auto"; float32 where that is not known."""
    if precision != "auto":
        return precision
    if device == "cpu":
        return "bf16" if bf16_is_fast() else "fp32"
    return "bf16" if device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def autocast(precision: Precision, device: str = "cpu") -> AbstractContextManager[None]:
    """Return the autocast context for a precision; fp32 changes nothing."""
    return torch.autocast(device, torch.bfloat16, enabled=resolve(precision, device.partition(":")[0]) == "bf16")


def resolve_device(name: str) -> str:
    """Return the torch device of a name; "auto" is CUDA if it is available, or else the CPU.

    `facegen.golden.choose_device` also considers Apple's GPUs.

    Raises:
        UsageError: if there is no such device.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.partition(":")[0] not in DEVICES:
        raise UsageError(f"--device {name!r}" + suggest(name, ("auto", *DEVICES), "'"))
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device {name!r} cannot be used here: {reason} Try --device cpu.") from None
    return name


def is_gpu(device: str) -> bool:
    """Return True for a device that is faster with many tiles and faces at a time."""
    return device != "cpu"


class OnDevice(Protocol):
    """An object whose networks can be moved to another device."""

    device: str

    def to(self, device: str) -> None:
        """Move the networks to a device."""


Owner = TypeVar("Owner", bound=OnDevice)


def runner(network: nn.Module, precision: Precision, device: str) -> Run:
    """Return the fastest way to run a network on a device, without gradients.

    Args:
        network: on `device`; it is not changed, and later changes to it may have no effect.
    """
    kind = device.partition(":")[0]
    if kind in ("cpu", "cuda") and can_be_lean(network):
        return LeanJNet(cast(JNet, network), DTYPES[resolve(precision, kind)]).to(device)

    def run(tiles: Tensor) -> Tensor:
        with autocast(precision, device):
            output: Tensor = network(tiles)
        return output

    return run


def side_stream(device: str) -> AbstractContextManager[object]:
    """Return a context in which another thread works on the results so far; on a GPU, it does not wait for later work.
    """
    if not device.startswith("cuda"):
        return nullcontext()
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    return torch.cuda.stream(stream)


def in_batches(run: Run, tiles: Tensor, batch: int, *, full: bool = False) -> Iterator[tuple[slice, Tensor]]:
    """Run a network over tiles; when memory runs out, continue with half as many at a time.

    Args:
        run: (N, C, t, t) -> (N, 3, h, w), each tile independently.
        tiles: (T, C, t, t).
        batch: tiles at a time, at least 1.
        full: pad the last batch with black tiles, as on a GPU the last bits of a tile depend on the size of its batch.
    Yields:
        the indices of some tiles and their float32 output, in order.
    Raises:
        torch.OutOfMemoryError: if the memory is too small for one tile.
    """
    tiles = tiles.contiguous(memory_format=torch.channels_last)
    start = 0
    while start < len(tiles):
        chunk = tiles[start : start + batch]
        count = len(chunk)
        if full and count < batch:
            chunk = F.pad(chunk, (0, 0, 0, 0, 0, 0, 0, batch - count)).contiguous(memory_format=torch.channels_last)
        output = _try(run, chunk)
        if output is None:
            batch = len(chunk) // 2
            torch.cuda.empty_cache()
            continue
        yield slice(start, start + count), output[:count].float()
        start += count


def _try(run: Run, tiles: Tensor) -> Tensor | None:
    """Run a network; return None if memory runs out. The traceback, which keeps tensors in memory, is gone then."""
    try:
        return run(tiles)
    except torch.OutOfMemoryError:
        if len(tiles) == 1:
            raise
        return None


def falls_back_to_cpu(
    method: Callable[Concatenate[Owner, Inputs], Result],
) -> Callable[Concatenate[Owner, Inputs], Result]:
    """Repeat a method on the CPU if the device's memory is too small even for one tile.

    The object stays on the CPU then, and a RuntimeWarning says so.
    """

    @wraps(method)
    def repeated(self: Owner, /, *args: Inputs.args, **options: Inputs.kwargs) -> Result:
        try:
            return method(self, *args, **options)
        except torch.OutOfMemoryError:
            reason = f"{self.device}: out of memory, even for one tile at a time; going on with the processor, slowly."
        warnings.warn(reason, RuntimeWarning, stacklevel=2)
        self.to("cpu")
        return method(self, *args, **options)

    return repeated
