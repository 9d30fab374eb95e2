"""Training in several processes: starting them, means over them, the lock of a run folder, and interruptions."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
from filelock import FileLock, Timeout
from lightning_fabric import Fabric
from torch import Tensor, nn

from facegen.errors import TrainingError, UsageError
from facegen.runtime import Precision, resolve


def make_fabric(precision: Precision = "auto", *, device: str = "auto", devices: int = 1) -> Fabric:
    """Make a Fabric for `devices` processes on this machine, or for the processes that torchrun started.

    `device` is "auto", "cpu" or "cuda".
    """
    accelerator = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: there is no CUDA device here; try --device cpu.")
    if accelerator == "cuda" and devices > torch.cuda.device_count():
        raise UsageError(f"--devices {devices}: there are {torch.cuda.device_count()} CUDA devices; ask for fewer.")
    nodes = 1
    if dist.is_torchelastic_launched():
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    modes: dict[str, Literal["bf16-mixed", "32-true"]] = {"bf16": "bf16-mixed", "fp32": "32-true"}
    torch.backends.cudnn.benchmark = accelerator == "cuda"  # shapes do not change, so a short search pays off
    torch.backends.cudnn.benchmark_limit = 4
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it reports the precision on stderr
    return Fabric(
        accelerator=accelerator,
        devices=devices,
        num_nodes=nodes,
        strategy="ddp" if devices * nodes > 1 else "auto",
        precision=modes[resolve(precision, accelerator)],
    )


def average_gradients(module: nn.Module) -> None:
    """Replace a module's gradients by their mean over all processes, in one message."""
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    if processes() == 1 or not gradients:
        return
    flat = mean_over_processes(torch.cat([g.reshape(-1) for g in gradients]))
    for gradient, mean in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def end_processes() -> None:
    """Leave the process group: Gloo's threads sometimes abort Python if they still run when it ends."""
    if dist.is_initialized():
        dist.destroy_process_group()


def processes() -> int:
    """The number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a tensor over all processes, without a gradient; with one process, the tensor itself."""
    return value if processes() == 1 else _sum(value) / processes()


def _sum(value: Tensor) -> Tensor:
    total = value.clone()
    dist.all_reduce(total)
    return total


class _Sum(torch.autograd.Function):
    """Sum over all processes, of gradients too, since each process's loss depends on the values of all."""

    @staticmethod
    def forward(context: Any, value: Tensor) -> Tensor:
        return _sum(value)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _sum(gradient)


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batchnorm with training statistics over all processes' pictures; PyTorch's SyncBatchNorm needs GPUs."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        wide = x.float()
        count = wide.numel() / wide.shape[1] * dist.get_world_size()
        sums = torch.stack([wide.sum((0, 2, 3)), wide.square().sum((0, 2, 3))])  # (2, C)
        mean, square = _Sum.apply(sums) / count  # type: ignore[no-untyped-call]
        variance = (square - mean.square()).clamp_min(0)
        with torch.no_grad():
            self.num_batches_tracked += 1
            keep = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean, keep)
            self.running_var.lerp_(variance * count / (count - 1), keep)
        gain = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * gain
        normed: Tensor = (wide * gain[:, None, None] + shift[:, None, None]).to(x.dtype)
        return normed


def share_batchnorm(module: nn.Module) -> None:
    """Make every BatchNorm2d in `module` take its statistics over all processes."""
    for child in module.modules():
        if type(child) is nn.BatchNorm2d:
            child.__class__ = SharedBatchNorm2d  # keeps the parameters, which an optimizer may hold already


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Lock the run folder; the system releases the lock when the process ends, however it ends."""
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise TrainingError(f"{folder}: another process is training here; choose another --out.") from None


@contextmanager
def interrupts_noted() -> Iterator[Callable[[], bool]]:
    """Note the first Ctrl-C or SIGTERM instead of stopping within a step; the second one acts as usual.

    Nothing changes outside the main thread, or for signals that the program handles itself.
    """
    noted = threading.Event()
    in_main_thread = threading.current_thread() is threading.main_thread()
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    caught = {n: handler for n, handler in usual.items() if in_main_thread and signal.getsignal(n) == handler}

    def note(number: int, frame: object) -> None:
        noted.set()
        signal.signal(number, caught[signal.Signals(number)])

    for number in caught:
        signal.signal(number, note)
    try:
        yield noted.is_set
    finally:
        for number, handler in caught.items():
            signal.signal(number, handler)
