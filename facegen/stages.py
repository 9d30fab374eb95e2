"""Stages of work side by side on threads, for films and many faces: what they spend time in lets other threads run.

Frames side by side use a processor better than the parts of one frame: two threads of PyTorch wait for each other after
every layer. So each thread here has one of PyTorch's own, and a frame's bytes do not depend on their number.
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
"""Frames worked on side by side at most: what must be done in order takes about an eighth of a frame's time."""
_END = object()


class Submit(Protocol):
    """Begins a task and returns its future result. Tasks begin in the order in which they are submitted."""

    def __call__(self, task: Callable[[], Result], /) -> Future[Result]: ...


def at_once(task: Callable[[], Result]) -> Future[Result]:
    """Do a task before returning; the future raises its error."""
    future: Future[Result] = Future()
    try:
        future.set_result(task())
    except Exception as error:
        future.set_exception(error)
    return future


@contextmanager
def threads(number: int) -> Iterator[Submit]:
    """Threads that do tasks; at the end what has begun is waited for, and the rest is dropped."""
    usual = torch.get_num_threads()
    pool = ThreadPoolExecutor(number, "facegen", torch.set_num_threads, (1,))
    try:
        yield pool.submit
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(usual)  # or the program's next threads would begin with one


def workers(device: str) -> int:
    """Number of frames to work on at a time: one for each processor, and one that may wait for the frame before it.

    A GPU works on one, or two frames could run out of its memory, and move the networks, at the same time.
    """
    return min(torch.get_num_threads(), MOST) + 1 if device == "cpu" else 1


def in_order(results: Iterator[Callable[[], Result]], ahead: int) -> Iterator[Result]:
    """Wait for results one after the other, with `ahead` more of them begun than are yielded."""
    waiting: deque[Callable[[], Result]] = deque()
    for result in results:
        waiting.append(result)
        if len(waiting) > ahead:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()


def prefetched(items: Generator[Result, None, None], ahead: int = 2) -> Generator[Result, None, None]:
    """Take items from a generator on a thread, `ahead` before they are needed, and close it there at the end.

    Its exceptions are raised here.
    """
    closed = Event()

    def take() -> Result:
        return cast(Result, _END) if closed.is_set() else next(items, cast(Result, _END))

    with threads(1) as submit:
        try:
            taken = in_order((submit(take).result for _ in count()), ahead)
            yield from takewhile(lambda item: item is not _END, taken)
        finally:
            closed.set()
            submit(items.close).result()
