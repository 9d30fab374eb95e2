"""The tab that draws faces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import gradio as gr

from facegen.errors import FacegenError, UsageError
from facegen.seeds import parse_seeds
from facegen.studio.film_tab import FilmTab
from facegen.studio.tab import PRIVATE, WATCHING, Tab, View, Visit, job_progress, notes
from facegen.studio.work import Studio

if TYPE_CHECKING:
    from facegen.arrays import RGB
    from facegen.studio.faces import Face

COUNT, MOST = 12, 60
"""Faces in the grid: at first, and at most."""
TO_THE_FACE = """() => matchMedia("(max-width: 740px)").matches &&
  setTimeout(() => document.querySelector("#face").scrollIntoView({ behavior: "smooth" }), 300)"""
"""On a phone, scrolls to the chosen face, which is below the grid."""
WAYS, REACH = 6, 6.0
"""Number of sliders for the main directions, and the largest amount of each."""


@dataclass
class Session(Visit):
    """The state of one visitor's tab."""

    preset: str
    grid: list[Face] = field(default_factory=list)
    chosen: Face | None = None
    """The face that was chosen from the grid."""
    face: Face | None = None
    """The same face as the sliders change it."""
    preview: RGB | None = None
    stages: Mapping[str, Path] = field(default_factory=dict)
    """Empty until the face is upscaled."""


