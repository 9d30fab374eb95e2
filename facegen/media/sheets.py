"""Contact sheets: many pictures on one, a picture before and after, frames of a film."""

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import zip_longest

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from facegen.arrays import RGB
from facegen.errors import UsageError
from facegen.media.images import resize, to_pillow

COMPARED_SIDE = 4096
"""Longest side at which `before_after` shows a picture, so that the sheet of a large one can be opened and sent."""
FILM_SHOWN, FILM_COLUMNS, FILM_SIDE = 24, 6, 192
"""A film's sheet: most frames shown, frames in a row, longest side of each."""


def contact_sheet(
    pictures: Sequence[RGB],
    columns: int | None = None,
    side: int | None = None,
    gap: int = 4,
    labels: Sequence[str] | None = None,
    label_height: int = 16,
) -> RGB:
    """Lay pictures out in rows on white.

    Args:
        pictures: (H, W, 3) uint8 each, of any sizes.
        columns: pictures in a row; by default the grid is nearly square.
        side: resize each picture to fit a square of this many pixels.
        gap: white pixels between the pictures.
        labels: a line of text below each picture, cut if it is wider.
        label_height: height of these lines in pixels.
    Returns:
        (H, W, 3) uint8.
    Raises:
        ShapeError: if a picture is not (H, W, 3) uint8.
        UsageError: if there is no picture, a number is too small, or labels and pictures differ in count.
    """
    if not pictures or gap < 0 or any(number is not None and number < 1 for number in (columns, side, label_height)):
        asked = f"{len(pictures)} pictures, columns={columns}, side={side}, gap={gap}, label_height={label_height}"
        raise UsageError(f"contact_sheet: {asked}; expected at least 1 of each, and a gap of 0 or more.")
    if labels is not None and len(labels) != len(pictures):
        raise UsageError(f"contact_sheet: {len(labels)} labels for {len(pictures)} pictures; give one for each.")
    fitted = [to_pillow(picture) for picture in pictures]
    if side is not None:
        fitted = [ImageOps.contain(picture, (side, side), Image.Resampling.LANCZOS) for picture in fitted]
    width = max(picture.width for picture in fitted)
    height = max(picture.height for picture in fitted) + (label_height if labels else 0)
    columns = min(columns or math.ceil(math.sqrt(len(fitted))), len(fitted))
    rows = math.ceil(len(fitted) / columns)
    sheet = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), "white")
    for index, (picture, label) in enumerate(zip_longest(fitted, labels or ())):
        row, column = divmod(index, columns)
        sheet.paste(
            _cell(picture, (width, height), label, label_height), (column * (width + gap), row * (height + gap))
        )
    return np.array(sheet)


def before_after(before: RGB, after: RGB) -> RGB:
    """Show a picture, enlarged by bicubic interpolation, and its upscaled copy side by side, with labels.

    Args:
        before: (H, W, 3) uint8.
        after: (H', W', 3) uint8; both are shown at its size, or at `COMPARED_SIDE` if it is larger.
    Returns:
        (H'', W'', 3) uint8.
    Raises:
        ShapeError: if a picture is not (H, W, 3) uint8.
    """
    upscaled = to_pillow(_at_most(after, COMPARED_SIDE))
    enlarged = to_pillow(_at_most(before, COMPARED_SIDE)).resize(upscaled.size, Image.Resampling.BICUBIC)
    label_height = max(16, max(upscaled.size) // 32)
    pair, labels = [np.array(enlarged), np.array(upscaled)], ["before (bicubic)", "after (facegen)"]
    return contact_sheet(pair, columns=2, labels=labels, label_height=label_height)


class FilmSheet:
    """Collects every n-th frame of a film, reduced, for a contact sheet.

    Args:
        count: frames of the film.
        fps: frames a second.
    """

    def __init__(self, count: int, fps: Fraction) -> None:
        self.every, self.fps = max(math.ceil(count / FILM_SHOWN), 1), fps
        self.kept: dict[int, RGB] = {}

    def watch(self, frames: Iterable[RGB]) -> Iterator[RGB]:
        """Yield (H, W, 3) frames unchanged, in order from the first, and collect some."""
        for number, rgb in enumerate(frames):
            if number % self.every == 0:
                share = FILM_SIDE / max(rgb.shape[:2])
                self.kept[number] = resize(
                    rgb, (max(round(rgb.shape[1] * share), 1), max(round(rgb.shape[0] * share), 1))
                )
            yield rgb

    def picture(self) -> RGB:
        """Make the sheet: (H, W, 3), each frame with its time below.

        Raises:
            UsageError: if there was no frame.
        """
        labels = [f"{float(number / self.fps):.2f} s" for number in self.kept]
        return contact_sheet(list(self.kept.values()), FILM_COLUMNS, labels=labels)


def _at_most(rgb: RGB, side: int) -> RGB:
    """Shrink a picture whose longest side is more."""
    height, width = rgb.shape[:2]
    share = side / max(height, width)
    if share >= 1:
        return rgb
    size = (max(round(width * share), 1), max(round(height * share), 1))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _cell(picture: Image.Image, size: tuple[int, int], label: str | None, label_height: int) -> Image.Image:
    cell = Image.new("RGB", size, "white")
    room = size[1] - (0 if label is None else label_height)
    cell.paste(picture, ((size[0] - picture.width) // 2, (room - picture.height) // 2))
    if label is not None:
        font = ImageFont.load_default(label_height * 0.625)
        ImageDraw.Draw(cell).text((2, room + 2), label, fill="black", font=font)
    return cell
