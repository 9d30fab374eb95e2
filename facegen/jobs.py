"""Find files, name their results, and work on each file in one process or several.

An `Executor` provides the processes: `Processes` on this machine, or a cluster (`facegen.cluster`).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from itertools import count, islice
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from typing import Any, Protocol, TypeVar

import cv2

from facegen.errors import FacegenError, UsageError, printable, show_warnings_plainly
from facegen.files import is_folder, is_plain, resolved
from facegen.media.images import CLIP_SUFFIXES, PICTURE_SUFFIXES


@dataclass(frozen=True)
class Task:
    """A file to work on."""

    source: Path
    target: Path
    """Path of the results without their endings."""
    result: Path | None = None
    """Path of the main result, if the user chose it."""


@dataclass(frozen=True)
class Outcome:
    """The result of one task; subclasses add fields."""

    source: Path
    written: tuple[Path, ...] = ()
    """The results, the main one last."""
    seconds: float = 0.0
    note: str = ""
    """A remark for the user."""
    done_already: bool = False
    error: str = ""
    """Why there is no result, with the file's name; empty if there is a result."""
    trace: str = ""
    """Traceback of an unexpected error."""


Work = Callable[[Task], Outcome]
Result = TypeVar("Result")


class Pool(Protocol):
    """Processes that call functions on their copy of one object."""

    @property
    def in_flight(self) -> int:
        """Number of calls to submit at a time, so that no process waits and the queue stays short."""

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Let a process call function(held, *arguments); for other processes than this one, all of it is pickled."""


class Executor(Protocol):
    """Provides the processes of a run."""

    def pool(self, held: object) -> AbstractContextManager[Pool]:
        """Start processes with a copy of an object; they end with the context, immediately if its body raises."""


def find_tasks(paths: Iterable[Path], out: Path, *, clips: bool = True) -> list[Task]:
    """List every picture, and with `clips` every clip, in files and folders once, each with a different target.

    The targets mirror the folders below `out`. Hidden files and folders, links to folders, and `out` are skipped. A
    path that does not exist, and a folder that cannot be listed or has no pictures, stay in the list; the work on them
    reports the error.

    Raises:
        UsageError: if one of the folders is `out`, as the next run would upscale the results.
    """
    suffixes = (*PICTURE_SUFFIXES, *CLIP_SUFFIXES) if clips else PICTURE_SUFFIXES
    names: dict[Path, Path] = {}  # source -> its name below `out`
    for path in paths:
        if is_folder(path) and resolved(path) == resolved(out):
            raise UsageError(f"--out {out}: is the folder that is upscaled; choose another, inside it or elsewhere.")
        for file in _pictures(path, resolved(out), suffixes) or [path]:
            names.setdefault(file, Path(file.name) if file == path else file.relative_to(path))
    targets = _unique_stems(names.values())
    return [Task(source, out / target) for source, target in zip(names, targets, strict=True)]


def _pictures(folder: Path, out: Path, suffixes: Sequence[str]) -> list[Path]:
    """List the files with these suffixes in a folder and then in its subfolders, by name, and folders that cannot be
    listed.
    """
    found: list[Path] = []
    unlisted: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=unlisted.append):
        here = Path(parent)
        folders[:] = [name for name in _visible(folders) if resolved(here / name) != out]
        pictures = [here / name for name in _visible(files) if Path(name).suffix.lower() in suffixes]
        found += [path for path in pictures if is_plain(path)]
    return found + [Path(error.filename) for error in unlisted]


def _visible(names: Iterable[str]) -> list[str]:
    return sorted((name for name in names if not name.startswith(".")), key=lambda name: (name.casefold(), name))


def _unique_stems(names: Iterable[Path]) -> list[Path]:
    """Remove the suffixes, and number names that are then equal."""
    targets: list[Path] = []
    taken: set[str] = set()
    for name in names:
        stems = (name.stem if number == 1 else f"{name.stem}-{number}" for number in count(1))
        targets.append(next(name.parent / stem for stem in stems if str(name.parent / stem).casefold() not in taken))
        taken.add(str(targets[-1]).casefold())
    return targets


def run(tasks: Sequence[Task], work: Work, executor: Executor) -> Generator[Outcome, None, None]:
    """Work on all tasks, and yield their outcomes as they finish; close the iterator to stop early."""
    with executor.pool(work) as pool:
        yield from share(tasks, pool)


def share(tasks: Iterable[Task], pool: Pool) -> Generator[Outcome, None, None]:
    """Submit tasks, a few at a time, to a pool whose object is the work, and yield their outcomes as they finish."""
    coming, working = iter(tasks), dict[Future[Outcome], Task]()
    while True:
        for task in islice(coming, pool.in_flight - len(working)):
            working[pool.submit(attempt, task)] = task
        if not working:
            return
        for future in wait(working, return_when=FIRST_COMPLETED).done:
            yield _outcome(future, working.pop(future))


def attempt(work: Work, task: Task) -> Outcome:
    """Work on one task; an error becomes part of the outcome."""
    started = time.perf_counter()
    try:
        outcome = work(task)
    except FacegenError as error:
        outcome = Outcome(task.source, error=_named(task, str(error)))
    except Exception as error:  # such as a decoder's, or a bug: the other files should still be done
        reason = printable(f"unexpected {type(error).__name__}: {error}")
        outcome = Outcome(task.source, error=_named(task, reason), trace=traceback.format_exc())
    return replace(outcome, seconds=time.perf_counter() - started)


def _named(task: Task, text: str) -> str:
    return text if (name := printable(task.source)) in text else f"{name}: {text}"


@dataclass(frozen=True)
class Processes:
    """Processes on this machine, among which the threads of this process are divided; a single one is this process."""

    number: int = 1

    @contextmanager
    def pool(self, held: object) -> Iterator[Pool]:
        """See `Executor`. The processes are spawned, as forked ones could use neither threads nor GPUs."""
        if self.number == 1:
            yield _ThisProcess(held)
            return
        torch = sys.modules.get("torch")  # not imported for work that does not need it
        threads = None if torch is None else max(torch.get_num_threads() // self.number, 1)
        others = active_children()
        executor = ProcessPoolExecutor(self.number, get_context("spawn"), _set_up, (held, threads))
        try:
            with _without_ctrl_c():  # Ctrl-C reaches every process, but this one ends the others
                executor.submit(os.getpid)  # starts all processes
            yield _OtherProcesses(executor, 2 * self.number)
        except BaseException:
            for process in active_children():
                if process not in others:
                    process.terminate()
            raise
        finally:
            executor.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _ThisProcess:
    """A pool of this process."""

    held: object
    in_flight: int = 1

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        future: Future[Result] = Future()
        future.set_result(function(self.held, *arguments))
        return future


@dataclass(frozen=True)
class _OtherProcesses:
    """A pool of other processes on this machine."""

    executor: ProcessPoolExecutor
    in_flight: int

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        try:
            return self.executor.submit(_call, function, *arguments)
        except BrokenProcessPool as error:  # fail like the earlier calls
            broken: Future[Result] = Future()
            broken.set_exception(error)
            return broken


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Ignore Ctrl-C in this process, and in processes that are started in the context."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set signal handlers
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _outcome(future: Future[Outcome], task: Task) -> Outcome:
    try:
        return future.result()
    except FacegenError as error:
        reason = str(error)
    except BrokenProcessPool:
        reason = "a worker process died, perhaps for lack of memory; run the same command with fewer --jobs to go on."
    return Outcome(task.source, error=_named(task, reason))


_held: object
"""This process's copy of the object of its pool."""


def _set_up(held: object, threads: int | None) -> None:
    global _held
    show_warnings_plainly()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(threads or 1)  # by default, OpenCV starts a thread per core in each process
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    _held = held


def _end_with_parent() -> None:
    """End this process when its parent has ended, even if the parent was killed."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _call(function: Callable[..., Result], *arguments: Any) -> Result:
    return function(_held, *arguments)
