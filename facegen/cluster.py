"""Run the jobs of `facegen.jobs` in the processes of a Ray cluster.

Each process takes one GPU or, if the cluster has none, a few CPU threads. The files of a run must have the same paths
on all machines. If a process or its machine dies, another process is started where there is room, and repeats the work.
"""

from __future__ import annotations

import logging
import os
import platform
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

from facegen import __version__
from facegen.errors import FacegenError, MissingExtraError, UsageError
from facegen.jobs import Pool, Result

TRIES = 3
"""Number of processes that may die during one call, or while they start."""
ANSWER = 10
"""Timeout in seconds for the connection to a cluster."""
DEVICES = ("auto", "cpu", "cuda")
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",  # or Ray prints its summaries on standard output
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # with 1, the default, Ray warns that it will be 0
}


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster that this process is connected to; an `Executor`."""

    device: str
    """The device of each process: "cuda" or "cpu"."""
    number: int
    """Largest number of processes."""
    threads: int
    """CPU threads of each process."""
    say: Callable[[str], object]
    """Called with each warning."""

    @contextmanager
    def pool(self, held: object) -> Iterator[Pool]:
        """See `Executor`; a machine whose processes cannot start is omitted with a warning.

        A call fails with a FacegenError if no process can start, or if it made `TRIES` processes die.
        """
        pool = _RayPool(self, held)
        try:
            yield pool
        finally:
            pool.close()


@contextmanager
def connect(
    address: str = "auto",
    *,
    device: str = "auto",
    threads: int = 1,
    say: Callable[[str], object] = lambda line: None,
) -> Iterator[Cluster]:
    """Connect to a cluster until the context ends.

    Args:
        address: as for Ray; "auto" is the cluster of RAY_ADDRESS or on this machine, or else a new one on this machine
            that ends with the context.
        device: "auto" takes GPUs if the cluster has any.
        threads: of each process.
        say: called with each warning.
    Raises:
        MissingExtraError: if Ray is not installed.
        UsageError: if no cluster answers, it has no such device, or no machine has so many CPUs.
    """
    if find_spec("ray") is None:
        raise MissingExtraError("--cluster needs Ray: pip install 'facegen[ray]'")
    if device not in DEVICES:
        raise UsageError(f"--device {device} is one of this machine; with --cluster, choose {', '.join(DEVICES)}.")
    os.environ.update(_QUIET)
    import ray

    quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    address = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address
    try:
        if address not in ("auto", "local"):
            _check_address(address)
        ray.init(None if address == "auto" else address, **quiet)
    except (OSError, RuntimeError, ValueError, ImportError, AssertionError) as error:
        reason = f"no Ray cluster answers there ({_reason(error)})"
        raise UsageError(f"--cluster {address}: {reason}; give the address that ray start printed.") from None
    try:
        yield _cluster([node["Resources"] for node in ray.nodes() if node["Alive"]], device, threads, say)
    finally:
        ray.shutdown()


def _cluster(
    machines: list[dict[str, float]], device: str, threads: int, say: Callable[[str], object]
) -> Cluster:
    """Count the processes that fit on machines with these resources; raise a UsageError if there are none."""
    gpus = 0 if device == "cpu" else int(sum(machine.get("GPU", 0) for machine in machines))
    if device == "cuda" and not gpus:
        raise UsageError("--device cuda: the cluster has no GPU; try --device cpu.")
    number = gpus or sum(int(machine.get("CPU", 0)) // threads for machine in machines)
    if not number:
        raise UsageError(f"--threads {threads}: no machine of the cluster has so many processors; ask for fewer.")
    return Cluster("cuda" if gpus else "cpu", number, threads, say)


def _check_address(address: str) -> None:
    """Raise an OSError or ValueError if nothing listens at HOST:PORT, as Ray would wait forever."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    socket.create_connection((host, int(port)), timeout=ANSWER).close()


