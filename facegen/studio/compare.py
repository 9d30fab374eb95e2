"""The tab that compares two ways to restore a photo."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from facegen.studio.shared import CANCELLING, PRIVATE, WATCHING, Sessions, View, Visit, job_progress, notes
from facegen.studio.work import Studio

if TYPE_CHECKING:
    from facegen.studio.comparing import Compared

HINT = "<div class='hint'><p><b>One photo, two ways.</b><br>Left and right under one slider, with figures.</p></div>"
LEGEND = (
    "Seams: 1 is none. Agreement: with the photo, when the result is shrunk again; more is closer. "
    "Identity: distance to the face in the photo; under 0.6 is the same person."
)


@dataclass
class Session(Visit):
    """Holds the state of one visitor's tab."""

    compared: Compared | None = None


class CompareTab:
    """Builds the tab and answers what happens on it."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self.sessions = Sessions(Session)
        with gr.Row():
            with gr.Column(min_width=280, elem_classes="options"):
                self.photo = gr.File(label="Photo", type="filepath", height=150, elem_id="compared")
                self.left = self._side("Left", "lanczos")
                self.right = self._side("Right", studio.recipe)
                with gr.Row():
                    self.start = gr.Button("Compare", variant="primary", min_width=120)
                    self.cancel = gr.Button("Cancel", visible=False, min_width=100)
                self.status = gr.HTML(elem_id="compare-status")
            with gr.Column(scale=2, min_width=340):
                self.hint = gr.HTML(HINT)
                self.slider = gr.ImageSlider(
                    label="Left and right", show_label=False, visible=False, interactive=False, type="filepath",
                    buttons=["fullscreen"], max_height=720, elem_id="left-right",
                )  # fmt: skip
                self.figures = gr.HTML(visible=False)
        self.shown = [self.start, self.cancel, self.status, self.hint, self.slider, self.figures]
        self._connect()

    def _side(self, label: str, preset: str) -> tuple[Any, Any]:
        """The options of one side."""
        with gr.Group(), gr.Row():
            choice = gr.Dropdown(["lanczos", *self._studio.recipes], value=preset, label=label, min_width=120)
            fidelity = gr.Slider(0, 1, 1, step=0.05, label="Fidelity", min_width=120, visible=preset != "lanczos")
        choice.change(lambda chosen: gr.update(visible=chosen != "lanczos"), choice, fidelity, **PRIVATE)
        return choice, fidelity

    def _connect(self) -> None:
        options = [self.photo, *self.left, *self.right]
        started = self.start.click(self.begin, options, self.shown, **PRIVATE)
        started.then(self.watch, None, self.shown, **WATCHING)
        self.cancel.click(self.stop, None, self.status, **PRIVATE, queue=False)

    def connect_load(self, page: gr.Blocks) -> None:
        """Show what is there, after a reload."""
        page.load(self.watch, None, self.shown, **WATCHING)

    def begin(
        self, request: gr.Request, photo: str | None, left: str, fidelity: float, right: str, other: float
    ) -> View:
        """Start to restore the photo in both ways."""
        from facegen.studio.comparing import Side, compare

        session, studio = self.sessions.of(request), self._studio
        if photo is None:
            return {self.status: notes("Drop a photo first.")}
        if not session.works:
            path, sides = studio.own(photo), (Side(left, fidelity), Side(right, other))
            session.begin(studio, lambda job: compare(studio, job, path, sides))
        return self._view(session)

    async def watch(self, request: gr.Request) -> AsyncIterator[View]:
        """Show the progress, then both results."""
        session = self.sessions.of(request)
        job = session.job
        if job is not None:
            async for _ in job.watch():
                yield {self.status: job_progress(job)}
            session.compared = job.result or session.compared  # type: ignore[assignment]
        yield self._view(session)

    def stop(self, request: gr.Request) -> View:
        """Cancel the comparison."""
        self.sessions.of(request).cancel()
        return {self.status: CANCELLING}

    def _view(self, session: Session) -> View:
        compared = session.compared
        return {
            self.start: gr.update(interactive=not session.works),
            self.cancel: gr.update(visible=session.works),
            self.status: session.status,
            self.hint: gr.update(visible=compared is None),
            self.slider: gr.update(visible=compared is not None, value=compared and compared.pair),
            self.figures: gr.update(visible=compared is not None, value=_table(compared) if compared else ""),
        }


def _table(compared: Compared) -> str:
    """The figures as HTML."""
    from facegen.studio.comparing import HEAD

    head = "".join(f"<th scope='col'>{escape(word)}</th>" for word in HEAD)
    rows = []
    for name, *cells in compared.rows:
        values = "".join(f"<td>{escape(cell) or '–'}</td>" for cell in cells)
        rows.append(f"<tr><th scope='row'>{escape(name)}</th>{values}</tr>")
    return f"<table class='figures'><tr>{head}</tr>{''.join(rows)}</table><p class='legend'>{LEGEND}</p>"
