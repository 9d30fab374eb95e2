"""How a network is run: in which precision, so many tiles at a time, and what happens when memory runs out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import torch
from torch import Tensor, nn

from facegen.precision import Precision, autocast

Inputs = ParamSpec("Inputs")
Result = TypeVar("Result")


class OnDevice(Protocol):
    """An object whose networks can be moved."""

    device: str

    def to(self, device: str) -> None:
        """Move the networks to a device."""


Owner = TypeVar("Owner", bound=OnDevice)


def in_batches(
    network: nn.Module, tiles: Tensor, batch: int, precision: Precision = "fp32"
) -> Iterator[tuple[slice, Tensor]]:
    """Run a network over tiles; when its memory runs out, half as many at a time from there on.

    Args:
        network: (N, C, t, t) -> (N, 3, h, w), each tile by itself.
        tiles: (T, C, t, t).
        batch: tiles at a time, at least 1.
        precision: what the network computes in.
    Yields:
        which tiles, and their float32 output, in order, each tile once.
    Raises:
        torch.OutOfMemoryError: if the memory is too small for one tile.
    """
    tiles = tiles.contiguous(memory_format=torch.channels_last)
    start = 0
    while start < len(tiles):
        chunk = tiles[start : start + batch]
        output = _try(network, chunk, precision)
        if output is None:
            batch = len(chunk) // 2
            torch.cuda.empty_cache()
            continue
        yield slice(start, start + len(chunk)), output.float()
        start += len(chunk)


def _try(network: nn.Module, tiles: Tensor, precision: Precision) -> Tensor | None:
    """None if the memory was too small: once the error is gone, so is what its traceback held on to."""
    try:
        with autocast(precision, tiles.device.type):
            output: Tensor = network(tiles)
    except torch.OutOfMemoryError:
        if len(tiles) == 1:
            raise
        return None
    return output


def falls_back_to_cpu(
    method: Callable[Concatenate[Owner, Inputs], Result],
) -> Callable[Concatenate[Owner, Inputs], Result]:
    """Repeat a method on the processor where the device's memory is too small even for one tile.

    The object stays on the processor then, and a RuntimeWarning says so.
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
