"""Parts that the tabs share: visitors and what they have on a tab, progress as HTML, usual settings of events."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any, Generic, TypeVar

import gradio as gr

from facegen.errors import FacegenError
from facegen.studio.work import Job, Studio

State = TypeVar("State")
View = dict[Any, Any]
"""Components and what becomes of them."""
COOKIE = "facegen_visitor"
"""Names a browser, so that it finds its work again after a reload."""
REMEMBERED = 100
"""Visitors whose work is remembered."""
PRIVATE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""Settings of the page's own events."""
WATCHING: dict[str, Any] = PRIVATE | {"concurrency_limit": None}
"""Settings of events that wait for a job, or cancel one: any number at a time."""


@dataclass(kw_only=True)
class Visit:
    """Holds the work that one visitor has begun on a tab."""

    job: Job | None = None

    @property
    def works(self) -> bool:
        """True while the job waits or runs."""
        return self.job is not None and not self.job.done

    @property
    def status(self) -> str:
        """The job's progress as HTML, or why it failed."""
        if self.job is None:
            return ""
        return job_progress(self.job) if self.works else notes(self.job.error)

    def begin(self, studio: Studio, work: Callable[[Job], object]) -> None:
        """Queue a job; the page says why if there are too many."""
        try:
            self.job = studio.start(work)
        except FacegenError as error:
            raise gr.Error(str(error), title="Not started") from None

    def cancel(self) -> None:
        """Cancel the job, if there is one."""
        if self.job is not None:
            self.job.cancelled = True


CANCELLING = "<p role='status'>Cancelling…</p>"
"""The status of a tab until its job has noticed that it is cancelled."""


class Sessions(Generic[State]):
    """Keeps the state of each visitor's tab; it survives a reload.

    Args:
        new: makes what a new visitor has.
    """

    def __init__(self, new: Callable[[], State]) -> None:
        self._new = new
        self._states: OrderedDict[str, State] = OrderedDict()

    def of(self, request: gr.Request) -> State:
        """The state of a browser; a client without cookies has one for each connection. The oldest are forgotten."""
        key = str(request.cookies.get(COOKIE) or request.session_hash)
        if key not in self._states:
            self._states[key] = self._new()
        self._states.move_to_end(key)
        while len(self._states) > REMEMBERED:
            self._states.popitem(last=False)
        return self._states[key]


def job_progress(job: Job) -> str:
    """A job's progress as HTML: a bar, what it is at, and the time left."""
    if job.waits:
        return progress("Waiting for another job", 0)
    left = job.seconds_left
    return progress(job.text or "Loading the networks", job.share, "" if left is None else f"{_time(left)} left")


def progress(text: str, share: float, left: str = "") -> str:
    """A bar, 0..1, with words below it."""
    words = f"<span>{escape(text)}</span><span>{escape(left)}</span>"
    return f"<div role='status' class='progress'><progress value='{share:.3f}'></progress><div>{words}</div></div>"


def notes(*lines: str) -> str:
    """Lines of text as HTML."""
    return "".join(f"<p role='status'>{escape(line)}</p>" for line in lines if line)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
