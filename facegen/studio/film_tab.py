"""The tab that makes films."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from facegen.errors import FacegenError
from facegen.seeds import parse_seeds
from facegen.studio.tab import PRIVATE, WATCHING, Tab, View, Visit, notes
from facegen.studio.work import Job, Studio

if TYPE_CHECKING:
    from facegen.arrays import RGB
    from facegen.studio.faces import Face

MOST = 24
"""Keyframes that a film may have."""
HINT = "<div class='hint'><p><b>Add two faces or more.</b><br>The film goes from one to the next.</p></div>"


@dataclass
class Session(Visit):
    """The state of one visitor's tab."""

    folder: Path
    preset: str
    keyframes: list[tuple[Face, RGB]] = field(default_factory=list)
    """Faces with their pictures, (128, 128, 3)."""
    chosen: int | None = None
    film: Path | None = None

    def move(self, place: int, to: int | None) -> None:
        """Move a keyframe to another place and choose it; None removes it."""
        if 0 <= place < len(self.keyframes):
            keyframe = self.keyframes.pop(place)
            self.chosen = None if to is None else min(max(to, 0), len(self.keyframes))
            if self.chosen is not None:
                self.keyframes.insert(self.chosen, keyframe)


class FilmTab(Tab[Session]):
    """The tab's components and the handlers of their events."""

    def __init__(self, studio: Studio) -> None:
        super().__init__(studio, lambda: Session(studio.new_folder(), studio.recipe))

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
        """Every component that `_view` changes."""
        return [
            self.preview, self.start, self.cancel, self.status, self.hint, self.keyframes, self.tools, self.film,
            self.download,
        ]  # fmt: skip

    def _connect(self) -> None:
        for event in (self.add.click, self.seeds.submit):
            event(self.add_seeds, self.seeds, [*self.shown, self.seeds], **PRIVATE)
        self.preset.input(self.change_preset, self.preset, [self.preset, *self.shown], **PRIVATE)
        self.keyframes.select(self.choose, None, self.shown, **PRIVATE)
        self.dragged.input(self.drop, None, self.shown, **PRIVATE)
        for button, step in ((self.earlier, -1), (self.later, 1), (self.remove, 0)):
            button.click(self._move_handler(step), None, self.shown, **PRIVATE)
        for button, quick in ((self.preview, True), (self.start, False)):
            options = [self.seconds, self.loop, self.size, self.audio]
            begun = button.click(self._begin_handler(quick), options, self.shown, **PRIVATE)
            begun.then(self.watch, None, self.shown, **WATCHING)
        self.cancel.click(self.stop, None, self.status, **WATCHING)

    def connect_load(self, page: gr.Blocks, tab: gr.Tab) -> None:
        """Show the visitor's state, after a reload and when the tab is opened."""
        again = page.load(self.resume, None, [self.preset, *self.shown], **PRIVATE)
        again.then(self.watch, None, self.shown, **WATCHING)
        tab.select(self.view, None, self.shown, **PRIVATE)

    def put(self, request: gr.Request, faces: list[Face]) -> str:
        """Add keyframes; return a message about it."""
        from facegen.studio.faces import draw, fits

        session = self.session(request)
        pipeline = self._studio.pipeline(session.preset)
        if len(session.keyframes) + len(faces) > MOST:
            return f"A film has at most {MOST} faces."
        if not fits(pipeline, faces):
            return f"The film's preset, {session.preset}, cannot draw this face; choose another on the tab Film."
        session.keyframes += [(face, draw(pipeline, face)) for face in faces]
        return f"The film has {len(session.keyframes)} face{'s' * (len(session.keyframes) != 1)} now."

    def add_seeds(self, request: gr.Request, seeds: str) -> View:
        """Add the faces of seeds."""
        from facegen.studio.faces import faces_of

        pipeline = self._studio.pipeline(self.session(request).preset)
        try:
            numbers = parse_seeds(seeds)[: MOST + 1]
        except FacegenError as error:
            return {self.status: notes(str(error))}
        message = self.put(request, faces_of(pipeline, numbers, pipeline.recipe.truncation))
        return {**self.view(request), self.status: notes(message), self.seeds: ""}

    def change_preset(self, request: gr.Request, preset: str) -> View:
        """Use another preset for the film, if it can draw the faces of the film."""
        from facegen.studio.faces import draw, fits

        session = self.session(request)
        faces = [face for face, _ in session.keyframes]
        try:
            pipeline = self._studio.pipeline(preset)
        except FacegenError as error:
            return {self.preset: session.preset, self.status: notes(str(error))}
        if not fits(pipeline, faces):
            message = f"{preset} cannot draw the faces of this film; remove them first."
            return {self.preset: session.preset, self.status: notes(message)}
        session.preset, session.keyframes = preset, [(face, draw(pipeline, face)) for face in faces]
        return self._view(session)

    def choose(self, request: gr.Request, event: gr.SelectData) -> View:
        """Choose a keyframe to move or to remove."""
        self.session(request).chosen = int(event.index)
        return self.view(request)

    def _move_handler(self, step: int) -> Callable[[gr.Request], View]:
        """Make the handler of a button that moves the chosen keyframe by a step; 0 removes it."""

        def move(request: gr.Request) -> View:
            session = self.session(request)
            if session.chosen is not None:
                session.move(session.chosen, session.chosen + step if step else None)
            return self._view(session)

        return move

    def drop(self, request: gr.Request, event: gr.EventData) -> View:
        """Move a keyframe that was dragged to the place of another."""
        self.session(request).move(int(event._data["from"]), int(event._data["to"]))
        return self.view(request)

    def _begin_handler(self, quick: bool) -> Callable[..., View]:
        """Make the handler of the button that starts a quick preview, or of the one that starts the film."""

        def begin(request: gr.Request, seconds: float, loop: bool, size: int, audio: str | None) -> View:
            from facegen.studio.films import FilmSettings, make

            session, studio = self.session(request), self._studio
            sound = None if audio is None else studio.check_file(audio)
            settings = FilmSettings(seconds, loop, size, audio=sound)
            settings = settings.preview() if quick else settings
            target = session.folder / ("preview.mp4" if quick else "film.mp4")
            preset, faces = session.preset, [face for face, _ in session.keyframes]

            def work(job: Job) -> None:
                session.film = make(studio, job, preset, faces, settings, target)

            if not session.busy and len(faces) > 1:
                session.begin(studio, work)
            return self._view(session)

        return begin

    def resume(self, request: gr.Request) -> View:
        """Show the visitor's state after a reload."""
        return {self.preset: self.session(request).preset, **self.view(request)}

    def _view(self, session: Session) -> View:
        faces, ready = len(session.keyframes), len(session.keyframes) > 1 and not session.busy
        return {
            self.preview: gr.update(interactive=ready),
            self.start: gr.update(interactive=ready),
            self.cancel: gr.update(visible=session.busy),
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
