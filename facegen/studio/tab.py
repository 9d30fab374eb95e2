"""Parts that the tabs share: their frame, the state of each visitor, progress as HTML, settings of events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from html import escape
from typing import Any, Generic, TypeVar

import gradio as gr

from facegen.errors import FacegenError
from facegen.studio.work import Job, Studio

View = dict[Any, Any]
"""Component -> its update."""
COOKIE = "facegen_visitor"
"""Names a browser, so that it finds its work again after a reload."""
REMEMBERED = 100
"""Visitors whose work is remembered."""
PRIVATE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""Settings of the page's own events."""
WATCHING: dict[str, Any] = PRIVATE | {"concurrency_limit": None}
"""Settings of events that wait for a job or cancel one: any number may run at a time."""


@dataclass(kw_only=True)
class Visit:
    """The state of one visitor's tab."""

    job: Job | None = None

    @property
    def busy(self) -> bool:
        """True while the job waits or runs."""
        return self.job is not None and not self.job.done

    @property
    def status(self) -> str:
        """The job's progress as HTML, or why it failed."""
        if self.job is None:
            return ""
        return job_progress(self.job) if self.busy else notes(self.job.error)

    def begin(self, studio: Studio, work: Callable[[Job], object]) -> None:
        """Queue a job; if there are too many, the page shows the error."""
        try:
            self.job = studio.start(work)
        except FacegenError as error:
            raise gr.Error(str(error), title="Not started") from None

    def cancel(self) -> None:
        """Cancel the job, if there is one."""
        if self.job is not None:
            self.job.cancelled = True


State = TypeVar("State", bound=Visit)


class Tab(ABC, Generic[State]):
    """A tab: builds its components, answers their events, and keeps each visitor's state, also over a reload.

    Args:
        new: makes the state of a new visitor.
    """

    status: Any

    def __init__(self, studio: Studio, new: Callable[[], State]) -> None:
        self._studio, self._new = studio, new
        self._states: OrderedDict[str, State] = OrderedDict()
        with gr.Row():
            self._build()
        self._connect()

    def _build(self) -> None:
        with gr.Column(min_width=280, elem_classes="options"):
            self._build_options()
        with gr.Column(scale=2, min_width=340):
            self._build_view()

    @abstractmethod
    def _build_options(self) -> None:
        """Build the components of the left column."""

    @abstractmethod
    def _build_view(self) -> None:
        """Build the components of the right column."""

    @abstractmethod
    def _connect(self) -> None:
        """Connect the events of the components to their handlers."""

    @abstractmethod
    def _view(self, session: State) -> View:
        """Return an update of every component that depends on the state."""

    def session(self, request: gr.Request) -> State:
        """Return the state of a browser, or of a connection without cookies; the oldest states are forgotten."""
        key = str(request.cookies.get(COOKIE) or request.session_hash)
        if key not in self._states:
            self._states[key] = self._new()
        self._states.move_to_end(key)
        while len(self._states) > REMEMBERED:
            self._states.popitem(last=False)
        return self._states[key]

    def view(self, request: gr.Request) -> View:
        """Show the tab as it is now."""
        return self._view(self.session(request))

    async def watch(self, request: gr.Request) -> AsyncIterator[View]:
        """Show the progress of the job until it is done, then its result."""
        session = self.session(request)
        if (job := session.job) is not None:
            async for _ in job.watch():
                yield {self.status: job_progress(job)}
        yield self._view(session)

    def stop(self, request: gr.Request) -> View:
        """Cancel the job."""
        self.session(request).cancel()
        return {self.status: "<p role='status'>Cancelling…</p>"}


def job_progress(job: Job) -> str:
    """Show a job's progress as HTML: a bar, the current step, and the time left."""
    if job.waiting:
        return progress("Waiting for another job", 0)
    left = job.seconds_left
    return progress(job.text or "Loading the networks", job.share, "" if left is None else f"{_time(left)} left")


def progress(text: str, share: float, left: str = "") -> str:
    """Make a bar, 0..1, with words below it."""
    words = f"<span>{escape(text)}</span><span>{escape(left)}</span>"
    return f"<div role='status' class='progress'><progress value='{share:.3f}'></progress><div>{words}</div></div>"


def notes(*lines: str) -> str:
    """Format lines of text as HTML."""
    return "".join(f"<p role='status'>{escape(line)}</p>" for line in lines if line)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
