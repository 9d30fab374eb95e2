"""Films of a walk from face to face, as a quick preview or as `facegen video` makes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from facegen.files import sha256_of
from facegen.media.record import record_text
from facegen.pipeline import FacePipeline
from facegen.studio.faces import Face
from facegen.studio.work import Job, Studio
from facegen.video.film import AUDIO_KEY, FilmFile, FilmOptions, Item, frame_count, make_film
from facegen.video.walk import Walk, WalkOptions


@dataclass(frozen=True)
class FilmSettings:
    """The options of a film."""

    seconds: float
    loop: bool
    size: int = 768
    fps: int = 30
    audio: Path | None = None
    """A file with the sound of the film."""

    def preview(self) -> FilmSettings:
        """Return the settings of a quick preview: 256 px, 12 frames a second."""
        return replace(self, size=256, fps=12)


def make(studio: Studio, job: Job, preset: str, faces: Sequence[Face], settings: FilmSettings, target: Path) -> Path:
    """Make a film of two faces or more; after it was cancelled, the same call continues it."""
    pipeline = studio.pipeline(preset)
    keyframes = [face.z for face in faces]
    text = record_text(pipeline, *_command(pipeline, preset, faces, settings), keyframes=keyframes)
    if settings.audio is not None:
        text[AUDIO_KEY] = sha256_of(settings.audio)
    fps, loop = Fraction(settings.fps), settings.loop
    count = frame_count(Fraction(str(settings.seconds)), fps)
    file = FilmFile(path=target, text=text, count=count, loop=loop, audio=settings.audio)
    walk = Walk(np.stack([z.numpy() for z in keyframes]), file.made, WalkOptions(loop=loop))

    def track(items: Iterable[Item], total: int, done: int) -> Iterator[Item]:
        for number, item in enumerate(items, start=done + 1):
            job.report(number / total, f"Frame {number} of {total}")
            yield item

    make_film(pipeline, [walk], FilmOptions(fps=fps, size=settings.size), file, track=track)
    return target


def _command(
    pipeline: FacePipeline, preset: str, faces: Sequence[Face], settings: FilmSettings
) -> tuple[str, dict[str, Any]]:
    """Return the command that makes the same walk; faces that no seed draws are in the record alone."""
    audio = None if settings.audio is None else settings.audio.name
    options = asdict(settings) | {"audio": audio, "recipe": preset}
    overrides = {face.overrides(pipeline) for face in faces}
    if len(overrides) > 1 or any(face.seed is None for face in faces):
        return "studio", options
    return "video", {"seeds": ",".join(str(face.seed) for face in faces)} | options | {"set": overrides.pop()}
