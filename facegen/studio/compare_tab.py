"""The tab that compares two ways to restore a photo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from facegen.errors import FacegenError
from facegen.studio.tab import PRIVATE, WATCHING, Tab, View, Visit, notes
from facegen.studio.upscalers import LANCZOS, shipped_upscalers, take_weights
from facegen.studio.work import Job, Studio

if TYPE_CHECKING:
    from facegen.studio.comparison import Compared

HINT = (
    "<div class='hint drop-here'><p><b>Drop a photo.</b><br>"
    "Compare two ways to restore it under one slider, with figures.</p></div>"
)
LEGEND = (
    "Seams: 1 is invisible. Agreement: how well the result, shrunk again, matches the photo; higher is closer. "
    "Identity: distance of the largest face to the one in the photo; from 0.4 on it may look like another person."
)


@dataclass
class Session(Visit):
    """The state of one visitor's tab."""

    compared: Compared | None = None
    weights: Mapping[str, Path] = field(default_factory=dict)
    """Weights that the visitor dropped, by name."""


class CompareTab(Tab[Session]):
    """The tab's components and the handlers of their events."""

    def __init__(self, studio: Studio) -> None:
        super().__init__(studio, Session)

    def _build_options(self) -> None:
        self.photo = gr.File(label="Photo", type="filepath", height=150, elem_id="compared")
        self.left = self._side("Left", LANCZOS)
        self.right = self._side("Right", self._studio.recipe)
        with gr.Accordion("Other weights", open=False):
            gr.Markdown("Drop a published .pth or .safetensors, or a folder's card.toml and model.safetensors.")
            self.weights = gr.File(
                label="Weights", file_count="multiple", type="filepath", height=120, elem_id="own-weights"
            )
        with gr.Row():
            self.start = gr.Button("Compare", variant="primary", min_width=120)
            self.cancel = gr.Button("Cancel", visible=False, min_width=100)
        self.status = gr.HTML(elem_id="compare-status")

    def _side(self, label: str, preset: str) -> tuple[Any, Any]:
        """Build the options of one side."""
        with gr.Group(), gr.Row():
            choice = gr.Dropdown(self._choices({}), value=preset, label=label, min_width=120)
            fidelity = gr.Slider(0, 1, 1, step=0.05, label="Fidelity", min_width=120, visible=preset != LANCZOS)
        choice.change(lambda chosen: gr.update(visible=chosen in self._studio.recipes), choice, fidelity, **PRIVATE)
        return choice, fidelity

    def _build_view(self) -> None:
        self.hint = gr.HTML(HINT)
        self.slider = gr.ImageSlider(
            label="Left and right", show_label=False, visible=False, interactive=False, type="filepath",
            buttons=["fullscreen"], max_height=620, elem_id="left-right",
        )  # fmt: skip
        self.figures = gr.HTML(visible=False)
        self.shown = [self.start, self.cancel, self.status, self.hint, self.slider, self.figures]

    def _choices(self, weights: Mapping[str, Path]) -> list[str]:
        return [LANCZOS, *self._studio.recipes, *shipped_upscalers(), *weights]

    def _connect(self) -> None:
        options = [self.photo, *self.left, *self.right]
        started = self.start.click(self.begin, options, self.shown, **PRIVATE)
        started.then(self.watch, None, self.shown, **WATCHING)
        for event in (self.weights.upload, self.weights.delete, self.weights.clear):
            event(self.take, self.weights, [self.left[0], self.right[0], self.status], **PRIVATE)
        self.cancel.click(self.stop, None, self.status, **WATCHING)

    def connect_load(self, page: gr.Blocks) -> None:
        """Show the visitor's state after a reload."""
        page.load(self.watch, None, self.shown, **WATCHING)

    def take(self, request: gr.Request, files: list[str] | None) -> View:
        """Offer weights that were dropped."""
        session = self.session(request)
        try:
            session.weights = take_weights(self._studio, [self._studio.check_file(file) for file in files or []])
        except FacegenError as error:
            return {self.status: notes(str(error))}
        choices = gr.update(choices=self._choices(session.weights))
        messages = [f"{name} can be chosen." for name in session.weights]
        return {self.left[0]: choices, self.right[0]: choices, self.status: notes(*messages)}

    def begin(
        self,
        request: gr.Request,
        photo: str | None,
        left: str,
        left_fidelity: float,
        right: str,
        right_fidelity: float,
    ) -> View:
        """Start to restore the photo in both ways."""
        from facegen.studio.comparison import Side, compare

        session, studio = self.session(request), self._studio
        if photo is None:
            raise gr.Error("Drop a photo first.", title="Not started")
        path = studio.check_file(photo)
        ways = ((left, left_fidelity), (right, right_fidelity))
        sides = [Side(name, fidelity, session.weights.get(name)) for name, fidelity in ways]

        def work(job: Job) -> None:
            session.compared = compare(studio, job, path, sides)

        if not session.busy:
            session.begin(studio, work)
        return self._view(session)

    def _view(self, session: Session) -> View:
        compared = session.compared
        return {
            self.start: gr.update(interactive=not session.busy),
            self.cancel: gr.update(visible=session.busy),
            self.status: session.status,
            self.hint: gr.update(visible=compared is None),
            self.slider: gr.update(visible=compared is not None, value=compared and compared.pair),
            self.figures: gr.update(visible=compared is not None, value=_table(compared) if compared else ""),
        }


def _table(compared: Compared) -> str:
    """Format the figures as HTML."""
    from facegen.studio.comparison import HEAD

    head = "".join(f"<th scope='col'>{escape(word)}</th>" for word in HEAD)
    rows = []
    for name, *cells in compared.rows:
        values = "".join(f"<td>{escape(cell) or '–'}</td>" for cell in cells)
        rows.append(f"<tr><th scope='row'>{escape(name)}</th>{values}</tr>")
    return f"<table class='figures'><tr>{head}</tr>{''.join(rows)}</table><p class='legend'>{LEGEND}</p>"
