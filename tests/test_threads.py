"""Stages side by side: in order, at most so many ahead, and stopped cleanly."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from functools import partial
from threading import Event, get_ident

import pytest
import torch

from facegen.threads import at_once, in_order, prefetched, threads


def numbers(log: list[str], upto: int = 100) -> Generator[int, None, None]:
    try:
        for number in range(upto):
            log.append(str(number))
            yield number
    finally:
        log.append("closed")


def test_results_come_in_order_whichever_is_done_first() -> None:
    def task(number: int) -> int:
        time.sleep(0.02 * (number % 2 == 0))
        return number

    with threads(3) as submit:
        begun = (submit(partial(task, number)).result for number in range(7))
        assert list(in_order(begun, 3)) == list(range(7))


def test_no_more_is_begun_than_is_asked_for() -> None:
    begun: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(9):
            begun.append(number)
            yield number

    results = in_order((at_once(partial(int, number)).result for number in tasks()), 2)
    assert next(results) == 0
    assert begun == [0, 1, 2]


def test_a_task_has_one_thread_of_pytorch_and_the_caller_keeps_its_own() -> None:
    usual = torch.get_num_threads()
    with threads(2) as submit:
        assert submit(torch.get_num_threads).result() == 1
    assert torch.get_num_threads() == usual


def test_what_has_not_begun_is_dropped_at_the_end() -> None:
    held = Event()
    done: list[int] = []
    with threads(1) as submit:
        first = submit(held.wait)
        others = [submit(partial(done.append, number)) for number in range(3)]
        held.set()
        first.result()
    assert all(other.done() for other in others)


def test_items_are_taken_on_a_thread_and_passed_on() -> None:
    log: list[str] = []
    assert list(prefetched(numbers(log, 5))) == list(range(5))
    assert log == ["0", "1", "2", "3", "4", "closed"]

    def where() -> Generator[int, None, None]:
        yield get_ident()

    assert list(prefetched(where())) != [get_ident()]


def test_left_early_it_closes_what_it_takes_from() -> None:
    log: list[str] = []
    with closing(prefetched(numbers(log))) as items:
        assert next(items) == 0
    assert log[-1] == "closed"
    assert len(log) < 7


def test_errors_are_passed_on() -> None:
    def fails() -> Generator[int, None, None]:
        yield 1
        raise KeyboardInterrupt

    items = prefetched(fails())
    assert next(items) == 1
    with pytest.raises(KeyboardInterrupt):
        next(items)
