"""The tab that restores photos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from facegen.errors import FacegenError
from facegen.studio.tab import PRIVATE, WATCHING, Tab, View, Visit, notes, progress
from facegen.studio.work import Job, Studio

if TYPE_CHECKING:
    from facegen.studio.photos import Photo

HINT = (
    "<div class='hint drop-here'><p><b>Drop a photo.</b><br>"
    "Every face in it is found; choose which to restore.</p></div>"
)
FACES, PROTECT, AFTER = "Faces", "Protect", "Before and after"
"""Ways to show the photo."""
FORMATS = ["auto", "png", "jpg", "webp", "tif"]
AUTO, TO_WIDTH = 0, -1
"""Choices that are not factors: the scale for the largest head, and the scale for a width in pixels."""
TIMES = (1, 1.5, 2, 3, 4, 5, 6, 7, 8)
SCALES = [("auto", AUTO), *((f"{times:g}×", times) for times in TIMES), ("to a width", TO_WIDTH)]


@dataclass
class Session(Visit):
    """The state of one visitor's tab."""

    photos: list[Photo] = field(default_factory=list)
    current: int = 0
    mode: str = FACES
    archive: Path | None = None

    @property
    def photo(self) -> Photo | None:
        """The photo that is shown large."""
        return self.photos[self.current] if self.photos else None

    def show(self) -> None:
        """Switch to the result, if there is one, else to the faces."""
        self.mode = AFTER if self.photo and self.photo.pair else FACES

    def keep(self, painting: dict[str, Any] | None) -> None:
        """Save what was painted on the photo, if the brush is shown."""
        if self.mode == PROTECT and self.photo and painting:
            self.photo.protect(painting["layers"])

    @property
    def remarks(self) -> list[str]:
        """Errors of the photos, and notes about the one that is shown; some may be empty."""
        photo = self.photo
        return [
            *(each.error for each in self.photos),
            self.job.error if self.job else "",
            "Paint over areas that should stay as they are." if self.mode == PROTECT else "",
            "No face found: the whole photo is treated as background." if photo and photo.is_faceless else "",
            f"Made by: facegen {photo.command}" if photo and photo.command else "",
            photo.remark if photo else "",
        ]


