"""Endpoints for clients: one for the work of each tab; see docs/studio.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import gradio as gr

from facegen.errors import FacegenError, UsageError
from facegen.seeds import parse_seeds
from facegen.studio.upscalers import shipped_upscalers
from facegen.studio.work import Job, Studio

Result = TypeVar("Result")

CALLS = 4
"""Calls of an endpoint that may wait for their job at a time; others wait in Gradio's queue."""


class Endpoints:
    """The functions behind the endpoints; their docstrings and arguments are shown to clients.

    Imports of torch are in the jobs, as they would block the page.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def restore(
        self,
        photo: str,
        preset: str,
        scale: float,
        faces: str,
        fidelity: float,
        background: Any,
        format: Any,
        width: int,
        mask: str | None = None,
    ) -> str:
        """Restore a photo. Scale 0 chooses the scale, unless a width is given; fidelity -1 takes that of the preset;
        faces are all, largest or numbers as in 1,3; white areas of the mask are not restored.
        """

        def work(job: Job) -> str:
            from facegen.studio.restoring import RestoreSettings, restore_file

            wanted = None if fidelity < 0 else fidelity
            settings = RestoreSettings(preset, scale or None, width or None, wanted, background, format)
            protected = self._file(mask) if mask else None
            return str(restore_file(self._studio, job, self._file(photo), settings, faces, protected))

        return await self._done(work)

    async def remake(self, picture: str, photo: str | None = None, mask: str | None = None) -> tuple[str, str]:
        """Make a picture again from its record, and report whether the bytes are the same. A restored picture needs its
        photo, and its mask if it had one.
        """

        def work(job: Job) -> tuple[str, str]:
            from facegen.studio.restoring import make_again

            inputs = [self._file(file) for file in (photo, mask) if file]
            done, remark = make_again(self._studio, job, self._file(picture), inputs)
            return str(done), remark

        return await self._done(work)

    async def draw(self, seed: float, truncation: float, preset: str) -> str:
        """Draw the face of a seed; truncation 0 takes that of the preset."""

        def work(job: Job) -> str:
            from facegen.studio.faces import faces_of, upscale

            pipeline = self._studio.pipeline(preset)
            face = faces_of(pipeline, [int(seed)], truncation or pipeline.recipe.truncation)[0]
            return str(upscale(self._studio, job, preset, face).path)

        return await self._done(work)

    async def film(
        self, seeds: str, seconds: float, loop: bool, size: int, preset: str, audio: str | None = None
    ) -> str:
        """Make a film that goes from seed to seed, with the sound of a file if one is given."""

        def work(job: Job) -> str:
            from facegen.studio.faces import faces_of
            from facegen.studio.films import FilmSettings, make

            pipeline = self._studio.pipeline(preset)
            faces = faces_of(pipeline, parse_seeds(seeds), pipeline.recipe.truncation)
            target = self._studio.new_folder() / "film.mp4"
            settings = FilmSettings(seconds, loop, size, audio=self._file(audio) if audio else None)
            return str(make(self._studio, job, preset, faces, settings, target))

        return await self._done(work)

    async def compare(
        self, photo: str, left: str, left_fidelity: float, right: str, right_fidelity: float
    ) -> tuple[str, str, dict[str, dict[str, str]]]:
        """Restore a photo in two ways; return both results, and the figures of each side by name."""

        def work(job: Job) -> tuple[str, str, dict[str, dict[str, str]]]:
            from facegen.studio.comparison import HEAD, Side, compare

            sides = (Side(left, left_fidelity), Side(right, right_fidelity))
            done = compare(self._studio, job, self._file(photo), sides)
            first, second = (dict(zip(HEAD, row, strict=True)) for row in done.rows)
            return str(done.pair[0]), str(done.pair[1]), {"left": first, "right": second}

        return await self._done(work)

    def _file(self, file: str | None) -> Path:
        if file is None:
            raise UsageError("photo: is missing; send a picture file.")
        return self._studio.check_file(file)

    async def _done(self, work: Callable[[Job], Result]) -> Result:
        """Queue a job, wait for it, and return its result."""
        try:
            job = self._studio.start(work)
        except FacegenError as error:
            raise gr.Error(str(error), print_exception=False) from None
        async for _ in job.watch():
            pass
        if job.error:
            raise gr.Error(job.error, print_exception=False)
        return cast(Result, job.result)


def add_endpoints(studio: Studio) -> None:
    """Add the endpoints, with hidden components, to the page that is being built."""
    calls = Endpoints(studio)
    presets = list(studio.recipes)
    with gr.Column(visible=False):
        photo, mask, picture, audio = (gr.File(type="filepath") for _ in range(4))
        file, other = gr.File(), gr.File()
        preset, faces = gr.Dropdown(presets, value=studio.recipe), gr.Textbox("all", max_length=1000)
        scale, fidelity = gr.Number(0, minimum=0, maximum=8), gr.Number(-1, minimum=-1, maximum=1)
        background = gr.Dropdown(["lanczos", "tiles", "keep"], value="lanczos")
        width = gr.Number(0, minimum=0, maximum=40_000, precision=0)
        suffix = gr.Dropdown(["auto", "png", "jpg", "webp", "tif"], value="auto")
        seed, truncation = gr.Number(0, minimum=0, precision=0), gr.Number(0, minimum=0, maximum=3)
        seeds, loop = gr.Textbox("1,2", max_length=200), gr.Checkbox(False)
        seconds, size = gr.Number(4, minimum=0.1, maximum=60), gr.Number(768, minimum=64, maximum=1024, precision=0)
        ways = ["lanczos", *presets, *shipped_upscalers()]
        left, right = (gr.Dropdown(ways, value=value) for value in ("lanczos", studio.recipe))
        shares = [gr.Number(1, minimum=0, maximum=1) for _ in range(2)]
        figures, remark = gr.JSON(), gr.Textbox()
        for call, inputs, outputs in (
            (calls.restore, [photo, preset, scale, faces, fidelity, background, suffix, width, mask], file),
            (calls.remake, [picture, photo, mask], [file, remark]),
            (calls.draw, [seed, truncation, preset], file),
            (calls.film, [seeds, seconds, loop, size, preset, audio], file),
            (calls.compare, [photo, left, shares[0], right, shares[1]], [file, other, figures]),
        ):
            button = gr.Button()
            button.click(call, inputs, outputs, api_name=call.__name__, concurrency_limit=CALLS)
