"""From the options of a command to its film: the record, the walks, and what is said meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facegen.cli.film_options import FilmRequest

if TYPE_CHECKING:
    from torch import Tensor

    from facegen.pipeline import FacePipeline
    from facegen.video.cells import FilmOptions
    from facegen.video.film import FilmFile, Item
    from facegen.video.walk import Walk

AUDIO_KEY = "facegen-audio"
"""Of a film's text: SHA-256 of the file that its sound came from."""


def film_to(
    request: FilmRequest,
    pipeline: FacePipeline,
    keyframes: Sequence[Sequence[Tensor]],
    *,
    command: str,
    options: dict[str, Any],
    upscaled: bool = True,
    columns: int = 1,
) -> None:
    """Make the film that was asked for, with the time left on a terminal; say what was written.

    Args:
        keyframes: of each face, its latents.
        command, options: recorded in the film, before the request's own.
    """
    import numpy as np

    from facegen.files import sha256_of
    from facegen.media.record import record_text
    from facegen.video.film import written_before
    from facegen.video.walk import Walk

    film = request.film(upscaled=upscaled, columns=columns)
    text = record_text(pipeline, command, options | request.recorded(), keyframes=[z for zs in keyframes for z in zs])
    if request.audio is not None:
        text[AUDIO_KEY] = sha256_of(request.audio)
    file = replace(request.file(), text=text)
    if written_before(file):
        click.echo(file.path)
        click.echo(f"{file.path}: done already.", err=True)
        return
    walks = [Walk(np.stack([z.numpy() for z in zs]), file.made, request.walk()) for zs in keyframes]
    try:
        for path in _tracked(pipeline, walks, film, file):
            click.echo(path)
    except KeyboardInterrupt:
        click.echo(f"\nStopped: {file.path} is not finished. To go on, run the same command again.", err=True)
        sys.exit(130)


def _tracked(pipeline: FacePipeline, walks: Sequence[Walk], film: FilmOptions, file: FilmFile) -> list[Path]:
    from facegen.cli.summary import error_console, time_left
    from facegen.video.film import make_film

    with time_left(error_console()) as progress:

        def track(items: Iterable[Item], total: int, done: int, description: str) -> Iterable[Item]:
            return progress.track(items, total, done, description=description)

        return make_film(pipeline, walks, film, file, track=track, say=lambda line: click.echo(line, err=True))