class RestoreTab(Tab[Session]):
    """The tab's components and the handlers of their events."""

    def __init__(self, studio: Studio) -> None:
        super().__init__(studio, Session)

    def _build_options(self) -> None:
        studio = self._studio
        self.files = gr.File(label="Photos", file_count="multiple", type="filepath", elem_id="photos", height=150)
        with gr.Row():
            self.preset = gr.Dropdown(list(studio.recipes), value=studio.recipe, label="Preset", min_width=120)
            self.scale = gr.Dropdown(SCALES, value=AUTO, label="Scale", min_width=120)
            self.width = gr.Number(
                1920, label="Width in pixels", precision=0, minimum=1, maximum=40_000, visible=False, min_width=120
            )
        with gr.Accordion("More options", open=False):
            self.fidelity = gr.Slider(0, 1, 1, step=0.05, label="Fidelity", info="1 matches the photo, 0 is free")
            self.background = gr.Radio(
                ["lanczos", "tiles", "keep"], value="lanczos", label="Background",
                info="lanczos: fast; tiles: crisper, slow; keep: only faces change",
            )  # fmt: skip
            self.format = gr.Radio(FORMATS, value="auto", label="Format", info="auto keeps that of the photo")
        with gr.Row():
            self.start = gr.Button("Restore", variant="primary", interactive=False, min_width=120)
            self.cancel = gr.Button("Cancel", visible=False, min_width=100)
        self.status = gr.HTML(elem_id="restore-status")

    def _build_view(self) -> None:
        self.hint = gr.HTML(HINT)
        with gr.Row(elem_classes="toolbar"):
            self.mode = gr.Radio([], show_label=False, label="Show", visible=False, container=False)
            self.again = gr.Button("Make it again", visible=False, size="md", min_width=120)
            self.bundle = gr.DownloadButton("Download all as ZIP", visible=False, size="md", min_width=120)
            self.download = gr.DownloadButton("Download", visible=False, variant="primary", size="md", min_width=120)
        self.framed = gr.Image(
            show_label=False, label="Faces found", visible=False, interactive=False, format="jpeg", buttons=[],
            elem_id="framed",
        )  # fmt: skip
        self.editor = gr.ImageEditor(
            show_label=False, label="Paint over areas to protect", visible=False, interactive=True, sources=(),
            transforms=(), layers=False, height=560, brush=gr.Brush(colors=["#ffb03b"], color_mode="fixed"),
            buttons=["fullscreen"], type="numpy", format="png", elem_id="editor",
        )  # fmt: skip
        self.faces = gr.CheckboxGroup([], label="Faces to restore", visible=False)
        self.slider = gr.ImageSlider(
            label="Before and after", show_label=False, visible=False, interactive=False, type="filepath",
            buttons=["fullscreen"], max_height=620, elem_id="before-after",
        )  # fmt: skip
        self.strip = gr.Gallery(
            show_label=False, label="All photos", visible=False, height="auto", allow_preview=False,
            object_fit="cover", buttons=[], elem_id="strip", elem_classes="small-faces",
        )  # fmt: skip

    @property
    def shown(self) -> list[Any]:
        """Every component that `_view` changes."""
        return [
            self.start, self.cancel, self.status, self.hint, self.mode, self.framed, self.editor, self.faces,
            self.slider, self.strip, self.download, self.bundle, self.again,
        ]  # fmt: skip

    def _connect(self) -> None:
        for event in (self.files.upload, self.files.delete, self.files.clear):
            event(self.take, self.files, self.shown, **PRIVATE, concurrency_limit=4)
        self.strip.select(self.choose, self.editor, self.shown, **PRIVATE)
        self.framed.select(self.toggle, None, self.shown, **PRIVATE)
        self.faces.input(self.switch, self.faces, self.shown, **PRIVATE)
        self.mode.input(self.turn, [self.mode, self.editor], self.shown, **PRIVATE)
        self.preset.input(self.recipe_fidelity, self.preset, self.fidelity, **PRIVATE)
        self.scale.input(lambda scale: gr.update(visible=scale == TO_WIDTH), self.scale, self.width, **PRIVATE)
        options = [self.editor, self.preset, self.scale, self.width, self.fidelity, self.background, self.format]
        for button, begin, inputs in ((self.start, self.begin, options), (self.again, self.begin_again, None)):
            begun = button.click(begin, inputs, self.shown, **PRIVATE)
            begun.then(self.watch, None, self.shown, **WATCHING)
        self.cancel.click(self.stop, None, self.shown, **WATCHING)

    def connect_load(self, page: gr.Blocks) -> None:
        """Show the visitor's state after a reload."""
        again = page.load(self.resume, None, [self.files, *self.shown], **PRIVATE)
        again.then(self.watch, None, self.shown, **WATCHING)

    def take(self, request: gr.Request, files: list[str] | None) -> Iterator[View]:
        """Load photos that were dropped; keep those that are loaded already."""
        from facegen.studio.photos import Photo  # imports torch, so not before the page is open

        session = self.session(request)
        known = {photo.path: photo for photo in session.photos}
        paths = [self._studio.check_file(file) for file in files or []]
        session.photos = [known.get(path) or Photo(path) for path in paths]
        new = [photo for photo in session.photos if photo.path not in known]
        session.current, session.archive = 0, None
        for number, photo in enumerate(new, start=1):
            yield {self.status: progress("Looking for faces", (number - 1) / len(new))}
            photo.load(self._studio.new_folder())
        session.current = next((number for number, photo in enumerate(session.photos) if photo.preview), 0)
        session.show()
        yield self._view(session)

    def resume(self, request: gr.Request) -> View:
        """Show the visitor's state and photos after a reload."""
        session = self.session(request)
        files = [str(photo.path) for photo in session.photos]
        kept = {self.files: gr.update(value=files)} if files else {}  # an empty value would remove files just dropped
        return {**kept, **self._view(session)}

    def choose(self, request: gr.Request, painting: dict[str, Any] | None, event: gr.SelectData) -> View:
        """Show another photo."""
        session = self.session(request)
        session.keep(painting)
        readable = [number for number, photo in enumerate(session.photos) if photo.preview]
        session.current = readable[min(int(event.index), len(readable) - 1)]
        session.show()
        return self._view(session)

    def toggle(self, request: gr.Request, event: gr.SelectData) -> View:
        """Switch the face at a point on or off."""
        session = self.session(request)
        if session.photo:
            session.photo.toggle(*event.index)
        return self._view(session)

    def switch(self, request: gr.Request, on: list[int]) -> View:
        """Switch faces on and off by their numbers."""
        session = self.session(request)
        if session.photo:
            session.photo.off = set(range(1, len(session.photo.heads) + 1)) - set(on)
        return self._view(session)

    def turn(self, request: gr.Request, mode: str, painting: dict[str, Any] | None) -> View:
        """Show the faces, the brush, or before and after."""
        session = self.session(request)
        session.keep(painting)
        session.mode = mode
        return self._view(session)

    def recipe_fidelity(self, preset: str) -> float:
        """Return the fidelity of a preset's recipe."""
        from facegen.recipe import PipelineRecipe, load_recipe

        return load_recipe(self._studio.recipe_path(preset), PipelineRecipe).fidelity

    def begin(
        self,
        request: gr.Request,
        painting: dict[str, Any] | None,
        preset: str,
        scale: float,
        width: int | None,
        fidelity: float,
        background: Any,
        suffix: Any,
    ) -> View:
        """Start to restore every photo."""
        from facegen.studio.restoring import RestoreSettings, restore

        session = self.session(request)
        session.keep(painting)
        times, width = (None, width) if scale == TO_WIDTH else (scale or None, None)
        settings = RestoreSettings(preset, times, width, fidelity, background, suffix)
        if session.busy or not session.photos:
            return self._view(session)
        try:
            settings.options(self._studio)  # refuse contradictory options now
        except FacegenError as error:
            raise gr.Error(str(error), title="Not started") from None

        def work(job: Job) -> None:
            try:
                session.archive = restore(self._studio, job, session.photos, settings)
            finally:
                session.show()

        session.archive = None
        session.begin(self._studio, work)
        return self._view(session)

    def begin_again(self, request: gr.Request) -> View:
        """Start to make the shown photo again from its record."""
        from facegen.studio.restoring import make_again

        session, studio = self.session(request), self._studio
        photo, files = session.photo, [photo.path for photo in session.photos]
        if photo is not None and not session.busy:

            def work(job: Job) -> None:
                result, photo.remark = make_again(studio, job, photo.path, files)
                photo.show(result, result.parent)
                session.show()

            session.begin(studio, work)
        return self._view(session)

    def _view(self, session: Session) -> View:
        photo, several = session.photo, len(session.photos) > 1
        pair = photo.pair if photo and session.mode == AFTER else None
        readable = [photo for photo in session.photos if photo.preview]
        loaded = photo in readable
        painting = loaded and session.mode == PROTECT
        return {
            **self._faces(photo, loaded and not painting and pair is None),
            self.start: gr.update(interactive=bool(session.photos) and not session.busy),
            self.cancel: gr.update(visible=session.busy),
            self.status: session.status if session.busy else notes(*session.remarks),
            self.hint: gr.update(visible=photo is None),
            self.mode: gr.update(
                visible=loaded, choices=[FACES, PROTECT, *([AFTER] if photo and photo.pair else [])], value=session.mode
            ),
            self.editor: gr.update(visible=painting, value=photo.painting() if photo and painting else None),
            self.slider: gr.update(visible=pair is not None, value=pair),
            self.strip: gr.update(
                visible=several, selected_index=readable.index(photo) if photo and several and loaded else None,
                value=[(str(each.pair[1] if each.pair else each.preview), _caption(each)) for each in readable],
            ),
            self.download: gr.update(visible=bool(pair), value=photo.result if photo and pair else None),
            self.bundle: gr.update(visible=session.archive is not None, value=session.archive),
            self.again: gr.update(visible=bool(photo and photo.command), interactive=not session.busy),
        }  # fmt: skip

    def _faces(self, photo: Photo | None, visible: bool) -> View:
        """Update the picture with frames and the check boxes of the faces."""
        numbers = list(range(1, len(photo.heads) + 1)) if photo else []
        on = [number for number in numbers if photo and number not in photo.off]
        return {
            self.framed: gr.update(visible=visible, value=photo.framed() if photo and visible else None),
            self.faces: gr.update(
                visible=visible and bool(numbers), choices=[(f"Face {n}", n) for n in numbers], value=on
            ),
        }


def _caption(photo: Photo) -> str:
    return f"✓ {photo.path.name}" if photo.result else photo.path.name