@dataclass(frozen=True)
class _Call:
    """A submitted call."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: Future[Any]
    deaths: list[str]
    """Why each process died that worked on it."""


class _RayPool:
    """Ray's processes as a `Pool`; a thread for each passes it calls from a common queue."""

    def __init__(self, cluster: Cluster, held: object) -> None:
        import ray

        self.in_flight = 2 * cluster.number
        self._cluster, self._held = cluster, ray.put(held)
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._lock, self._closed, self._workers = Lock(), False, set[Any]()
        self._threads = [Thread(target=self._serve, daemon=True) for _ in range(cluster.number)]
        self._serving = cluster.number
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        call = _Call(function, arguments, Future(), [])
        self._calls.put(call)
        return call.future

    def close(self) -> None:
        """End the processes, even during calls."""
        with self._lock:
            self._closed = True
            workers = list(self._workers)
        for worker in workers:
            self._end(worker)
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        """Start a process and pass it calls until there are no more; replace it if it dies."""
        try:
            while self._answer(self._started()):
                pass
        except FacegenError as error:
            with self._lock:
                self._serving -= 1
                last = not self._serving
            if self._closed:
                return
            if not last:
                self._cluster.say(f"Warning: {error} The run goes on with {self._serving} processes.")
                return
            while call := self._calls.get():
                call.future.set_exception(error)

    def _started(self) -> Any:
        """Start a process as soon as there is room for it; raise a FacegenError if it cannot work."""
        import ray

        cluster, reason = self._cluster, ""
        needs: dict[str, Any] = {"num_cpus": cluster.threads, "num_gpus": int(cluster.device == "cuda")}
        for _ in range(TRIES):
            with self._lock:
                if self._closed:
                    break
                worker: Any = ray.remote(_Worker).options(**needs).remote()
                self._workers.add(worker)
            try:
                ray.get(worker.set_up.remote(self._held, str(Path.cwd()), cluster.threads, __version__))
                return worker
            except ray.exceptions.RayTaskError as error:
                self._end(worker)
                raise FacegenError(f"--cluster: {_reason(error.cause)}") from None
            except ray.exceptions.RayError as error:
                self._end(worker)
                reason = _reason(error)
        raise FacegenError(f"--cluster: a process cannot start ({reason}).")

    def _answer(self, worker: Any) -> bool:
        """Pass calls to a process; return True if it died, and False if there are no more calls."""
        import ray

        while call := self._calls.get():
            try:
                result = ray.get(worker.call.remote(call.function, *call.arguments))
            except ray.exceptions.RayTaskError as error:
                call.future.set_exception(error.cause)
            except ray.exceptions.RayError as error:
                self._end(worker)
                self._retry(call, _reason(error))
                return True
            else:
                call.future.set_result(result)
        return False

    def _retry(self, call: _Call, death: str) -> None:
        """Put a call whose process died back in the queue, unless the call seems to be the cause."""
        call.deaths.append(death)
        if len(call.deaths) < TRIES and not self._closed:
            self._cluster.say("Warning: a process of the cluster died; what it worked on is done again.")
            self._calls.put(call)
            return
        reason = f"{len(call.deaths)} worker processes died over it, perhaps for lack of memory ({call.deaths[-1]})"
        call.future.set_exception(FacegenError(f"{reason}; run the same command again to go on."))

    def _end(self, worker: Any) -> None:
        import ray

        with self._lock:
            self._workers.discard(worker)
        with suppress(Exception):  # the process or the cluster may have ended
            ray.kill(worker)


def _reason(error: Exception) -> str:
    """Return the first line of an error of Ray; traces and advice follow it."""
    return str(error).strip().partition("\n")[0]


class _Worker:
    """A process of the cluster."""

    def set_up(self, held: object, folder: str, threads: int, version: str) -> None:
        """Store the object, and change to the folder that relative paths refer to."""
        import cv2
        import torch

        machine = platform.node()
        if version != __version__:
            reason = f"has facegen {__version__}, and this machine {version}; install one version everywhere."
            raise FacegenError(f"{machine} {reason}")
        try:
            os.chdir(folder)
        except OSError as error:
            reason = f"cannot use {folder} ({error.strerror}); all machines must have the same files at the same paths."
            raise FacegenError(f"{machine} {reason}") from None
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
        self._held = held

    def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function on the object."""
        return function(self._held, *arguments)
