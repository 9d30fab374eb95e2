"""Contact sheets: many pictures on one."""

import math
from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from facegen.errors import UsageError
from facegen.images import to_pillow

_LABEL_HEIGHT = 16


def contact_sheet(
    pictures: Sequence[NDArray[np.uint8]],
    columns: int | None = None,
    side: int | None = None,
    gap: int = 4,
    labels: Sequence[str] | None = None,
) -> NDArray[np.uint8]:
    """Lay pictures out in rows on white.

    Args:
        pictures: (H, W, 3) uint8 each, of any sizes.
        columns: pictures in a row; by default the grid is near-square.
        side: each picture is resized to fit a square of this many pixels; by default none is resized.
        gap: white pixels between the pictures.
        labels: a line below each picture, cut where it is wider than the picture.
    Returns:
        (H, W, 3) uint8.
    Raises:
        ShapeError: if a picture is not (H, W, 3) uint8.
        UsageError: if there is no picture, a number is too small, or labels and pictures differ in count.
    """
    if not pictures or gap < 0 or any(number is not None and number < 1 for number in (columns, side)):
        asked = f"{len(pictures)} pictures, columns={columns}, side={side}, gap={gap}"
        raise UsageError(f"contact_sheet: {asked}; expected at least 1 of each, and a gap of 0 or more.")
    if labels is not None and len(labels) != len(pictures):
        raise UsageError(f"contact_sheet: {len(labels)} labels for {len(pictures)} pictures; give one for each.")
    fitted = [to_pillow(picture) for picture in pictures]
    if side is not None:
        fitted = [ImageOps.contain(picture, (side, side), Image.Resampling.LANCZOS) for picture in fitted]
    width = max(picture.width for picture in fitted)
    height = max(picture.height for picture in fitted) + (_LABEL_HEIGHT if labels else 0)
    columns = min(columns or math.ceil(math.sqrt(len(fitted))), len(fitted))
    rows = math.ceil(len(fitted) / columns)
    sheet = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), "white")
    for index, (picture, label) in enumerate(zip_longest(fitted, labels or ())):
        row, column = divmod(index, columns)
        sheet.paste(_cell(picture, (width, height), label), (column * (width + gap), row * (height + gap)))
    return np.array(sheet)


def _cell(picture: Image.Image, size: tuple[int, int], label: str | None) -> Image.Image:
    cell = Image.new("RGB", size, "white")
    room = size[1] - (0 if label is None else _LABEL_HEIGHT)
    cell.paste(picture, ((size[0] - picture.width) // 2, (room - picture.height) // 2))
    if label is not None:
        ImageDraw.Draw(cell).text((2, room + 2), label, fill="black", font=ImageFont.load_default())
    return cell
