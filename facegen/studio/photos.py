"""Photos on the page: their faces and masks, drawn on a preview, and their results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facegen.arrays import RGB
from facegen.errors import FacegenError
from facegen.faces.align import HeadFrame
from facegen.faces.detect import heads_in_photo
from facegen.media.images import picture_text, read_image, resize, write_image
from facegen.media.record import COMMAND_KEY

PREVIEW, SHOWN = 1280, 2560
"""Longest side of the picture with frames, and of before and after, in pixels."""
ON, OFF = (255, 176, 59), (150, 150, 150)
"""Colours of the frames of faces that are on and off; the brush has that of faces that are on."""
PROTECTED = np.uint8(140)
"""Grey that is laid over protected areas."""


@dataclass(eq=False)
class Photo:
    """A photo that was dropped on the page."""

    path: Path
    preview: Path | None = None
    """A JPEG of at most `PREVIEW`; None before `load`, or if the photo cannot be read."""
    heads: tuple[HeadFrame, ...] = ()
    """In pixels of the preview, the largest first."""
    off: set[int] = field(default_factory=set)
    """Numbers of the heads that are switched off, counted from 1."""
    command: str = ""
    """The facegen command that made it, from its record; "" for files of other programs."""
    error: str = ""
    remark: str = ""
    """A note about the result."""
    mask: Path | None = None
    """A picture of the preview's size, white where the photo is protected."""
    result: Path | None = None
    pair: tuple[Path, Path] | None = None
    """Before and after, of the same size."""

    @property
    def faces(self) -> str:
        """The heads that are on, as `PhotoOptions.faces`."""
        on = [str(number) for number in range(1, len(self.heads) + 1) if number not in self.off]
        return (",".join(on) or "0") if self.off else "all"

    @property
    def is_faceless(self) -> bool:
        """True if it was searched and no head was found."""
        return self.preview is not None and not self.heads

    def load(self, folder: Path) -> None:
        """Read the photo, find its faces, and write the preview into a folder for this photo alone."""
        try:
            rgb = read_image(self.path).rgb
            self.command = picture_text(self.path).get(COMMAND_KEY, "")
            heads = heads_in_photo(rgb)
            factor = min(1.0, PREVIEW / max(rgb.shape[:2]))
            self.preview = write_image(folder / f"{self.path.stem}-preview.jpg", fitted(rgb, PREVIEW))
            self.heads = tuple(head.frame.scaled(factor) for head in heads)
        except FacegenError as error:
            self.error = without_folder(error, self.path)

    def framed(self) -> RGB | None:
        """Draw a numbered frame around each head on the preview, and grey over protected areas."""
        if self.preview is None:
            return None
        rgb = read_image(self.preview).rgb
        if self.mask is not None:
            rgb = np.where(read_image(self.mask).rgb == 255, PROTECTED + rgb // 3, rgb).astype(np.uint8)
        width = max(2, round(max(rgb.shape[:2]) / 300))
        for number, head in enumerate(self.heads, start=1):
            colour = OFF if number in self.off else ON
            corners = head.corners.round().astype(np.int32)
            cv2.polylines(rgb, [corners], True, colour, width if number not in self.off else 1, cv2.LINE_AA)
            x, y = corners[np.argmin(corners.sum(axis=1))]
            place = (int(max(x, 0)) + 3 * width, int(max(y, 0)) + 14 * width)
            cv2.putText(rgb, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, width * 0.4, colour, width, cv2.LINE_AA)
        return rgb

    def show(self, result: Path, folder: Path) -> None:
        """Take a result, and write its pictures before and after."""
        self.result, self.pair = result, before_and_after(self.path, result, folder / "shown")

    def toggle(self, x: float, y: float) -> None:
        """Switch the smallest head at a point of the preview on or off."""
        inside = [
            number
            for number, head in enumerate(self.heads, start=1)
            if cv2.pointPolygonTest(head.corners.astype(np.float32), (x, y), False) >= 0
        ]
        if inside:
            self.off ^= {inside[-1]}

    def protect(self, layers: Sequence[RGB]) -> None:
        """Write the mask of painted areas next to the preview, or remove it if nothing is painted.

        Args:
            layers: (H, W, 4) each, transparent where nothing is painted.
        """
        assert self.preview is not None
        opaque = [layer[..., 3] > 127 for layer in layers if layer.ndim == 3]
        if not any(layer.any() for layer in opaque):
            self.mask = None
            return
        white = np.logical_or.reduce(opaque).astype(np.uint8) * 255
        path = self.preview.with_name(f"{self.path.stem}-mask.png")
        self.mask = write_image(path, np.repeat(white[..., None], 3, axis=2))

    def painting(self) -> dict[str, Any]:
        """Return the value of the editor: the preview, and its mask as a painted layer."""
        layers = []
        if self.mask is not None:
            white = read_image(self.mask).rgb[..., :1]
            layers = [np.concatenate([np.full((*white.shape[:2], 3), ON, np.uint8), white], axis=2)]
        return {"background": str(self.preview), "layers": layers, "composite": None}


def before_and_after(before: Path, after: Path, folder: Path) -> tuple[Path, Path]:
    """Write two JPEGs of the same size, at most `SHOWN`, for a slider."""
    made = fitted(read_image(after).rgb, SHOWN)
    source = resize(read_image(before).rgb, (made.shape[1], made.shape[0]))
    return (
        write_image(folder / f"{after.stem}-before.jpg", source),
        write_image(folder / f"{after.stem}-after.jpg", made),
    )


def without_folder(error: object, path: Path) -> str:
    """Return an error's text with the file's name for its path, which the page must not show."""
    return str(error).replace(str(path), path.name)


def fitted(rgb: RGB, side: int) -> RGB:
    """Shrink a picture whose longer side exceeds `side`."""
    factor = side / max(rgb.shape[:2])
    size = (max(1, round(rgb.shape[1] * factor)), max(1, round(rgb.shape[0] * factor)))
    return rgb if factor >= 1 else resize(rgb, size)
