"""A film of walks through the latent space: latents -> faces -> upscaled frames -> stored -> encoded.

One thread draws and locates the faces, several upscale them, one stores the frames, and the caller's encodes them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from torch import Tensor

from facegen.arrays import RGB, to_rgb
from facegen.errors import FileError, UsageError
from facegen.media.images import picture_text, resize, write_image
from facegen.media.record import RECORD_KEY
from facegen.media.sheets import FilmSheet, contact_sheet
from facegen.media.video_reader import video_text
from facegen.media.video_writer import find_codec, write_video, written_pictures
from facegen.pipeline import FacePipeline
from facegen.threads import Submit, at_once, in_order, prefetched, threads
from facegen.video.interpolate import interpolate
from facegen.video.sharing import Alone, Sharing
from facegen.video.store import JSON, FrameStore, State, joined, part
from facegen.video.temporal import TemporalFrame, TemporalOptions, TemporalUpscaler
from facegen.video.walk import Walk

Item = TypeVar("Item")

SHAPING = ("facegen", "torch", "device", "recipe", "weights")
"""Fields of a record on which the bytes of a frame depend, besides the walks and the film's options."""
AUDIO_KEY = "facegen-audio"
"""Key in a film's text: the SHA-256 of the file that its sound came from."""
LEAD = 12
"""Frames made before the first frame of a loop, which lead to it. A frame depends on those before it, so the loop would
jump from its end to its start; therefore the film's last frames fade into these."""
GAP = 4
"""White pixels between the faces of a grid."""


class Track(Protocol):
    """Passes items on one by one, and shows how many of `total` are done; `done` are done before the first."""

    def __call__(self, items: Iterable[Item], total: int, done: int) -> Iterable[Item]: ...


@dataclass(frozen=True, kw_only=True)
class FilmOptions:
    """The options that shape the frames of a film, besides its walks."""

    fps: Fraction = Fraction(30)  # frames made for each second; interpolation adds more between them
    size: int = 768  # side of a face in pixels
    upscaled: bool = True  # False only resizes the generator's faces
    columns: int = 1  # faces in a row of a grid
    temporal: TemporalOptions = field(default_factory=TemporalOptions)

    def __post_init__(self) -> None:
        if self.fps <= 0 or self.size < 1 or self.columns < 1:
            raise UsageError(
                f"film: {self.fps} frames a second, size {self.size}, {self.columns} columns; expected more than 0."
            )

    @property
    def remembers(self) -> bool:
        """True if a frame depends on those before it."""
        return self.upscaled and any(asdict(self.temporal).values())


@dataclass(frozen=True, kw_only=True)
class FilmFile:
    """The file that the frames are written to.

    Raises:
        UsageError: if suffix or codec is unknown, the file cannot hold sound, or a loop cannot be interpolated.
    """

    path: Path  # see `write_video` for what the suffix means
    text: Mapping[str, str]  # the film's record; see `record_text`
    count: int  # frames of the film; with interpolation fewer are `made`
    interpolate: int = 1  # frames of the film for each frame made: 1, 2 or 4
    loop: bool = False  # the first frame follows the last, so interpolation fills that gap too
    audio: Path | None = None  # a file whose sound accompanies the film
    codec: str | None = None  # None is the suffix's default; see `write_video`
    sheet: bool = False  # write a contact sheet too
    keep_frames: bool = False

    def __post_init__(self) -> None:
        find_codec(self.path, self.codec, sound=self.audio is not None)
        if self.loop and self.count % self.interpolate:
            raise UsageError(
                f"{self.path}: a loop of {self.count} frames cannot be interpolated {self.interpolate} times, which "
                "does not divide it; choose another length or frame rate, or omit --interpolate."
            )

    @property
    def made(self) -> int:
        """Number of frames to make, so that interpolation gives at least `count`."""
        steps = math.ceil((self.count if self.loop else self.count - 1) / self.interpolate)
        return steps if self.loop else steps + 1

    @property
    def frames(self) -> Path:
        """Folder of the frames made so far."""
        return self.path.with_name(f"{self.path.name}.frames")

    @property
    def sheet_path(self) -> Path:
        return self.path.with_name(f"{self.path.stem}-sheet.png")


def frame_count(seconds: Fraction, fps: Fraction) -> int:
    """Number of frames of a film: seconds x fps, rounded, at least 1."""
    return max(round(seconds * fps), 1)


def written_before(file: FilmFile) -> bool:
    """True if the same command has made the film from the same files, and its sheet if one is wanted."""
    if file.frames.exists() or not file.path.exists() or (file.sheet and not file.sheet_path.is_file()):
        return False
    with suppress(FileError):  # a file that cannot be read is not this film
        if file.path.is_file():
            return file.text.items() <= video_text(file.path).items()
        pictures = written_pictures(file.path)
        return len(pictures) == file.count and file.text.items() <= picture_text(pictures[-1]).items()
    return False


def make_film(
    pipeline: FacePipeline,
    walks: Sequence[Walk],
    options: FilmOptions,
    file: FilmFile,
    *,
    sharing: Sharing | None = None,
    track: Track = lambda items, total, done: items,
    say: Callable[[str], object] = lambda line: None,
) -> list[Path]:
    """Make a film of walks, or go on with one that was stopped.

    Every finished frame is stored in a folder next to the film, which is removed once the film is written. The film's
    bytes are the same however often it was stopped. Memory does not grow with its length.

    Args:
        walks: one for each face, all of `file.made` frames.
        sharing: does most of the work on each frame; None is this process.
        track: sees the new frames; it is called on another thread.
        say: receives a line if frames exist already or are deleted.
    Returns:
        the files written.
    Raises:
        FileError: if a file cannot be written or read.
    """
    if {walk.count for walk in walks} != {file.made}:
        counts = [walk.count for walk in walks]
        raise UsageError(f"film: walks of {counts} frames; expected one or more, of {file.made}.")
    lead = min(LEAD, file.made) if file.loop and options.remembers else 0
    sharing = sharing or Alone(pipeline)
    cells = [Cell(pipeline, walk, options, sharing) for walk in walks]
    with FrameStore(file.frames, frames_key(walks, options, file.text), warn=say) as store:
        if store.done:
            say(f"{file.path}: {store.done} of {lead + file.made} frames are done already.")
        made = _frames(cells, options.columns, store, lead, sharing.side_by_side, track)
        with closing(prefetched(made)) as frames:
            written = _write(file, options.fps, _closed(frames, lead, file.made))
        if not file.keep_frames:
            store.remove()
    return written


