"""Options that the film commands share, and the film that they request."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from facegen.cli.options import (
    FILE,
    PATH,
    Listed,
    Option,
    Size,
    add_options,
    cluster_option,
    connect_cluster,
    make_folder,
    overwrite_option,
)
from facegen.cli.printing import print_path, say
from facegen.errors import UsageError
from facegen.files import find_recipe, is_folder

if TYPE_CHECKING:
    from torch import Tensor

    from facegen.media.record import Maker
    from facegen.pipeline import FacePipeline
    from facegen.video.film import FilmFile, FilmOptions, Item
    from facegen.video.sharing import Sharing
    from facegen.video.walk import Walk

MEASURES = ("landmarks", "hysteresis", "carry")
"""Measures against flicker that --steady switches on; see `TemporalOptions`."""
MAX_RATE, MAX_SECONDS = 240, 24 * 3600
_OUT = "Film to write: .mp4, .webm, .mov, .mkv or .gif; a name without suffix is a folder of PNG frames."
_PATH = "From keyframe to keyframe along a smooth curve (spline) or great circles (slerp)."
_EASING = "linear moves steadily; ease comes to rest at every keyframe."
_INTERPOLATE = "Draw only every 2nd or 4th frame, and make the others by optical flow."
_WITHOUT = f"Measures of --steady to omit: {','.join(MEASURES)}."
_STABILIZE = "Share of the face's motion to remove, as a camera that follows it would."


class Seconds(click.FloatRange):
    """The length of a film in seconds."""

    def __init__(self) -> None:
        super().__init__(0, MAX_SECONDS, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):  # no comparison refuses it
            self.fail(f"{value!r} is not a number of seconds; expected more than 0, as in 12.", param, ctx)
        return seconds


class Rate(click.ParamType[Fraction]):
    """Frames a second, as in 30, 29.97 or 30000/1001."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        found = re.fullmatch(r"\d{1,9}(\.\d{1,9}|/\d{1,9})?", str(value))
        rate = Fraction(str(value)) if found and not re.search(r"/0+$", str(value)) else Fraction(0)
        if not 0 < rate <= MAX_RATE:
            expected = f"expected more than 0, at most {MAX_RATE}: 30, 30000/1001."
            self.fail(f"{value!r} is not a frame rate; {expected}", param, ctx)
        return rate


@dataclass(frozen=True, kw_only=True)
class FilmRequest:
    """The values of `film_options`."""

    out: Path
    seconds: float
    fps: Fraction
    size: int
    path: Literal["spline", "slerp"]
    easing: Literal["linear", "ease"]
    loop: bool
    audio: Path | None
    interpolate: int
    codec: str | None
    steady: bool
    without: tuple[str, ...]
    stabilize: float
    sheet: bool
    keep_frames: bool
    cluster: str | None
    overwrite: bool

    def check(self) -> None:
        """Refuse a film that cannot be made, before any work is done."""
        if not self.steady and self.without:
            raise UsageError("--no-steady omits all measures; leave --without out.")
        file = self._file({})
        make_folder(file.path.parent)
        self._check_targets(file)

    def make(
        self,
        pipeline: FacePipeline,
        keyframes: Sequence[Sequence[Tensor]],
        *,
        command: str,
        options: dict[str, Any],
        upscaled: bool = True,
        columns: int = 1,
    ) -> None:
        """Make the film and print its path; a terminal shows the time left.

        Args:
            keyframes: for each face, the latents that it goes through.
            options: the command's options, for the record.
            upscaled: False shows the faces as the generator draws them.
        """
        import numpy as np

        from facegen.media.record import Workshop
        from facegen.video.film import written_before
        from facegen.video.sharing import LazyPipeline, Shared
        from facegen.video.walk import Walk, WalkOptions

        with ExitStack() as stack:
            cluster = stack.enter_context(connect_cluster(self.cluster)) if self.cluster else None
            maker = pipeline if cluster is None else Workshop(pipeline.recipe, cluster.device)
            file = self._file(self._text(maker, command, options, keyframes))
            if written_before(file):
                print_path(file.path)
                say(f"{file.path}: done already.")
                return
            way = WalkOptions(self.path, self.easing, self.loop)
            walks = [Walk(np.stack([z.numpy() for z in zs]), file.made, way) for zs in keyframes]
            sharing = None
            if cluster is not None:
                lazy = LazyPipeline(find_recipe(options["recipe"]), options["set"], cluster.device)
                sharing = Shared(stack.enter_context(cluster.pool(lazy)))
            for path in _make_film(pipeline, walks, self._film(upscaled, columns), file, sharing):
                print_path(path)

    def _text(
        self, maker: Maker, command: str, options: dict[str, Any], keyframes: Sequence[Sequence[Tensor]]
    ) -> dict[str, str]:
        """Return the film's record, and the hash of its sound."""
        from facegen.files import sha256_of
        from facegen.media.record import record_text
        from facegen.video.film import AUDIO_KEY

        latents = [z for zs in keyframes for z in zs]
        text = record_text(maker, command, options | self._recorded(), keyframes=latents)
        return text if self.audio is None else text | {AUDIO_KEY: sha256_of(self.audio)}

    def _check_targets(self, file: FilmFile) -> None:
        """Refuse to replace files that facegen did not write."""
        from facegen.media.record import check_target
        from facegen.media.video_writer import written_pictures

        sheet = [file.sheet_path] if file.sheet else []
        for path in (*(written_pictures(file.path) if is_folder(file.path) else [file.path]), *sheet):
            check_target(path, self.overwrite)

    def _film(self, upscaled: bool, columns: int) -> FilmOptions:
        from facegen.video.film import FilmOptions
        from facegen.video.temporal import TemporalOptions

        measures = {name: self.steady and name not in self.without for name in MEASURES}
        temporal = TemporalOptions(**measures, stabilize=self.stabilize)
        fps = self.fps / self.interpolate
        return FilmOptions(fps=fps, size=self.size, upscaled=upscaled, columns=columns, temporal=temporal)

    def _file(self, text: dict[str, str]) -> FilmFile:
        from facegen.video.film import FilmFile, frame_count

        return FilmFile(
            path=self.out, text=text, count=frame_count(Fraction(str(self.seconds)), self.fps),
            interpolate=self.interpolate, loop=self.loop, audio=self.audio, codec=self.codec, sheet=self.sheet,
            keep_frames=self.keep_frames,
        )  # fmt: skip

    def _recorded(self) -> dict[str, Any]:
        """Return the options that shape the film, for `arguments`; files by name, without their folder."""
        return asdict(self) | {
            "out": self.out.name,
            "audio": None if self.audio is None else self.audio.name,
            "no_loop": not self.loop,
            "no_steady": not self.steady,
            "steady": False,
            "without": ",".join(self.without) or None,
            "sheet": False,
            "keep_frames": False,
            "cluster": None,
            "overwrite": False,
        }


