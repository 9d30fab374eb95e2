"""The pictures of a comparison: single files, rows, sheets, close-ups and difference maps."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from itertools import chain, count
from pathlib import Path

import cv2
import numpy as np

from facegen.arrays import RGB
from facegen.errors import ShapeError
from facegen.evaluation.report import INPUT, ORIGINAL, Sheet
from facegen.media.images import write_image
from facegen.media.sheets import contact_sheet

KINDS = ("single", "row", "sheet", "difference")
"""Kinds of files that can be written; see `Album`."""
SHOWN, SHOWN_SIDE, CLOSE_UPS = 12, 288, 4
"""Most pictures on a sheet, the longest side of each in pixels, most rows of close-ups."""
EYE = (0.24, 0.38, 0.50, 0.58)
"""Left, top, right and bottom of the close-up, as shares of an aligned head's side."""
FULL = 64
"""Difference, in steps of 255, from which maps show the brightest colour."""


class Album:
    """Collects the results of a comparison, writes them to files, and keeps small copies for the page's sheets.

    Files: single/MODEL/NAME.png; row/NAME.png, the input, every model and the original side by side at full size;
    difference/NAME.png, the maps of `difference_map` side by side; and sheet.png, close-ups.png and differences.png,
    which the page shows too.

    Args:
        kinds: the files to write, of `KINDS`.
        about: the caption of the sheet.
    """

    def __init__(self, out: Path, kinds: Collection[str], about: str) -> None:
        self.out, self.kinds, self.about = out, kinds, about
        self._rows: list[RGB] = []
        self._close: list[RGB] = []
        self._differences: list[RGB] = []
        self._names: set[str] = set()
        self._reference = ""

    def add(self, name: str, low: RGB, results: Mapping[str, RGB], original: RGB | None = None) -> None:
        """Add one picture.

        Args:
            name: of the picture's files; numbered if an earlier picture has it.
            low: (h, w, 3).
            results: model -> (s*h, s*w, 3).
            original: (s*h, s*w, 3) of an aligned head, if there is one; without it, maps compare with the first model.
        Raises:
            ImageError: if a file cannot be written.
        """
        shown = {**results} if original is None else {**results, ORIGINAL: original}
        self._reference = ORIGINAL if original is not None else next(iter(results))
        reference = shown[self._reference]
        maps = {column: difference_map(x, reference) for column, x in results.items() if column != self._reference}
        blocks = cv2.resize(low, (reference.shape[1], reference.shape[0]), interpolation=cv2.INTER_NEAREST)
        shown = {INPUT: np.asarray(blocks, dtype=np.uint8), **shown}
        names = chain([name], (f"{name}-{number}" for number in count(2)))
        name = next(free for free in names if free.casefold() not in self._names)
        self._names.add(name.casefold())
        self._write(name, shown, maps)
        if len(self._rows) < SHOWN:
            self._rows.append(_row(shown, SHOWN_SIDE))
            self._differences += [_row({self._reference: reference, **maps}, SHOWN_SIDE)] if maps else []
        if original is not None and len(self._close) < CLOSE_UPS:
            self._close.append(_row({column: close_up(x) for column, x in shown.items()}))

    def _write(self, name: str, shown: Mapping[str, RGB], maps: Mapping[str, RGB]) -> None:
        if "single" in self.kinds:
            for column, picture in shown.items():
                write_image(self.out / "single" / file_name(column) / f"{name}.png", picture)
        if "row" in self.kinds:
            write_image(self.out / "row" / f"{name}.png", _row(shown))
        if "difference" in self.kinds and maps:
            write_image(self.out / "difference" / f"{name}.png", _row(maps))

    def sheets(self) -> tuple[Sheet, ...]:
        """Make the sheets that have pictures, and write them if "sheet" is among the kinds."""
        text = f"Where they differ from {self._reference}: mean of the channels, black 0, brightest {FULL}/255 or more"
        found = {
            "sheet": (self.about, self._rows),
            "close-ups": ("The same, pixel by pixel: close-ups of an eye", self._close),
            "differences": (text, self._differences),
        }
        sheets = {name: Sheet(text, contact_sheet(rows, columns=1)) for name, (text, rows) in found.items() if rows}
        if "sheet" in self.kinds:
            for name, sheet in sheets.items():
                write_image(self.out / f"{name}.png", sheet.picture)
        return tuple(sheets.values())


def difference_map(a: RGB, b: RGB) -> RGB:
    """Map the mean over channels of |a - b|, for two pictures (H, W, 3), to colours: black is 0, brightest `FULL`."""
    if a.shape != b.shape:
        raise ShapeError(f"difference_map: pictures have shapes {a.shape} and {b.shape}, expected the same.")
    difference = np.abs(a.astype(np.int16) - b).mean(axis=2)  # (H, W)
    shades = np.clip(difference * (255 / FULL), 0, 255).round().astype(np.uint8)
    bgr = cv2.applyColorMap(shades, cv2.COLORMAP_INFERNO)
    return np.ascontiguousarray(bgr[..., ::-1], dtype=np.uint8)


def _row(pictures: Mapping[str, RGB], side: int | None = None) -> RGB:
    """Put pictures side by side with their names below; `side` fits each to a square of so many pixels."""
    shown = list(pictures.values())
    label_height = side // 10 if side else max(20, max(picture.shape[0] for picture in shown) // 24)
    return contact_sheet(shown, len(shown), side, labels=list(pictures), label_height=label_height)


def close_up(head: RGB) -> RGB:
    """Cut the eye out of an aligned head, (S, S, 3)."""
    height, width = head.shape[:2]
    left, top, right, bottom = (round(share * side) for share, side in zip(EYE, (width, height) * 2, strict=True))
    return np.ascontiguousarray(head[top:bottom, left:right])


def file_name(column: str) -> str:
    """Turn a column's name into a folder's."""
    return re.sub(r"[^\w.-]+", "-", column).strip("-.") or "model"
