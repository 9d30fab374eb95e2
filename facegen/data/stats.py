"""What a set is made of: counts, and how its kept crops are spread over size, sharpness, brightness and pose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from facegen.data.cutting import sharpness
from facegen.data.ledger import read_ledger
from facegen.data.manifest import Entry, entries_of
from facegen.data.pose import head_pose
from facegen.data.split import spread
from facegen.errors import FileError, ImageError, UsageError
from facegen.faces.landmarks import landmarks_in_head
from facegen.files import sha256_of
from facegen.media.images import read_image
from facegen.media.sheets import contact_sheet
from facegen.ops.color import WEIGHTS
from facegen.pages import histogram, page, picture, table

MEAN_SIDE, SHEET_SIDE, SHEET_COUNT = 256, 96, 60
FIGURES = {
    "size": "side of the crop, px",
    "side": "side of the head in its photo, px",
    "sharpness": "sharpness, variance of the Laplacian of luma in [0, 1]",
    "brightness": "brightness, mean luma of the face, 0 to 1",
    "yaw": "yaw, degrees towards the viewer's right",
    "pitch": "pitch, degrees upwards",
    "roll": "roll of the crop, degrees clockwise",
}
"""What is measured, and what a page says of it."""
SUMMARY_HEAD = ("figure", "crops", "mean", "5 %", "median", "95 %")


@dataclass(frozen=True)
class Stats:
    """What a set is made of."""

    counts: dict[str, int]
    figures: dict[str, NDArray[np.float64]]
    """The values by the names of `FIGURES`, of the kept crops of which they are known; none is empty."""
    read: int
    """Kept crops whose pixels were looked at."""
    mean_face: NDArray[np.uint8]
    """(256, 256, 3), the mean of those."""
    sheet: NDArray[np.uint8]
    """A contact sheet of some of them."""


@dataclass(frozen=True)
class Measured:
    """One crop, looked at."""

    entry: Entry
    """With landmarks, size and sharpness, even if the manifest has none."""
    brightness: float
    small: NDArray[np.uint8]
    """(256, 256, 3)."""


def measure_set(folder: Path, pictures: int, seen: Callable[[], None], warn: Callable[[str], None]) -> Stats:
    """Look at a set, or at a plain folder of aligned crops.

    Args:
        pictures: crops whose pixels are read, at most, spread evenly over the kept ones; the rest is told from the
            manifest.
        seen: called after each of them.
        warn: told of crops that cannot be read; they are left out.
    Raises:
        ImageError: if there is no set, or none of its crops can be read.
        UsageError: if no crop is kept.
    """
    entries = entries_of(folder)
    kept = [entry for entry in entries if entry.kept]
    if not kept:
        raise UsageError(f"{folder}: none of its {len(entries)} crops is kept; see facegen data clean and curate.")
    known = {entry.file: entry for entry in kept}
    brightness: list[float] = []
    smalls: list[NDArray[np.uint8]] = []
    for measured in _measured(folder, spread(kept, pictures), seen, warn):
        known[measured.entry.file] = measured.entry
        brightness.append(measured.brightness)
        smalls.append(measured.small)
    if not smalls:
        raise ImageError(f"{folder}: none of its crops can be read; the reasons are above.")
    figures = _figures(known.values()) | {"brightness": brightness}
    return Stats(
        counts=_counts(folder, entries),
        figures={name: np.array(figures[name], np.float64) for name in FIGURES if figures[name]},
        read=len(smalls),
        mean_face=np.mean(smalls, axis=0).round().astype(np.uint8),
        sheet=contact_sheet(spread(smalls, SHEET_COUNT), columns=10, side=SHEET_SIDE),
    )


def summary_rows(stats: Stats) -> list[tuple[str, ...]]:
    """Of each figure: what it is, how many values, mean, 5th percentile, median, 95th percentile."""
    rows = []
    for name, values in stats.figures.items():
        numbers = (values.mean(), *np.percentile(values, (5, 50, 95)))
        rows.append((FIGURES[name], str(len(values)), *(f"{number:.3g}" for number in numbers)))
    return rows


def to_html(stats: Stats, folder: Path) -> str:
    """A page that needs no other file."""
    spreading = {name: values for name, values in stats.figures.items() if np.ptp(values)}
    histograms = "".join(histogram(values, FIGURES[name]) for name, values in spreading.items())
    pose = (
        "<p>Figures are of the kept crops. Yaw, pitch and roll are estimated from landmarks and a typical head "
        "(facegen.data.pose): people who look straight ahead spread by 4, 7 and 0.5 degrees.</p>"
    )
    parts = (
        table(("what", "count"), stats.counts.items()),
        pose,
        table(SUMMARY_HEAD, summary_rows(stats)),
        f'<div class="row">{histograms}</div>',
        picture(stats.mean_face, f"Mean of {stats.read} kept crops"),
        picture(stats.sheet, "Some of them, spread evenly over the set"),
    )
    return page(f"The set {folder.name}", "\n".join(parts))


def _measured(
    folder: Path, entries: Iterable[Entry], seen: Callable[[], None], warn: Callable[[str], None]
) -> Iterator[Measured]:
    for entry in entries:
        try:
            yield _measure(folder, entry)
        except FileError as error:
            warn(str(error))
        seen()


def _measure(folder: Path, entry: Entry) -> Measured:
    """Look at a crop; what the manifest knows of it is not found out again, unless the file was changed since."""
    path = folder / entry.file
    entry = entry.of_bytes(sha256_of(path))
    rgb = read_image(path).rgb
    side = rgb.shape[0]
    if rgb.shape[1] != side:
        raise ImageError(f"{path}: {rgb.shape[1]}x{side} is not square; aligned head crops are expected. Left out.")
    points = entry.landmarks or tuple((x, y) for x, y in landmarks_in_head(rgb).points.tolist())
    small = np.asarray(cv2.resize(rgb, (MEAN_SIDE, MEAN_SIDE), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    middle = small[MEAN_SIDE // 4 : -MEAN_SIDE // 4, MEAN_SIDE // 4 : -MEAN_SIDE // 4]
    known = replace(entry, landmarks=points, size=side, sharpness=entry.sharpness or sharpness(rgb))
    return Measured(known, float((middle @ np.array(WEIGHTS)).mean() / 255), small)


def _figures(entries: Iterable[Entry]) -> dict[str, list[float]]:
    """What the entries tell, by the names of `FIGURES`."""
    figures: dict[str, list[float]] = {name: [] for name in FIGURES}
    for entry in entries:
        values = {"size": entry.size, "side": entry.frame[2], "sharpness": entry.sharpness}
        for name, value in values.items():
            if value:
                figures[name].append(value)
        if len(entry.landmarks) == 68 and entry.size:
            pose = head_pose(np.array(entry.landmarks), entry.size)
            for name in ("yaw", "pitch", "roll"):
                figures[name].append(getattr(pose, name))
    return figures


def _counts(folder: Path, entries: Sequence[Entry]) -> dict[str, int]:
    """How many crops there are, kept and dropped, by whom and why; and what `prepare` left out."""
    dropped = [entry for entry in entries if not entry.kept]
    reasons = Counter(reason for entry in dropped if not entry.label for reason in entry.reasons)
    ledger = read_ledger(folder)
    photos = ledger.photos.values() if ledger else ()
    left_out = Counter(left.reason for photo in photos for left in photo.left_out)
    sources = {entry.source for entry in entries if entry.source != entry.file}
    return {
        "crops": len(entries),
        **({"photos they are from": len(sources)} if sources else {}),
        "kept": len(entries) - len(dropped),
        "dropped": len(dropped),
        "judged by people": sum(bool(entry.label) for entry in entries),
        **{f"dropped by clean: {reason}": count for reason, count in reasons.most_common()},
        **{f"left out by prepare: {reason}": count for reason, count in left_out.most_common()},
    }