class DrawTab(Tab[Session]):
    """The tab's components and the handlers of their events."""

    def __init__(self, studio: Studio) -> None:
        super().__init__(studio, lambda: Session(studio.recipe))

    def _build(self) -> None:
        with gr.Column(min_width=280, elem_classes=["options", "mixed"]):
            self._build_options()
        with gr.Column(scale=3, min_width=250):
            self.grid = gr.Gallery(
                show_label=False, label="Faces", allow_preview=False, object_fit="cover", buttons=[], format="png",
                height="auto", elem_id="grid", elem_classes="small-faces",
            )  # fmt: skip
        with gr.Column(scale=5, min_width=340, visible=False) as self.large:
            self._build_view()

    def _build_options(self) -> None:
        self.preset = gr.Dropdown(list(self._studio.recipes), value=self._studio.recipe, label="Preset")
        self.seeds = gr.Textbox(f"0-{COUNT - 1}", label="Seeds", info="Each is a face: 7, or 0-11", max_length=200)
        self.truncation = gr.Slider(0.3, 2, 1.5, step=0.1, label="Truncation", info="Lower: more typical, less varied")
        self.draw = gr.Button("Draw", variant="primary")
        self.status = gr.HTML(elem_id="draw-status")
        with gr.Column(visible=False, elem_classes="after-the-face") as self.around:
            with gr.Group():
                self.distance = gr.Slider(0.1, 1, 0.3, step=0.05, label="Distance")
                self.near = gr.Button("Draw its neighbours")
            with gr.Accordion("Change the face", open=False):
                self.ways = [
                    gr.Slider(-REACH, REACH, 0, step=0.5, label=f"Direction {number}") for number in range(1, WAYS + 1)
                ]

    def _build_view(self) -> None:
        self.picture = gr.Image(
            show_label=False, label="The face", interactive=False, format="png", buttons=["fullscreen"], elem_id="face",
        )  # fmt: skip
        self.stage = gr.Radio([], show_label=False, label="Show", container=False, visible=False)
        with gr.Row():
            self.download = gr.DownloadButton("Download", interactive=False, variant="primary", min_width=120)
            self.to_film = gr.Button("Add to film", min_width=120)

    @property
    def shown(self) -> list[Any]:
        """Every component that `_view` changes."""
        return [self.status, self.around, self.large, self.stage, self.picture, self.download]

    def _connect(self) -> None:
        follow: dict[str, Any] = {"fn": self.watch, "outputs": self.shown} | WATCHING
        options = [self.seeds, self.truncation]
        for event in (self.draw.click, self.seeds.submit, self.truncation.release):
            event(self.draw_seeds, options, [self.grid, self.status], **PRIVATE)
        changed = self.preset.input(self.change_preset, [self.preset, *options], [self.grid, *self.shown], **PRIVATE)
        changed.then(**follow)
        self.near.click(self.draw_neighbours, self.distance, [self.grid, self.status], **PRIVATE)
        chosen = self.grid.select(self.choose, None, [*self.shown, *self.ways], **PRIVATE, trigger_mode="always_last")
        chosen.then(**follow)
        chosen.then(None, js=TO_THE_FACE)
        for way in self.ways:
            changed = way.input(self.change, self.ways, self.shown, **PRIVATE, trigger_mode="always_last")
            changed.then(**follow)
        self.stage.input(self.turn, self.stage, self.picture, **PRIVATE)

    def connect_load(self, page: gr.Blocks, tab: gr.Tab) -> None:
        """Show the visitor's state after a reload, and the first faces when the tab is first opened."""
        again = page.load(self.resume, None, [self.preset, self.grid, *self.shown], **PRIVATE)
        again.then(self.watch, None, self.shown, **WATCHING)
        tab.select(self.first, [self.seeds, self.truncation], [self.grid, self.status], **PRIVATE)

    def connect_film(self, film: FilmTab) -> None:
        """Let the button "Add to film" add the face as a keyframe."""

        def add(request: gr.Request) -> View:
            face = self.session(request).face
            return {self.status: notes(film.put(request, [face] if face else []))}

        self.to_film.click(add, None, self.status, **PRIVATE, trigger_mode="multiple")

    def first(self, request: gr.Request, seeds: str, truncation: float) -> View:
        """Draw faces for a visitor who has none yet."""
        drawn = self.session(request).grid
        return {self.status: ""} if drawn else self.draw_seeds(request, seeds, truncation)

    def draw_seeds(self, request: gr.Request, seeds: str, truncation: float) -> View:
        """Fill the grid with the faces of seeds."""
        from facegen.studio.faces import faces_of

        session = self.session(request)
        try:
            numbers = _seeds(seeds)
            session.grid = faces_of(self._studio.pipeline(session.preset), numbers, truncation)
        except FacegenError as error:
            return {self.status: notes(str(error))}
        return self._grid(session)

    def change_preset(self, request: gr.Request, preset: str, seeds: str, truncation: float) -> View:
        """Draw the same faces by another preset, or faces of the seeds if it cannot draw these."""
        from facegen.studio.faces import fits

        session = self.session(request)
        try:
            pipeline = self._studio.pipeline(preset)
        except FacegenError as error:
            raise gr.Error(str(error), title="Not drawn") from None
        session.preset = preset
        if not fits(pipeline, session.grid):
            session.cancel()
            session.chosen = session.face = None
            return {**self._view(session), **self.draw_seeds(request, seeds, truncation)}
        if session.face is not None:
            self._show(session, session.face)
            self._enlarge(session)
        return {**self._grid(session), **self._view(session)}

    def draw_neighbours(self, request: gr.Request, distance: float) -> View:
        """Fill the grid with the face and others near it."""
        from facegen.studio.faces import neighbours

        session = self.session(request)
        if session.face is not None:
            session.grid = neighbours(session.face, COUNT, distance)
        return self._grid(session)

    def choose(self, request: gr.Request, event: gr.SelectData) -> View:
        """Show a face of the grid large, and reset the sliders."""
        session = self.session(request)
        session.chosen = session.grid[min(int(event.index), len(session.grid) - 1)]
        self._show(session, session.chosen)
        self._enlarge(session)
        return {**self._view(session), **dict.fromkeys(self.ways, 0)}

    def change(self, request: gr.Request, *amounts: float) -> View:
        """Move the face along the main directions."""
        from facegen.studio.faces import directions, moved

        session = self.session(request)
        if session.chosen is not None:
            ways = directions(self._studio.pipeline(session.preset).generator, WAYS)
            self._show(session, moved(session.chosen, ways, amounts))
            self._enlarge(session)
        return self._view(session)

    def turn(self, request: gr.Request, stage: str) -> View:
        """Show another stage of the face."""
        return {self.picture: self.session(request).stages.get(stage)}

    async def watch(self, request: gr.Request) -> AsyncIterator[View]:
        """Show the progress of upscaling, then the face."""
        session = self.session(request)
        while (job := session.job) is not None and not session.stages:
            async for _ in job.watch():
                yield {self.status: job_progress(job)}
            if job is not session.job:  # another face was chosen meanwhile
                continue
            if job.result is not None:
                session.stages = cast("Mapping[str, Path]", job.result)
            break
        yield self._view(session)

    def resume(self, request: gr.Request) -> View:
        """Show the visitor's state after a reload."""
        session = self.session(request)
        if not session.grid:
            return {self.status: ""}
        return {self.preset: session.preset, **self._grid(session), **self._view(session)}

    def _show(self, session: Session, face: Face) -> None:
        """Show a preview of a face, and cancel the work on the one before."""
        from facegen.studio.faces import preview

        session.cancel()
        session.face, session.job, session.stages = face, None, {}
        session.preview = preview(self._studio.pipeline(session.preset), face)

    def _enlarge(self, session: Session) -> None:
        from facegen.studio.faces import stages, upscale

        preset, face = session.preset, session.face
        if face is not None and not session.stages:
            session.begin(self._studio, lambda job: stages(upscale(self._studio, job, preset, face)))

    def _grid(self, session: Session) -> View:
        from facegen.studio.faces import draw

        pipeline = self._studio.pipeline(session.preset)
        pictures = [(draw(pipeline, face), face.caption) for face in session.grid]
        return {self.grid: gr.update(value=pictures, selected_index=None), self.status: ""}

    def _view(self, session: Session) -> View:
        done = session.stages.get("Face")
        return {
            self.status: session.status,
            self.around: gr.update(visible=session.face is not None),
            self.large: gr.update(visible=session.face is not None),
            self.stage: gr.update(visible=done is not None, choices=list(session.stages), value="Face"),
            self.picture: gr.update(value=done or session.preview),
            self.download: gr.update(interactive=done is not None, value=done),
        }


def _seeds(text: str) -> tuple[int, ...]:
    """Parse seeds; UsageError if they are too many for the grid."""
    seeds = parse_seeds(text)
    if len(seeds) > MOST:
        raise UsageError(f"{len(seeds)} seeds are too many for the grid; expected at most {MOST}.")
    return seeds
