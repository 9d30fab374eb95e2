"""The frames of a film: one face that walks, or a grid of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from facegen.arrays import to_picture
from facegen.errors import UsageError
from facegen.media.images import resize
from facegen.media.sheets import contact_sheet
from facegen.pipeline import FacePipeline
from facegen.video.temporal import TemporalOptions, TemporalUpscaler
from facegen.video.walk import Walk

Frame = NDArray[np.uint8]
State = dict[str, NDArray[Any]]

GAP = 4
"""White pixels between the faces of a grid."""


@dataclass(frozen=True, kw_only=True)
class FilmOptions:
    """What shapes the frames of a film, beside its walks.

    Raises:
        UsageError: if a value is out of range.
    """

    fps: Fraction = Fraction(30)
    """Frames made a second; interpolation puts more between them."""
    size: int = 768
    """Side of a face in pixels."""
    upscaled: bool = True
    """False: the generator's own faces are resized."""
    columns: int = 1
    """Faces in a row, of films that show several."""
    steady: TemporalOptions = field(default_factory=TemporalOptions)

    @property
    def remembers(self) -> bool:
        """Whether a frame depends on those before it."""
        return self.upscaled and any(asdict(self.steady).values())

    def __post_init__(self) -> None:
        if self.fps <= 0 or self.size < 1 or self.columns < 1:
            raise UsageError(
                f"film: {self.fps} frames a second, size {self.size}, {self.columns} columns; expected more than 0."
            )


class Cell:
    """One face that walks: makes its pictures in order, each knowing those before."""

    def __init__(self, pipeline: FacePipeline, walk: Walk, options: FilmOptions) -> None:
        self.pipeline, self.walk, self.options = pipeline, walk, options
        self._steadier = TemporalUpscaler(pipeline, options.steady, fps=float(options.fps))

    def picture(self, frame: int) -> Frame:
        """(size, size, 3) of a frame; drawn by itself, as the faces drawn with it would change its last bits."""
        face = self.pipeline.draw(self.walk.latent(frame % self.walk.count))
        picture = to_picture(self._upscaled(face))
        size = self.options.size
        return picture if picture.shape[0] == size else resize(picture, (size, size))

    def go_round(self) -> None:
        """Let the camera see the whole walk once, so that it begins a loop where it ends it."""
        if self.options.upscaled and self.options.steady.stabilize:
            for frame in range(self.walk.count):
                self._steadier.follow(self.pipeline.draw(self.walk.latent(frame)))

    def _upscaled(self, face: Tensor) -> Tensor:
        return self._steadier.upscale_face(face, self.options.size).image if self.options.upscaled else face

    def state(self) -> State:
        """What the next frame needs of those before."""
        return self._steadier.state() if self.options.upscaled else {}

    def restore(self, state: State) -> None:
        """Go on where `state` was taken."""
        if self.options.upscaled:
            self._steadier.restore(state)


def made_frames(
    cells: Sequence[Cell], columns: int, state: Mapping[str, NDArray[Any]] | None, frames: range
) -> Iterator[tuple[Frame, State]]:
    """Make the frames that are wanted: a lone face, or a grid of them.

    Args:
        cells: one for each face.
        columns: faces in a row of the grid.
        state: after the frame before the first of them; None where the film begins.
        frames: their numbers; those of negative ones lead to frame 0 of a loop.
    Yields:
        each frame, and the state after it.
    """
    for number, cell in enumerate(cells):
        start = f"{number}."
        if state is None and cell.walk.options.loop:
            cell.go_round()
        if state is not None:
            cell.restore({key.removeprefix(start): value for key, value in state.items() if key.startswith(start)})
    for frame in frames:
        pictures = [cell.picture(frame) for cell in cells]
        shown = pictures[0] if len(cells) == 1 else contact_sheet(pictures, columns, gap=GAP)
        yield shown, {f"{n}.{key}": value for n, cell in enumerate(cells) for key, value in cell.state().items()}
