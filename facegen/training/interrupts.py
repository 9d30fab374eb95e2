"""Stopping a run without cutting a step in two, and keeping two runs out of one folder."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from facegen.errors import TrainingError


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the run folder for this process; the lock goes with the process, however it ends.

    Raises:
        TrainingError: if another process trains in the folder.
    """
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise TrainingError(f"{folder}: another process is training here; choose another --out.") from None


@contextmanager
def interrupts_noted() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM are noted inside, so that no step is cut in two; the second one acts as ever.

    Elsewhere than in the main thread, and where a program has its own way with a signal, nothing is changed.
    """
    noted = threading.Event()
    here = threading.current_thread() is threading.main_thread()
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    caught = {number: handler for number, handler in usual.items() if here and signal.getsignal(number) == handler}

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
