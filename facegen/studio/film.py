"""The tab that makes films."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from facegen.errors import FacegenError
from facegen.seeds import parse_seeds
from facegen.studio.shared import CANCELLING, PRIVATE, WATCHING, Sessions, View, Visit, job_progress, notes
from facegen.studio.work import Studio

if TYPE_CHECKING:
    from facegen.arrays import RGB
    from facegen.studio.drawing import Face

MOST = 24
"""Keyframes of a film."""
HINT = "<div class='hint'><p><b>Add two faces or more.</b><br>The film goes from one to the next.</p></div>"


@dataclass
class Session(Visit):
    """Holds the state of one visitor's tab."""

    folder: Path
    preset: str
    keyframes: list[tuple[Face, RGB]] = field(default_factory=list)
    """Each with its picture, (128, 128, 3)."""
    chosen: int | None = None
    film: Path | None = None

    def move(self, place: int, to: int | None) -> None:
        """Move a keyframe, and choose it; None removes it."""
        if 0 <= place < len(self.keyframes):
            keyframe = self.keyframes.pop(place)
            self.chosen = None if to is None else min(max(to, 0), len(self.keyframes))
            if self.chosen is not None:
                self.keyframes.insert(self.chosen, keyframe)


class FilmTab:
    """Builds the tab and answers what happens on it."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self.sessions = Sessions(lambda: Session(studio.new_folder(), studio.recipe))
        with gr.Row():
            with gr.Column(min_width=280, elem_classes="options"):
                self._build_options()
            with gr.Column(scale=2, min_width=340):
                self._build_view()
        self._connect()

    def _build_options(self) -> None:
        self.preset = gr.Dropdown(list(self._studio.recipes), value=self._studio.recipe, label="Preset")
        with gr.Group():
            self.seeds = gr.Textbox("", label="Seeds", info="More faces: 1,5,9", max_length=200)
            self.add = gr.Button("Add")
        self.seconds = gr.Slider(1, 60, 4, step=1, label="Seconds")
        self.loop = gr.Checkbox(True, label="Loop", info="Ends where it begins")
        self.size = gr.Radio([256, 512, 768], value=768, label="Size in pixels")
        with gr.Accordion("Sound", open=False):
            self.audio = gr.File(label="Sound", show_label=False, type="filepath", height=120, elem_id="sound")
        with gr.Row():
            self.preview = gr.Button("Preview", interactive=False, min_width=100)
            self.start = gr.Button("Make film", variant="primary", interactive=False, min_width=120)
            self.cancel = gr.Button("Cancel", visible=False, min_width=100)
        self.status = gr.HTML(elem_id="film-status")

    def _build_view(self) -> None:
        self.hint = gr.HTML(HINT)
        self.keyframes = gr.Gallery(
            show_label=False, label="Keyframes", allow_preview=False, object_fit="cover", buttons=[], format="png",
            height="auto", visible=False, elem_id="keyframes", elem_classes="small-faces",
        )  # fmt: skip
        drag = (files(__package__) / "page" / "drag.js").read_text(encoding="utf-8")
        self.dragged = gr.HTML(js_on_load=drag, elem_classes="unseen")
        with gr.Row(visible=False) as self.tools:
            self.earlier = gr.Button("← Earlier", size="sm", min_width=80)
            self.later = gr.Button("Later →", size="sm", min_width=80)
            self.remove = gr.Button("Remove", size="sm", min_width=80)
        self.film = gr.Video(
            show_label=False, label="The film", visible=False, interactive=False, autoplay=True, loop=True, buttons=[],
            elem_id="film",
        )  # fmt: skip
        self.download = gr.DownloadButton("Download", visible=False, variant="primary")

    @property
    def shown(self) -> list[Any]:
        """Every component that `view` changes."""
        return [
            self.preview, self.start, self.cancel, self.status, self.hint, self.keyframes, self.tools, self.film,
            self.download,
        ]  # fmt: skip

    def _connect(self) -> None:
        for happened in (self.add.click, self.seeds.submit):
            happened(self.add_seeds, self.seeds, [*self.shown, self.seeds], **PRIVATE)
        self.preset.input(self.change_preset, self.preset, [self.preset, *self.shown], **PRIVATE)
        self.keyframes.select(self.choose, None, self.shown, **PRIVATE)
        self.dragged.input(self.drop, None, self.shown, **PRIVATE)
        for button, step in ((self.earlier, -1), (self.later, 1), (self.remove, 0)):
            button.click(self.mover(step), None, self.shown, **PRIVATE)
        for button, begin in ((self.preview, self.begin_preview), (self.start, self.begin)):
            options = [self.seconds, self.loop, self.size, self.audio]
            button.click(begin, options, self.shown, **PRIVATE).then(self.watch, None, self.shown, **WATCHING)
        self.cancel.click(self.stop, None, self.status, **WATCHING)

    def connect_load(self, page: gr.Blocks, tab: gr.Tab) -> None:
        """Show what is there, after a reload and when the tab is opened."""
        again = page.load(self.resume, None, [self.preset, *self.shown], **PRIVATE)
        again.then(self.watch, None, self.shown, **WATCHING)
        tab.select(self.view, None, self.shown, **PRIVATE)

    # --- what happens

    def put(self, request: gr.Request, faces: list[Face]) -> str:
        """Add keyframes; returns what to say about it."""
        from facegen.studio.drawing import fits, small

        session = self.sessions.of(request)
        pipeline = self._studio.pipeline(session.preset)
        if len(session.keyframes) + len(faces) > MOST:
            return f"A film has at most {MOST} faces."
        if not fits(pipeline, faces):
            return f"The film's preset, {session.preset}, cannot draw this face; choose another on the tab Film."
        session.keyframes += [(face, small(pipeline, face)) for face in faces]
        return f"The film has {len(session.keyframes)} face{'s' * (len(session.keyframes) > 1)} now."

    def add_seeds(self, request: gr.Request, seeds: str) -> View:
        """Add the faces of seeds."""
        from facegen.studio.drawing import faces_of

        pipeline = self._studio.pipeline(self.sessions.of(request).preset)
        try:
            numbers = parse_seeds(seeds)[: MOST + 1]
        except FacegenError as error:
            return {self.status: notes(str(error))}
        said = self.put(request, faces_of(pipeline, numbers, pipeline.recipe.truncation))
        return {**self.view(request), self.status: notes(said), self.seeds: ""}

    def change_preset(self, request: gr.Request, preset: str) -> View:
        """Make the film by another preset, if it can draw the faces that are there."""
        from facegen.studio.drawing import fits, small

        session, faces = self.sessions.of(request), [face for face, _ in self.sessions.of(request).keyframes]
        try:
            pipeline = self._studio.pipeline(preset)
        except FacegenError as error:
            return {self.preset: session.preset, self.status: notes(str(error))}
        if not fits(pipeline, faces):
            said = f"{preset} cannot draw the faces that are there; remove them first."
            return {self.preset: session.preset, self.status: notes(said)}
        session.preset, session.keyframes = preset, [(face, small(pipeline, face)) for face in faces]
        return self.view(request)

    def choose(self, request: gr.Request, event: gr.SelectData) -> View:
        """Choose a keyframe to move or to remove."""
        self.sessions.of(request).chosen = int(event.index)
        return self.view(request)

    def mover(self, step: int) -> Any:
        """The answer to a button that moves the chosen keyframe by a step; 0 removes it."""

        def move(request: gr.Request) -> View:
            session = self.sessions.of(request)
            if session.chosen is not None:
                session.move(session.chosen, session.chosen + step if step else None)
            return self.view(request)

        return move

    def drop(self, request: gr.Request, event: gr.EventData) -> View:
        """Move a keyframe that was dragged to another's place."""
        self.sessions.of(request).move(int(event._data["from"]), int(event._data["to"]))
        return self.view(request)

    def begin_preview(self, request: gr.Request, seconds: float, loop: bool, size: int, audio: str | None) -> View:
        """Start a quick film."""
        from facegen.studio.filming import Cut

        return self._begin(request, Cut.preview(seconds, loop, self._own(audio)), "preview.mp4")

    def begin(self, request: gr.Request, seconds: float, loop: bool, size: int, audio: str | None) -> View:
        """Start the film."""
        from facegen.studio.filming import Cut

        return self._begin(request, Cut(seconds, loop, size=size, audio=self._own(audio)), "film.mp4")

    def _own(self, audio: str | None) -> Path | None:
        return None if audio is None else self._studio.own(audio)

    def _begin(self, request: gr.Request, cut: Any, name: str) -> View:
        from facegen.studio.filming import make

        session, studio = self.sessions.of(request), self._studio
        faces, target = [face for face, _ in session.keyframes], session.folder / name
        if not session.works and len(faces) > 1:
            session.begin(studio, lambda job: make(studio, job, session.preset, faces, cut, target))
        return self.view(request)

    async def watch(self, request: gr.Request) -> AsyncIterator[View]:
        """Show the progress of a film, then the film."""
        session = self.sessions.of(request)
        job = session.job
        if job is not None:
            async for _ in job.watch():
                yield {self.status: job_progress(job)}
            session.film = job.result if isinstance(job.result, Path) else session.film
        yield self.view(request)

    def stop(self, request: gr.Request) -> View:
        """Cancel the film; made again, it goes on where it was."""
        self.sessions.of(request).cancel()
        return {self.status: CANCELLING}

    def resume(self, request: gr.Request) -> View:
        """Show a session after a reload."""
        return {self.preset: self.sessions.of(request).preset, **self.view(request)}

    def view(self, request: gr.Request) -> View:
        """Return the parts of the tab as they are now."""
        session = self.sessions.of(request)
        faces, ready = len(session.keyframes), len(session.keyframes) > 1 and not session.works
        return {
            self.preview: gr.update(interactive=ready),
            self.start: gr.update(interactive=ready),
            self.cancel: gr.update(visible=session.works),
            self.status: session.status,
            self.hint: gr.update(visible=not faces),
            self.keyframes: gr.update(
                visible=bool(faces), selected_index=session.chosen,
                value=[(picture, face.caption) for face, picture in session.keyframes],
            ),
            self.tools: gr.update(visible=session.chosen is not None),
            self.film: gr.update(visible=session.film is not None, value=session.film),
            self.download: gr.update(visible=session.film is not None, value=session.film),
        }  # fmt: skip
