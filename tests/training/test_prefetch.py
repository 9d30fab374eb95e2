"""Batches ahead of their use: the same ones, in order, from threads that end with the run."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import pytest

from facegen.training.prefetch import Prefetch

WORKERS = [0, 1, 3]
PATIENCE = 10.0
"""Seconds after which something that should have happened has not."""


def batch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("batch")]


def eventually(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while not true() and time.monotonic() < end:
        time.sleep(0.001)
    return true()


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("first", [0, 7])
def test_same_batches_in_order_each_made_once(workers: int, first: int) -> None:
    made: list[int] = []

    def make(step: int) -> str:
        time.sleep(0.002 * (step % 3))  # threads overtake each other
        made.append(step)
        return f"batch {step}"

    steps = range(first, first + 12)
    with Prefetch(make, workers) as batches:
        assert [batches.take(step) for step in steps] == [f"batch {step}" for step in steps]
    assert len(made) == len(set(made))
    assert set(steps) <= set(made) <= set(range(first, first + 12 + workers))


@pytest.mark.parametrize("workers", WORKERS)
def test_error_reaches_the_caller_at_its_step(workers: int) -> None:
    def make(step: int) -> int:
        if step == 2:
            raise OSError(f"step {step}: the disk is gone")
        return step

    with Prefetch(make, workers) as batches:
        assert [batches.take(step) for step in (0, 1)] == [0, 1]
        with pytest.raises(OSError, match="step 2: the disk is gone"):
            batches.take(2)
        assert batches.take(3) == 3
    assert not batch_threads()


@pytest.mark.parametrize("workers", [1, 3])
def test_coming_batches_are_begun_and_no_more(workers: int) -> None:
    begun: list[int] = []
    with Prefetch(lambda step: begun.append(step) or step, workers) as batches:  # type: ignore[func-returns-value]
        assert batches.take(5) == 5
        assert eventually(lambda: len(begun) == 1 + workers)
        assert sorted(begun) == list(range(5, 6 + workers))
        assert batches.take(6) == 6
        assert eventually(lambda: len(begun) == 2 + workers)
    assert sorted(begun) == list(range(5, 7 + workers))


def test_workers_work_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=PATIENCE)  # broken, unless three are waiting
    with Prefetch(lambda _: together.wait(), 3) as batches:
        assert {batches.take(step) for step in range(3)} == {0, 1, 2}
        together.abort()  # the batches ahead need not wait for others


def test_without_workers_a_batch_is_made_when_asked_for_in_the_callers_thread() -> None:
    made: list[tuple[int, threading.Thread]] = []
    with Prefetch(lambda step: made.append((step, threading.current_thread())), 0) as batches:
        assert not made
        batches.take(4)
    assert made == [(4, threading.current_thread())]


class Slow:
    """Makes step 0 at once, and those after it when it is told to."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.done: list[int] = []
        self.go_on = threading.Event()

    def __call__(self, step: int) -> int:
        self.begun.append(step)
        assert step == 0 or self.go_on.wait(PATIENCE)
        self.done.append(step)
        return step


def leave_while_working(make: Slow, error: Exception | None) -> None:
    with Prefetch(make, 2) as batches:
        batches.take(0)
        assert eventually(lambda: sorted(make.begun) == [0, 1, 2])
        assert len(batch_threads()) == 2
        threading.Timer(0.05, make.go_on.set).start()
        if error is not None:
            raise error


def test_leaving_waits_for_what_is_begun_and_ends_the_threads() -> None:
    make = Slow()
    leave_while_working(make, None)
    assert sorted(make.done) == [0, 1, 2]
    assert not batch_threads()


def test_leaving_by_an_error_ends_the_threads_too() -> None:
    make = Slow()
    with pytest.raises(RuntimeError, match="the loss is not finite"):
        leave_while_working(make, RuntimeError("the loss is not finite"))
    assert sorted(make.done) == [0, 1, 2]
    assert not batch_threads()


def test_interrupted_while_waiting_drops_what_is_not_begun() -> None:
    make, main = Slow(), threading.get_ident()

    def interrupt() -> None:
        signal.pthread_kill(main, signal.SIGINT)
        time.sleep(0.05)
        make.go_on.set()

    def wait_for_a_batch() -> None:
        with Prefetch(make, 1) as batches:
            batches.take(0)
            threading.Timer(0.05, interrupt).start()
            batches.take(1)  # 2 waits for the one thread

    with pytest.raises(KeyboardInterrupt):
        wait_for_a_batch()
    assert make.begun == [0, 1]
    assert not batch_threads()
