"""Contact sheets of many pictures, of a picture before and after, and of a film's frames."""

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
"""For a film's sheet: most frames, frames in a row, longest side of each in pixels."""


def contact_sheet(
    pictures: Sequence[RGB],
    columns: int | None = None,
    side: int | None = None,
    gap: int = 4,
    labels: Sequence[str] | None = None,
    label_height: int = 16,
) -> RGB:
    """Arrange (H, W, 3) uint8 pictures of any sizes in rows on white.

    Args:
        columns: pictures in a row; by default the grid is nearly square.
        side: resize each picture to fit a square of this many pixels.
        gap: white pixels between the pictures.
        labels: a line of text below each picture, `label_height` pixels high, cut if it is wider.
    """
    if not pictures or gap < 0 or any(number is not None and number < 1 for number in (columns, side, label_height)):
        given = f"{len(pictures)} pictures, columns={columns}, side={side}, gap={gap}, label_height={label_height}"
        raise UsageError(f"contact_sheet: {given}; expected at least 1 of each, and a gap of 0 or more.")
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
        cell = _cell(picture, (width, height), label, label_height)
        sheet.paste(cell, (column * (width + gap), row * (height + gap)))
    return np.array(sheet)


def before_after(before: RGB, after: RGB) -> RGB:
    """Show a picture, enlarged by bicubic interpolation, and its upscaled copy side by side, with labels.

    Both are (H, W, 3) uint8 and get the size of `after`, with its longest side at most `COMPARED_SIDE`.
    """
    upscaled = to_pillow(_at_most(after, COMPARED_SIDE))
    enlarged = to_pillow(_at_most(before, COMPARED_SIDE)).resize(upscaled.size, Image.Resampling.BICUBIC)
    label_height = max(16, max(upscaled.size) // 32)
    pair, labels = [np.array(enlarged), np.array(upscaled)], ["before (bicubic)", "after (facegen)"]
    return contact_sheet(pair, columns=2, labels=labels, label_height=label_height)


class FilmSheet:
    """Collects evenly spaced frames of a film of `count` frames, reduced, for a contact sheet."""

    def __init__(self, count: int, fps: Fraction) -> None:
        self.every, self.fps = max(math.ceil(count / FILM_SHOWN), 1), fps
        self.kept: dict[int, RGB] = {}

    def watch(self, frames: Iterable[RGB]) -> Iterator[RGB]:
        """Yield all frames, (H, W, 3), unchanged and in order, and collect some."""
        for number, rgb in enumerate(frames):
            if number % self.every == 0:
                self.kept[number] = resize(rgb, _scaled(rgb, FILM_SIDE / max(rgb.shape[:2])))
            yield rgb

    def picture(self) -> RGB:
        """Make the sheet: (H, W, 3), each frame with its time below."""
        labels = [f"{float(number / self.fps):.2f} s" for number in self.kept]
        return contact_sheet(list(self.kept.values()), FILM_COLUMNS, labels=labels)


def _at_most(rgb: RGB, side: int) -> RGB:
    """Shrink a picture whose longest side is more than `side`."""
    share = side / max(rgb.shape[:2])
    if share >= 1:
        return rgb
    return np.asarray(cv2.resize(rgb, _scaled(rgb, share), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _scaled(rgb: RGB, share: float) -> tuple[int, int]:
    """Return (width, height) of a picture times `share`, at least 1 each."""
    height, width = rgb.shape[:2]
    return max(round(width * share), 1), max(round(height * share), 1)


def _cell(picture: Image.Image, size: tuple[int, int], label: str | None, label_height: int) -> Image.Image:
    cell = Image.new("RGB", size, "white")
    room = size[1] - (0 if label is None else label_height)
    cell.paste(picture, ((size[0] - picture.width) // 2, (room - picture.height) // 2))
    if label is not None:
        font = ImageFont.load_default(label_height * 0.625)
        ImageDraw.Draw(cell).text((2, room + 2), label, fill="black", font=font)
    return cell
