"""The tab that restores photos."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import gradio as gr

from facegen.errors import FacegenError
from facegen.studio.restoring import AFTER, FACES, PROTECT, Session
from facegen.studio.shared import CANCELLING, PRIVATE, WATCHING, Sessions, View, job_progress, notes, progress
from facegen.studio.work import Job, Studio

if TYPE_CHECKING:
    from facegen.studio.photos import Photo

HINT = (
    "<div class='hint drop-here'><p><b>Drop a photo.</b><br>"
    "Every face in it is found; choose which to restore.</p></div>"
)
FORMATS = ["auto", "png", "jpg", "webp", "tif"]
AUTO, TO_WIDTH = 0, -1
"""Scales of the page that are none: that of the largest head, and that of a width in pixels."""
TIMES = (1, 1.5, 2, 3, 4, 5, 6, 7, 8)
SCALES = [("auto", AUTO), *((f"{times:g}×", times) for times in TIMES), ("to a width", TO_WIDTH)]


class RestoreTab:
    """Builds the tab and answers what happens on it."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self.sessions = Sessions(lambda: Session(studio.new_folder()))
        with gr.Row():
            with gr.Column(min_width=280, elem_classes="options"):
                self._build_options()
            with gr.Column(scale=2, min_width=340):
                self._build_view()
        self._connect()

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
            self.fidelity = gr.Slider(
                0, 1, 1, step=0.05, label="Fidelity", info="1 agrees with the photo, 0 is freer"
            )
            self.background = gr.Radio(
                ["lanczos", "tiles", "keep"], value="lanczos", label="Background",
                info="lanczos is quick, tiles is crisper and slow, keep changes faces alone",
            )  # fmt: skip
            self.format = gr.Radio(FORMATS, value="auto", label="Format", info="auto keeps the photo's")
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
            show_label=False, label="Paint what is left alone", visible=False, interactive=True, sources=(),
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
        for happened in (self.files.upload, self.files.delete, self.files.clear):
            happened(self.take, self.files, self.shown, **PRIVATE, concurrency_limit=4)
        self.strip.select(self.choose, self.editor, self.shown, **PRIVATE)
        self.framed.select(self.toggle, None, self.shown, **PRIVATE)
        self.faces.input(self.switch, self.faces, self.shown, **PRIVATE)
        self.mode.input(self.turn, [self.mode, self.editor], self.shown, **PRIVATE)
        self.preset.input(self.usual_fidelity, self.preset, self.fidelity, **PRIVATE)
        self.scale.input(lambda scale: gr.update(visible=scale == TO_WIDTH), self.scale, self.width, **PRIVATE)
        options = [self.editor, self.preset, self.scale, self.width, self.fidelity, self.background, self.format]
        for button, begin, inputs in ((self.start, self.begin, options), (self.again, self.begin_again, None)):
            begun = button.click(begin, inputs, self.shown, **PRIVATE)
            begun.then(self.watch, None, self.shown, **WATCHING)
        self.cancel.click(self.stop, None, self.shown, **WATCHING)

    def connect_load(self, page: gr.Blocks) -> None:
        """Show what is there again after a reload."""
        again = page.load(self.resume, None, [self.files, *self.shown], **PRIVATE)
        again.then(self.watch, None, self.shown, **WATCHING)

    # --- what happens

    def take(self, request: gr.Request, files: list[str] | None) -> Iterator[View]:
        """Look at photos that were dropped; those that are there stay as they are."""
        from facegen.studio.photos import Photo  # imports torch, once the page is there

        session = self.sessions.of(request)
        known = {photo.path: photo for photo in session.photos}
        paths = [self._studio.own(file) for file in files or []]
        session.photos = [known.get(path) or Photo(path) for path in paths]
        new = [photo for photo in session.photos if photo.path not in known]
        session.current, session.archive = 0, None
        for number, photo in enumerate(new, start=1):
            yield {self.status: progress("Looking for faces", (number - 1) / len(new))}
            photo.look(session.folder)
        session.current = next((number for number, photo in enumerate(session.photos) if photo.preview), 0)
        session.show()
        yield self._view(session)

    def resume(self, request: gr.Request) -> View:
        """Show a session after a reload."""
        session = self.sessions.of(request)
        files = [str(photo.path) for photo in session.photos]
        kept = {self.files: gr.update(value=files)} if files else {}  # nothing takes away what is just dropped
        return {**kept, **self._view(session)}

    def choose(self, request: gr.Request, painting: dict[str, Any] | None, event: gr.SelectData) -> View:
        """Show another photo."""
        session = self.sessions.of(request)
        session.keep(painting)
        readable = [number for number, photo in enumerate(session.photos) if photo.preview]
        session.current = readable[min(int(event.index), len(readable) - 1)]
        session.show()
        return self._view(session)

    def toggle(self, request: gr.Request, event: gr.SelectData) -> View:
        """Switch the face at a point on or off."""
        session = self.sessions.of(request)
        if session.photo:
            session.photo.toggle(*event.index)
        return self._view(session)

    def switch(self, request: gr.Request, on: list[int]) -> View:
        """Switch faces on and off by their numbers."""
        session = self.sessions.of(request)
        if session.photo:
            session.photo.off = set(range(1, len(session.photo.heads) + 1)) - set(on)
        return self._view(session)

    def turn(self, request: gr.Request, mode: str, painting: dict[str, Any] | None) -> View:
        """Show the faces, the brush, or before and after."""
        session = self.sessions.of(request)
        session.keep(painting)
        session.mode = mode
        return self._view(session)

    def usual_fidelity(self, preset: str) -> float:
        """The fidelity of a preset's recipe."""
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
        from facegen.studio.photos import Wish, restore

        session = self.sessions.of(request)
        session.keep(painting)
        times, width = (None, width) if scale == TO_WIDTH else (scale or None, None)
        wish = Wish(preset, times, width, fidelity, background, suffix)
        if session.works or not session.photos:
            return self._view(session)
        try:
            wish.options(self._studio)  # refuses what contradicts itself
        except FacegenError as error:
            raise gr.Error(str(error), title="Not started") from None

        def work(job: Job) -> None:
            try:
                session.archive = restore(self._studio, job, session.photos, wish)
            finally:
                session.show()

        session.archive = None
        session.begin(self._studio, work)
        return self._view(session)

    def begin_again(self, request: gr.Request) -> View:
        """Start to make the photo that is shown again, from its record."""
        from facegen.studio.photos import make_again

        session, studio = self.sessions.of(request), self._studio
        photo, others = session.photo, [other.path for other in session.photos]
        if photo is not None and not session.works:

            def work(job: Job) -> None:
                result, photo.remark = make_again(studio, job, photo.path, others)
                photo.show(result, result.parent)
                session.show()

            session.begin(studio, work)
        return self._view(session)

    async def watch(self, request: gr.Request) -> AsyncIterator[View]:
        """Show the progress of a job until it is done, then its results."""
        session = self.sessions.of(request)
        if (job := session.job) is not None:
            async for _ in job.watch():
                yield {self.status: job_progress(job)}
        yield self._view(session)

    def stop(self, request: gr.Request) -> View:
        """Cancel the job."""
        self.sessions.of(request).cancel()
        return {self.status: CANCELLING}

    # --- what is shown

    def _view(self, session: Session) -> View:
        photo, several = session.photo, len(session.photos) > 1
        pair = photo.pair if photo and session.mode == AFTER else None
        readable = [one for one in session.photos if one.preview]
        there, painting = photo is not None and photo.preview is not None, session.mode == PROTECT
        return {
            **self._faces(photo, there and not painting and pair is None),
            self.start: gr.update(interactive=bool(session.photos) and not session.works),
            self.cancel: gr.update(visible=session.works),
            self.status: session.status if session.works else notes(*session.remarks),
            self.hint: gr.update(visible=photo is None),
            self.mode: gr.update(
                visible=there, choices=[FACES, PROTECT, *([AFTER] if photo and photo.pair else [])], value=session.mode
            ),
            self.editor: self._editor(photo if there and painting else None),
            self.slider: gr.update(visible=pair is not None, value=pair),
            self.strip: gr.update(
                visible=several, selected_index=readable.index(photo) if several and photo in readable else None,
                value=[(str(one.pair[1] if one.pair else one.preview), _caption(one)) for one in readable],
            ),
            self.download: gr.update(visible=bool(pair), value=photo.result if photo and pair else None),
            self.bundle: gr.update(visible=session.archive is not None, value=session.archive),
            self.again: gr.update(visible=bool(photo and photo.command), interactive=not session.works),
        }  # fmt: skip

    def _faces(self, photo: Photo | None, visible: bool) -> View:
        """The picture with frames, and the check boxes of the faces."""
        numbers = list(range(1, len(photo.heads) + 1)) if photo else []
        on = [number for number in numbers if photo and number not in photo.off]
        return {
            self.framed: gr.update(visible=visible, value=photo.framed() if photo and visible else None),
            self.faces: gr.update(
                visible=visible and bool(numbers), choices=[(f"Face {n}", n) for n in numbers], value=on
            ),
        }

    def _editor(self, photo: Photo | None) -> Any:
        from facegen.studio.protect import to_paint_on

        return gr.update(visible=photo is not None, value=to_paint_on(photo) if photo else None)


def _caption(photo: Photo) -> str:
    return f"✓ {photo.path.name}" if photo.result else photo.path.name
