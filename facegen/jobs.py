"""A run over many files: find them, name their results, and work on each in one process or several."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path

import cv2

from facegen.errors import FacegenError, UsageError, printable
from facegen.files import is_folder, is_plain, resolved
from facegen.media.images import CLIP_SUFFIXES, PICTURE_SUFFIXES


@dataclass(frozen=True)
class Task:
    """A file to work on."""

    source: Path
    target: Path
    """Path of the results, without the ending that tells them apart."""
    result: Path | None = None
    """The main result's own path, if the user named it."""


@dataclass(frozen=True)
class Outcome:
    """The result of one file; a kind of work may add fields of its own."""

    source: Path
    written: tuple[Path, ...] = ()
    """The results, the main one last."""
    seconds: float = 0.0
    note: str = ""
    """A remark for the user."""
    done_already: bool = False
    error: str = ""
    """Why there is no result, naming the file; empty if there is one."""
    trace: str = ""


Work = Callable[[Task], Outcome]


def find_tasks(paths: Iterable[Path], out: Path, *, clips: bool = True) -> list[Task]:
    """List every picture, and with `clips` every clip, below the paths once.

    Each has a target of its own below `out`, which mirrors the folders. Hidden files and folders, links to folders,
    and `out` itself are skipped. A path that does not exist, and a folder that cannot be listed or holds no picture,
    stay in the list; the work on them reports what is wrong. A folder that is `out` itself is a UsageError: the next
    run would upscale its results.
    """
    suffixes = (*PICTURE_SUFFIXES, *CLIP_SUFFIXES) if clips else PICTURE_SUFFIXES
    names: dict[Path, Path] = {}  # source -> its name below `out`
    for path in paths:
        if is_folder(path) and resolved(path) == resolved(out):
            raise UsageError(f"--out {out}: is the folder that is upscaled; choose another, inside it or elsewhere.")
        for file in _pictures(path, resolved(out), suffixes) or [path]:
            names.setdefault(file, Path(file.name) if file == path else file.relative_to(path))
    targets = _kept_apart(names.values())
    return [Task(source, out / target) for source, target in zip(names, targets, strict=True)]


def _pictures(folder: Path, out: Path, suffixes: Sequence[str]) -> list[Path]:
    """List the files with these suffixes below a folder, by name, those of a folder before those of its subfolders."""
    found: list[Path] = []
    unlisted: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=unlisted.append):
        here = Path(parent)
        folders[:] = [name for name in _shown(folders) if resolved(here / name) != out]
        pictures = [here / name for name in _shown(files) if Path(name).suffix.lower() in suffixes]
        found += [path for path in pictures if is_plain(path)]
    return found + [Path(error.filename) for error in unlisted]


def _shown(names: Iterable[str]) -> list[str]:
    return sorted((name for name in names if not name.startswith(".")), key=lambda name: (name.casefold(), name))


def _kept_apart(names: Iterable[Path]) -> list[Path]:
    """Remove the suffixes, and number those names that would then be the same."""
    targets: list[Path] = []
    taken: set[str] = set()
    for name in names:
        stems = (name.stem if number == 1 else f"{name.stem}-{number}" for number in count(1))
        targets.append(next(name.parent / stem for stem in stems if str(name.parent / stem).casefold() not in taken))
        taken.add(str(targets[-1]).casefold())
    return targets


def run(tasks: Sequence[Task], work: Work, jobs: int = 1) -> Generator[Outcome, None, None]:
    """Do the work of every task; yield the outcomes as they are ready, those that failed with an error.

    Close the iterator to stop early; unfinished work is dropped.

    Args:
        work: picklable if there are several jobs, as it is sent to each process.
        jobs: processes; they share this one's threads. A single job runs in this process.
    """
    if jobs == 1:
        yield from (attempt(work, task) for task in tasks)
        return
    with _processes(work, jobs) as pool:
        with _without_ctrl_c():  # Ctrl-C reaches every process, but this one ends the others
            tasks_of = {pool.submit(_attempt_here, task): task for task in tasks}
        for future in as_completed(tasks_of):
            yield _outcome(future, tasks_of[future])


def attempt(work: Work, task: Task) -> Outcome:
    """Do the work of one task; any error becomes part of the outcome."""
    started = time.perf_counter()
    try:
        outcome = work(task)
    except FacegenError as error:
        outcome = Outcome(task.source, error=_named(task, str(error)))
    except Exception as error:  # a decoder, full memory, a bug: no reason to drop the other files
        reason = f"unexpected {type(error).__name__}: {error}"
        outcome = Outcome(task.source, error=_named(task, reason), trace=traceback.format_exc())
    return replace(outcome, seconds=time.perf_counter() - started)


def _named(task: Task, text: str) -> str:
    return text if printable(task.source) in text else f"{task.source}: {text}"


@contextmanager
def _processes(work: Work, jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Start worker processes; if the body raises, end them at once. Forked ones could use neither threads nor GPUs."""
    torch = sys.modules.get("torch")  # not imported for work that does not need it
    threads = None if torch is None else max(torch.get_num_threads() // jobs, 1)
    others = active_children()
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _set_up, (work, threads))
    try:
        yield pool
    except BaseException:
        for process in active_children():
            if process not in others:
                process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Ignore Ctrl-C, also in processes that are started meanwhile."""
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
    except BrokenProcessPool:
        reason = "a worker process died, perhaps for lack of memory; run the same command with fewer --jobs to go on."
        return Outcome(task.source, error=_named(task, reason))


_work: Work  # of this process, if it is one of several


def _set_up(work: Work, threads: int | None) -> None:
    global _work
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(threads or 1)  # OpenCV would start a thread for each core in each process
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    _work = work


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, however it died: nobody waits for its results."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _attempt_here(task: Task) -> Outcome:
    return attempt(_work, task)