def _make_film(
    pipeline: FacePipeline, walks: Sequence[Walk], film: FilmOptions, file: FilmFile, sharing: Sharing | None
) -> list[Path]:
    """Make a film with a progress line for its frames; exit with 130 after Ctrl-C."""
    from facegen.cli.summary import Forecast, time_left
    from facegen.video.film import make_film
    from facegen.video.store import frames_kept

    forecast = Forecast(str(file.path))

    def track(items: Iterable[Item], total: int, done: int) -> Iterable[Item]:
        forecast(done, total)
        for number, item in enumerate(progress.track(items, total, done, description="frames"), start=done + 1):
            forecast(number, total)
            yield item

    try:
        with time_left() as progress:
            return make_film(pipeline, walks, film, file, sharing=sharing, track=track, say=say)
    except KeyboardInterrupt:
        text = f"{file.path} is not finished, frames kept: {frames_kept(file.frames)}"
        say("", f"Stopped: {text}. To continue, run the same command again.")
        sys.exit(130)


def film_options(*, size: int, seconds: float, loop: bool) -> Option:
    """Add the options of a film, with these defaults; the command gets a `FilmRequest` as `request`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def with_request(**options: Any) -> Any:
            request = FilmRequest(**{field.name: options.pop(field.name) for field in fields(FilmRequest)})
            return command(request=request, **options)

        return add_options(_options(size, seconds, loop), with_request)

    return decorate


def _options(size: int, seconds: float, loop: bool) -> list[Option]:
    """List the options in the order of the help."""
    measures = Listed("measure", lambda: MEASURES, none=False)
    return [
        click.option("-o", "--out", type=PATH, default=Path("out/film.mp4"), help=_OUT),
        click.option("--seconds", type=Seconds(), default=seconds, help="Length of the film."),
        click.option("--fps", type=Rate(), default="30", help="Frames a second: 30, 30000/1001."),
        click.option("--size", type=Size(), default=size, help="Side of a face in pixels."),
        click.option("--loop/--no-loop", default=loop, help="Return to the first keyframe at the end."),
        click.option("--path", type=click.Choice(["spline", "slerp"]), default="spline", help=_PATH),
        click.option("--easing", type=click.Choice(["linear", "ease"]), default="linear", help=_EASING),
        click.option("--audio", type=FILE, help="File with the sound of the film."),
        click.option("--interpolate", type=click.Choice([1, 2, 4]), default=1, help=_INTERPOLATE),
        click.option("--codec", help="av1 for .webm; the other suffixes have one codec each."),
        click.option("--steady/--no-steady", default=True, help="Keep details still over time."),
        click.option("--without", type=measures, default=(), metavar="MEASURES", help=_WITHOUT),
        click.option("--stabilize", type=click.FloatRange(0, 1), default=0.0, help=_STABILIZE),
        click.option("--sheet", is_flag=True, help="Also write a contact sheet of the film."),
        overwrite_option,
        cluster_option,
        click.option("--keep-frames", is_flag=True, help="Keep the lossless frames, in a folder next to the film."),
    ]