def frames_key(walks: Sequence[Walk], options: FilmOptions, text: Mapping[str, str]) -> dict[str, JSON]:
    """Everything that the bytes of a film's frames depend on."""
    record = json.loads(text[RECORD_KEY])
    described = [
        asdict(walk.options) | {"count": walk.count, "keyframes": sha256(walk.keyframes.tobytes()).hexdigest()}
        for walk in walks
    ]
    return {key: record[key] for key in SHAPING} | {
        "walks": described,
        "fps": str(options.fps),
        "size": options.size,
        "upscaled": options.upscaled,
        "columns": options.columns,
        "steady": asdict(options.temporal),
    }


class Cell:
    """One face of a film, along its walk; its pictures are made in order."""

    def __init__(
        self, pipeline: FacePipeline, walk: Walk, options: FilmOptions, sharing: Sharing | None = None
    ) -> None:
        self.pipeline, self.walk, self.options = pipeline, walk, options
        self.temporal = TemporalUpscaler(pipeline, options.temporal, fps=float(options.fps), sharing=sharing)

    def begin(self, frame: int, submit: Submit = at_once) -> Callable[[], tuple[RGB, State]]:
        """Draw a frame's face, and submit the rest of the work on it. A batch would change the face's last bits.

        Returns:
            a function that waits for the (size, size, 3) picture and its state.
        """
        face, size = self.pipeline.draw(self.walk.latent(frame % self.walk.count)), self.options.size
        if self.options.upscaled:
            return partial(_shown, self.temporal.begin(face, size, submit), size)
        picture = _sized(face, size)
        return lambda: (picture, {})

    def go_round(self) -> None:
        """Show the camera the whole walk once, so that a loop begins where it ends."""
        if self.options.upscaled and self.options.temporal.stabilize:
            for frame in range(self.walk.count):
                self.temporal.follow(self.pipeline.draw(self.walk.latent(frame)))


def _shown(frame: Future[TemporalFrame], size: int) -> tuple[RGB, State]:
    """Wait for a frame."""
    return _sized(frame.result().image, size), frame.result().state()


def _sized(image: Tensor, size: int) -> RGB:
    """(3, S, S) in [0, 1] to (size, size, 3)."""
    picture = to_rgb(image)
    return picture if picture.shape[0] == size else resize(picture, (size, size))


def _frames(
    cells: Sequence[Cell], columns: int, store: FrameStore, lead: int, side_by_side: int, track: Track
) -> Generator[RGB, None, None]:
    """Yield the frames of one face, or of a grid: those in the store, then new ones, which are stored first.

    Args:
        lead: number of frames that lead to frame 0 of a loop.
        side_by_side: number of frames of a cell to work on at a time.
    """
    state, done, count = store.state(), store.done, cells[0].walk.count
    yield from store.frames()
    for number, cell in enumerate(cells):
        if state is not None:
            cell.temporal.restore(part(state, str(number)))
        elif cell.walk.options.loop:
            cell.go_round()
    with threads(side_by_side) as submit:
        begun = ([cell.begin(frame, submit) for cell in cells] for frame in range(done - lead, count))
        made = in_order((partial(_grid, frame, columns) for frame in begun), math.ceil(side_by_side / len(cells)))
        for frame, after in track(made, lead + count, done):
            store.add(frame, after)
            yield frame


def _grid(cells: Sequence[Callable[[], tuple[RGB, State]]], columns: int) -> tuple[RGB, State]:
    """Wait for the cells of a frame and arrange them; a single one is the frame."""
    pictures, states = zip(*(cell() for cell in cells), strict=True)
    shown = pictures[0] if len(cells) == 1 else contact_sheet(pictures, columns, gap=GAP)
    return shown, joined({str(number): state for number, state in enumerate(states)})


def _closed(frames: Iterator[RGB], lead: int, count: int) -> Iterator[RGB]:
    """Yield the `count` frames after the first `lead`; the last of them fade into the first `lead`."""
    leading = list(islice(frames, lead))
    for number, frame in enumerate(frames, start=lead - count + 1):  # the last frame has number `lead`
        if number > 0:
            share = number / (lead + 1)
            frame = np.rint((1 - share) * frame + share * leading[number - 1]).astype(np.uint8)
        yield frame


def _write(file: FilmFile, made_fps: Fraction, frames: Iterator[RGB]) -> list[Path]:
    """Encode the frames, and write the sheet if one is wanted."""
    fps = made_fps * file.interpolate
    if file.interpolate > 1:
        frames = islice(interpolate(frames, file.interpolate, loop=file.loop), file.count)
    sheet = FilmSheet(file.count, fps)
    if file.sheet:
        frames = sheet.watch(frames)
    written = [write_video(file.path, frames, fps, audio=file.audio, text=file.text, codec=file.codec)]
    if file.sheet:
        written.append(write_image(file.sheet_path, sheet.picture(), text=file.text, label="generated"))
    return written
