"""Work on several frames or faces in parallel threads.

This uses a CPU better than parallel work on one frame: PyTorch's threads wait for each other after every layer. So
PyTorch computes with one thread in each thread here, and the bytes of a frame do not depend on their number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count, takewhile
from threading import Event
from typing import Protocol, TypeVar, cast

import torch

Result = TypeVar("Result")
MOST = 8
"""Largest number of frames at a time: the part that must be done in order takes about an eighth of a frame's time."""
_END = object()


class Submit(Protocol):
    """Starts a task and returns its future result. Tasks start in the order of submission."""

    def __call__(self, task: Callable[[], Result], /) -> Future[Result]: ...


def at_once(task: Callable[[], Result]) -> Future[Result]:
    """Do a task immediately, and return its result or error as a finished future."""
    future: Future[Result] = Future()
    try:
        future.set_result(task())
    except Exception as error:
        future.set_exception(error)
    return future


@contextmanager
def threads(number: int) -> Iterator[Submit]:
    """Start threads that do tasks; at the end, wait for the tasks that have started and cancel the others."""
    usual = torch.get_num_threads()
    pool = ThreadPoolExecutor(number, "facegen", torch.set_num_threads, (1,))
    try:
        yield pool.submit
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(usual)  # or new threads of the program would start with one


def workers(device: str) -> int:
    """Return the number of frames to work on at a time: one for each CPU, and one that may wait for its predecessor.

    A GPU works on one: two could run out of memory, and move the networks, at the same time.
    """
    return min(torch.get_num_threads(), MOST) + 1 if device == "cpu" else 1


def in_order(results: Iterator[Callable[[], Result]], ahead: int) -> Iterator[Result]:
    """Yield results in order, after `ahead` further ones have been started."""
    waiting: deque[Callable[[], Result]] = deque()
    for result in results:
        waiting.append(result)
        if len(waiting) > ahead:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()


def prefetched(items: Generator[Result, None, None]) -> Generator[Result, None, None]:
    """Take items from a generator in a thread, two ahead of use, and close it there; its exceptions are raised here."""
    closed = Event()

    def take() -> Result:
        return cast(Result, _END) if closed.is_set() else next(items, cast(Result, _END))

    with threads(1) as submit:
        try:
            taken = in_order((submit(take).result for _ in count()), 2)
            yield from takewhile(lambda item: item is not _END, taken)
        finally:
            closed.set()
            submit(items.close).result()
