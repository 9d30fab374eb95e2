"""Long work on a set: what is done is saved as it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing

from facegen.jobs import Outcome, Task, Work, run

SAVE_EVERY = 5.0
"""Seconds between two savings, at least; and saving takes at most a tenth of the time."""


def run_saving(
    todo: Sequence[Task], work: Work, jobs: int, take: Callable[[Outcome], None], save: Callable[[], None]
) -> Generator[Outcome, None, None]:
    """Do the work of every task; close the iterator to stop early.

    Args:
        jobs: processes; no more than tasks are started.
        take: given each outcome, in the order in which they come, before it is yielded.
        save: called every few seconds, at the end, and when the iterator is closed.
    """
    jobs = min(jobs, max(len(todo), 1))
    saved, cost = time.monotonic(), 0.0
    try:
        with closing(run(todo, work, jobs)) as outcomes:
            for outcome in outcomes:
                take(outcome)
                started = time.monotonic()
                if started - saved > max(SAVE_EVERY, 10 * cost):
                    save()
                    saved = time.monotonic()
                    cost = saved - started
                yield outcome
    finally:
        save()
