"""Batches made ahead of their use."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any


class Prefetch:
    """Makes the batches of the coming steps in threads, so that a step finds its own ready.

    OpenCV and NumPy let go of Python's lock in their loops, so threads do; a batch is known from its step, so their
    order does not matter.
    """

    def __init__(self, make: Callable[[int], Any], workers: int) -> None:
        self.make, self.workers = make, workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="batch") if workers else None
        self._coming: dict[int, Future[Any]] = {}

    def take(self, step: int) -> Any:
        """The batch of a step; those after it are begun."""
        if self._pool is None:
            return self.make(step)
        for ahead in range(step, step + self.workers + 1):
            if ahead not in self._coming:
                self._coming[ahead] = self._pool.submit(self.make, ahead)
        return self._coming.pop(step).result()

    def __enter__(self) -> Prefetch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
