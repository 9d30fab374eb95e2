"""The tab that compares two ways to restore a photo."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from facegen.errors import FacegenError
from facegen.studio.shared import CANCELLING, PRIVATE, WATCHING, Sessions, View, Visit, job_progress, notes
from facegen.studio.upscalers import shipped_upscalers, take_weights
from facegen.studio.work import Studio

if TYPE_CHECKING:
    from facegen.studio.comparing import Compared

HINT = (
    "<div class='hint drop-here'><p><b>Drop a photo.</b><br>"
    "See two ways to restore it under one slider, with figures.</p></div>"
)
LEGEND = (
    "Seams: 1 is none. Agreement: with the photo, when the result is shrunk again; more is closer. "
    "Identity: distance of the largest face to the photo's; from 0.4 on it may look like another person."
)
LANCZOS = "lanczos"


@dataclass
class Session(Visit):
    """Holds the state of one visitor's tab."""

    compared: Compared | None = None
    own: Mapping[str, Path] = field(default_factory=dict)
    """Weights that the visitor dropped, by name."""


class CompareTab:
    """Builds the tab and answers what happens on it."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self.sessions = Sessions(Session)
        with gr.Row():
            with gr.Column(min_width=280, elem_classes="options"):
                self.photo = gr.File(label="Photo", type="filepath", height=150, elem_id="compared")
                self.left = self._side("Left", LANCZOS)
                self.right = self._side("Right", studio.recipe)
                with gr.Accordion("Other weights", open=False):
                    gr.Markdown("Drop a published .pth or .safetensors, or a folder's card.toml and model.safetensors.")
                    self.own = gr.File(
                        label="Weights", file_count="multiple", type="filepath", height=120, elem_id="own-weights"
                    )
                with gr.Row():
                    self.start = gr.Button("Compare", variant="primary", min_width=120)
                    self.cancel = gr.Button("Cancel", visible=False, min_width=100)
                self.status = gr.HTML(elem_id="compare-status")
            with gr.Column(scale=2, min_width=340):
                self.hint = gr.HTML(HINT)
                self.slider = gr.ImageSlider(
                    label="Left and right", show_label=False, visible=False, interactive=False, type="filepath",
                    buttons=["fullscreen"], max_height=620, elem_id="left-right",
                )  # fmt: skip
                self.figures = gr.HTML(visible=False)
        self.shown = [self.start, self.cancel, self.status, self.hint, self.slider, self.figures]
        self._connect()

    def _side(self, label: str, preset: str) -> tuple[Any, Any]:
        """The options of one side."""
        with gr.Group(), gr.Row():
            choice = gr.Dropdown(self._choices({}), value=preset, label=label, min_width=120)
            fidelity = gr.Slider(0, 1, 1, step=0.05, label="Fidelity", min_width=120, visible=preset != LANCZOS)
        choice.change(lambda chosen: gr.update(visible=chosen in self._studio.recipes), choice, fidelity, **PRIVATE)
        return choice, fidelity

    def _choices(self, own: Mapping[str, Path]) -> list[str]:
        return [LANCZOS, *self._studio.recipes, *shipped_upscalers(), *own]

    def _connect(self) -> None:
        options = [self.photo, *self.left, *self.right]
        started = self.start.click(self.begin, options, self.shown, **PRIVATE)
        started.then(self.watch, None, self.shown, **WATCHING)
        for happened in (self.own.upload, self.own.delete, self.own.clear):
            happened(self.take, self.own, [self.left[0], self.right[0], self.status], **PRIVATE)
        self.cancel.click(self.stop, None, self.status, **WATCHING)

    def connect_load(self, page: gr.Blocks) -> None:
        """Show what is there, after a reload."""
        page.load(self.watch, None, self.shown, **WATCHING)

    def take(self, request: gr.Request, files: list[str] | None) -> View:
        """Offer weights that were dropped."""
        session = self.sessions.of(request)
        try:
            session.own = take_weights(self._studio, [self._studio.own(file) for file in files or []])
        except FacegenError as error:
            return {self.status: notes(str(error))}
        choices = gr.update(choices=self._choices(session.own))
        said = [f"{name} can be chosen." for name in session.own]
        return {self.left[0]: choices, self.right[0]: choices, self.status: notes(*said)}

    def begin(
        self, request: gr.Request, photo: str | None, left: str, fidelity: float, right: str, other: float
    ) -> View:
        """Start to restore the photo in both ways."""
        from facegen.studio.comparing import Side, compare

        session, studio = self.sessions.of(request), self._studio
        if photo is None:
            return {self.status: notes("Drop a photo first.")}
        if not session.works:
            path = studio.own(photo)
            sides = (Side(left, fidelity, session.own.get(left)), Side(right, other, session.own.get(right)))
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
