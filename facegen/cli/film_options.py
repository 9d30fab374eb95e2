"""The options of the commands that make films."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import click

from facegen.cli.options import Listed, Size
from facegen.errors import UsageError

if TYPE_CHECKING:
    from facegen.video.cells import FilmOptions
    from facegen.video.film import FilmFile
    from facegen.video.walk import WalkOptions

Option: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]
MEASURES = ("landmarks", "hysteresis", "previous", "carry")
"""What keeps a film steady, each by itself; see `TemporalOptions`."""
MAX_RATE, MAX_SECONDS = 240, 24 * 3600


class Rate(click.ParamType[Fraction]):
    """Frames a second: 30, 29.97, 30000/1001."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        found = re.fullmatch(r"\d{1,9}(\.\d{1,9}|/\d{1,9})?", str(value))
        rate = Fraction(str(value)) if found and not re.search(r"/0+$", str(value)) else Fraction(0)
        if not 0 < rate <= MAX_RATE:
            self.fail(
                f"{value!r} is no frame rate; expected more than 0, at most {MAX_RATE}: 30, 30000/1001.", param, ctx
            )
        return rate


@dataclass(frozen=True, kw_only=True)
class FilmRequest:
    """The options of `film_options`."""

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

    def check(self) -> None:
        """Refuse what cannot be made, before any work is done for it.

        Raises:
            UsageError: if options exclude each other, or the film cannot be written as asked.
        """
        if not self.steady and self.without:
            raise UsageError("--no-steady leaves all measures out; leave --without away.")
        self.file()

    def walk(self) -> WalkOptions:
        """How the way between the keyframes runs."""
        from facegen.video.walk import WalkOptions

        return WalkOptions(self.path, self.easing, self.loop)

    def film(self, *, upscaled: bool = True, columns: int = 1) -> FilmOptions:
        """What shapes the frames."""
        from facegen.video.cells import FilmOptions
        from facegen.video.temporal import TemporalOptions

        measures = {name: self.steady and name not in self.without for name in MEASURES}
        steady = TemporalOptions(**measures, stabilize=self.stabilize)
        fps = self.fps / self.interpolate
        return FilmOptions(fps=fps, size=self.size, upscaled=upscaled, columns=columns, steady=steady)

    def file(self) -> FilmFile:
        """The file, without its text."""
        from facegen.video.film import FilmFile, frame_count

        return FilmFile(
            path=self.out, text={}, count=frame_count(Fraction(str(self.seconds)), self.fps),
            interpolate=self.interpolate, loop=self.loop, audio=self.audio, codec=self.codec, sheet=self.sheet,
            keep_frames=self.keep_frames,
        )  # fmt: skip

    def recorded(self) -> dict[str, Any]:
        """What shapes the film, as `arguments` takes it: names without folders."""
        return asdict(self) | {
            "out": self.out.name,
            "audio": None if self.audio is None else self.audio.name,
            "no_loop": not self.loop,
            "no_steady": not self.steady,
            "steady": False,
            "without": ",".join(self.without) or None,
            "sheet": False,
            "keep_frames": False,
        }


_OUT: Option = click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("out/film.mp4"),
    show_default=True,
    help="Film to write: .mp4, .webm, .mov, .mkv or .gif; a name without suffix is a folder of PNG frames.",
)
_ALIKE: tuple[Option, ...] = (
    click.option(
        "--path",
        type=click.Choice(["spline", "slerp"]),
        default="spline",
        show_default=True,
        help="Between keyframes: a smooth curve through all, or great circles from each to the next.",
    ),
    click.option(
        "--easing",
        type=click.Choice(["linear", "ease"]),
        default="linear",
        show_default=True,
        help="ease comes to rest at every keyframe.",
    ),
    click.option("--audio", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Sound to lay under."),
    click.option(
        "--interpolate",
        type=click.Choice(["1", "2", "4"]),
        default="1",
        show_default=True,
        callback=lambda ctx, param, value: int(value),
        help="Make every 2nd or 4th frame only, and those between from the optical flow.",
    ),
    click.option("--codec", help="av1 for .webm; other suffixes have one codec each."),
    click.option("--steady/--no-steady", default=True, show_default=True, help="Hold details still over time."),
    click.option(
        "--without",
        type=Listed("measure", lambda: MEASURES, none=False),
        default=(),
        metavar="MEASURES",
        help=f"Measures of --steady to leave out: {','.join(MEASURES)}.",
    ),
    click.option(
        "--stabilize",
        type=click.FloatRange(0, 1),
        default=0.0,
        show_default=True,
        help="Share of the face's own motion that the camera takes out.",
    ),
    click.option("--sheet", is_flag=True, help="Write a contact sheet of the film too."),
    click.option("--keep-frames", is_flag=True, help="Leave the frames beside the film, losslessly."),
)
"""Of `film_options`, those with one default for all commands."""


def film_options(*, size: int, seconds: float, loop: bool) -> Option:
    """The options of a film, with the defaults that differ; the command gets them as `request`, a `FilmRequest`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def with_request(**options: Any) -> Any:
            request = FilmRequest(**{field.name: options.pop(field.name) for field in fields(FilmRequest)})
            return command(request=request, **options)

        wrapped: Callable[..., Any] = with_request
        for option in reversed(_options(size, seconds, loop)):
            wrapped = option(wrapped)
        return wrapped

    return decorate


def _options(size: int, seconds: float, loop: bool) -> list[Option]:
    """In the order of the help."""
    length = click.FloatRange(0, MAX_SECONDS, min_open=True)
    return [
        _OUT,
        click.option("--seconds", type=length, default=seconds, show_default=True, help="Length of the film."),
        click.option("--fps", type=Rate(), default="30", show_default=True, help="Frames a second: 30, 30000/1001."),
        click.option("--size", type=Size(), default=size, show_default=True, help="Side of a face in pixels."),
        click.option("--loop/--no-loop", default=loop, show_default=True, help="Go back to the first keyframe."),
        *_ALIKE,
    ]
