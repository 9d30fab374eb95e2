"""The page's work: one job at a time, which goes on when the page is closed, and can be cancelled."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from facegen.errors import FacegenError, FileError, UsageError
from facegen.files import PIPELINES

if TYPE_CHECKING:
    from facegen.pipeline import FacePipeline

WAITING = 32
"""Jobs that may wait; more are refused."""
POLL_SECONDS = 0.25
"""Time between two updates of a job's progress."""
PIPELINES_KEPT = 4
"""Sets of networks that stay loaded."""


class Remade(Protocol):
    """A picture that was made again from its record."""

    @property
    def path(self) -> Path: ...
    @property
    def difference(self) -> str: ...


class Remake(Protocol):
    """`facegen.cli.replay.remake`, which this package cannot import."""

    def __call__(
        self,
        picture: Path,
        folder: Path,
        source: Path | None,
        mask: Path | None,
        device: str | None,
        *,
        trusted: Iterable[str],
    ) -> Remade: ...


class CancelledError(Exception):
    """Raised inside a job that its user has cancelled."""


class Job:
    """A piece of work and its progress. The worker's thread writes it, the page's threads read it.

    Args:
        work: is called with the job, reports its progress to it, and returns the result.
    """

    def __init__(self, work: Callable[[Job], object]) -> None:
        self._work = work
        self.done, self.cancelled = False, False
        self.share, self.text, self.error = 0.0, "", ""
        self.result: object = None
        self._started: float | None = None

    def run(self) -> None:
        """Do the work; an error becomes the job's message."""
        self._started = time.monotonic()
        try:
            self.check()
            self.result = self._work(self)
        except CancelledError:
            self.error = "Cancelled."
        except FacegenError as error:
            self.error = str(error)
        except Exception as error:  # full memory, a bug: the page shows it, and the next job runs
            self.error = f"Unexpected {type(error).__name__}: {error}"
        finally:
            self.done = True

    def check(self) -> None:
        """Raise `CancelledError` if the user has cancelled the job."""
        if self.cancelled:
            raise CancelledError

    def report(self, share: float, text: str) -> None:
        """Set the progress, 0..1, and the current step; raises `CancelledError`."""
        self.check()
        self.share, self.text = share, text

    @property
    def waiting(self) -> bool:
        """True until the job is started."""
        return self._started is None

    @property
    def seconds_left(self) -> float | None:
        """The estimated time left; None while too little is done for an estimate."""
        spent = 0.0 if self._started is None else time.monotonic() - self._started
        return None if spent < 2 or self.share < 0.02 else spent * (1 - self.share) / self.share

    async def watch(self) -> AsyncIterator[None]:
        """Yield now and then until the job is done."""
        while not self.done:
            yield
            await asyncio.sleep(POLL_SECONDS)


class Studio:
    """Holds what the visitors of a page share: the networks, the folder for their files, and the queue of jobs.

    Args:
        folder: for all files; no other file is read or written.
        recipe: the preset shown first: the name of a shipped recipe, or a TOML file.
        remake: makes pictures again from their records.
    """

    def __init__(
        self, folder: Path, recipe: str = "portrait", device: str = "auto", remake: Remake | None = None
    ) -> None:
        self.folder = folder.resolve()
        shipped = {path.stem: path for path in sorted(PIPELINES.glob("*.toml"))}
        self.recipes = shipped if recipe in shipped else {recipe: Path(recipe)} | shipped
        self.recipe, self._device, self.remake = recipe, device, remake
        self._worker = ThreadPoolExecutor(1, "facegen")
        self._jobs: list[Job] = []
        self._load, self._loading = lru_cache(PIPELINES_KEPT)(self._read), Lock()

    @cached_property
    def device(self) -> str:
        """The torch device, chosen when first needed, as that imports torch."""
        from facegen.golden import choose_device

        return choose_device(self._device)

    def pipeline(self, recipe: str, overrides: tuple[str, ...] = ()) -> FacePipeline:
        """Load the networks of a recipe, by its name, once."""
        with self._loading:
            return self._load(recipe, overrides)

    @property
    def weights(self) -> list[str]:
        """Names of the weights of the first preset; the person who started the studio trusts them."""
        from facegen.media.record import weight_names

        return weight_names(self.pipeline(self.recipe).recipe, drawn=True)

    def warm_up(self) -> None:
        """Load the first preset before it is needed; an error is shown when it is used."""
        if not self._load.cache_info().currsize and not self._jobs:
            self._worker.submit(self.pipeline, self.recipe)

    def _read(self, recipe: str, overrides: tuple[str, ...]) -> FacePipeline:
        from facegen.pipeline import FacePipeline

        return FacePipeline.load(self.recipe_path(recipe), overrides, device=self.device)

    def recipe_path(self, recipe: str) -> Path:
        """Find a recipe by its name on the page."""
        if recipe not in self.recipes:
            raise UsageError(f"preset {recipe!r} is not known; known: {', '.join(self.recipes)}.")
        return self.recipes[recipe]

    def start(self, work: Callable[[Job], object]) -> Job:
        """Queue a job; UsageError if too many wait already."""
        self._jobs = [job for job in self._jobs if not job.done]
        if len(self._jobs) > WAITING:
            raise UsageError(f"{len(self._jobs)} jobs are waiting already; try again when some are done.")
        job = Job(work)
        self._jobs.append(job)
        self._worker.submit(job.run)
        return job

    def check_file(self, path: str | Path) -> Path:
        """Resolve links of a file; FileError if it is not in the studio's folder."""
        found = Path(path).resolve()
        if not found.is_relative_to(self.folder) or not found.is_file():
            raise FileError(f"{Path(path).name}: is not one of the files dropped here; drop it again.")
        return found

    def new_folder(self) -> Path:
        """Make a folder with a name that nobody can guess."""
        folder = self.folder / secrets.token_urlsafe(16)
        folder.mkdir(parents=True)
        return folder

    def close(self) -> None:
        """Cancel all jobs."""
        for job in self._jobs:
            job.cancelled = True
        self._worker.shutdown()
