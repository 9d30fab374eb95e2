"""Films on the page: a walk from face to face, as a quick preview or as `facegen video` makes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from facegen.files import sha256_of
from facegen.media.record import record_text
from facegen.pipeline import FacePipeline
from facegen.studio.drawing import Face
from facegen.studio.work import Job, Studio
from facegen.video.film import AUDIO_KEY, FilmFile, FilmOptions, Item, frame_count, make_film
from facegen.video.walk import Walk, WalkOptions


@dataclass(frozen=True)
class Cut:
    """How a film is made."""

    seconds: float
    loop: bool
    size: int = 768
    fps: int = 30
    audio: Path | None = None
    """A file whose sound accompanies the film."""

    @classmethod
    def preview(cls, seconds: float, loop: bool, audio: Path | None = None) -> Cut:
        """The quick one: 256 px, 12 frames a second."""
        return cls(seconds, loop, 256, 12, audio)


def make(studio: Studio, job: Job, preset: str, faces: Sequence[Face], cut: Cut, target: Path) -> Path:
    """Make a film of two faces or more; after it was cancelled, the same call goes on where it was."""
    pipeline = studio.pipeline(preset)
    keyframes = [face.z for face in faces]
    text = record_text(pipeline, *_command(pipeline, preset, faces, cut), keyframes=keyframes)
    if cut.audio is not None:
        text[AUDIO_KEY] = sha256_of(cut.audio)
    count = frame_count(Fraction(str(cut.seconds)), Fraction(cut.fps))
    file = FilmFile(path=target, text=text, count=count, loop=cut.loop, audio=cut.audio)
    walk = Walk(np.stack([z.numpy() for z in keyframes]), file.made, WalkOptions(loop=cut.loop))
    options = FilmOptions(fps=Fraction(cut.fps), size=cut.size)
    make_film(pipeline, [walk], options, file, track=_Told(job))
    return target


def _command(
    pipeline: FacePipeline, preset: str, faces: Sequence[Face], cut: Cut
) -> tuple[str, dict[str, Any]]:
    """The command that makes the same walk; faces that no seed draws are in the record alone."""
    options = asdict(cut) | {"audio": None if cut.audio is None else cut.audio.name, "recipe": preset}
    overrides = {face.overrides(pipeline) for face in faces}
    if len(overrides) > 1 or any(face.seed is None for face in faces):
        return "studio", options
    return "video", {"seeds": ",".join(str(face.seed) for face in faces)} | options | {"set": overrides.pop()}


class _Told:
    """Tells a job how many frames are made; see `facegen.video.film.Track`."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __call__(self, items: Iterable[Item], total: int, done: int) -> Iterator[Item]:
        for number, item in enumerate(items, start=done + 1):
            self._job.tell(number / total, f"Frame {number} of {total}")
            yield item
