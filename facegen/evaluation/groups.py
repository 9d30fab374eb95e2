"""Figures for groups of people, by given labels or by an estimate of the skin's tone."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from facegen.arrays import RGB, Points
from facegen.errors import FileError
from facegen.evaluation.portraits import NAMES
from facegen.evaluation.report import BASELINE, Evaluation, Figure, Protocol
from facegen.faces.landmarks import landmarks_in_head
from facegen.media.images import read_image

Grouping = Callable[[Path], Mapping[str, str]]
"""Finds the groups of a portrait: {"skin": "tan"}, or {"sex": "f", "age": "40-59"}."""
Values = Mapping[str, Mapping[str, Sequence[float]]]
"""Key of `NAMES` -> column -> a value for each portrait."""

SKIN = "skin"
TONES = ((55, "very light"), (41, "light"), (28, "intermediate"), (10, "tan"), (-30, "brown"), (-math.inf, "dark"))
"""Lowest individual typology angle of each tone, in degrees (Chardon et al. 1991; Del Bino et al. 2006)."""
CHEEKS = ((2, 31, 41, 48), (14, 35, 46, 54))
"""dlib's points around each cheek: jaw, wing of the nose, lower lid, corner of the mouth."""
CHEEK = 0.12
"""Radius of the disc that is measured in a cheek, as a share of the distance between the eyes."""
GROUPED = ("psnr", "features", "identity", "landmarks")
"""Figures of each group; the patches' distance needs more pictures than a group has."""
UNKNOWN = "unknown"
LEAST = 2
"""Portraits that a group needs for a spread."""


def skin_angle(head: RGB, points: Points) -> float:
    """Measure the individual typology angle of the cheeks: atan((L* - 50) / b*) in degrees, higher is lighter.

    It is the median over both cheeks, and assumes daylight: a warm lamp or a dark picture changes the angle by more
    than a tone.

    Args:
        head: (S, S, 3), sRGB.
        points: dlib's 68 landmarks, (68, 2), in pixels.
    """
    eyes = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    radius = max(CHEEK * float(np.hypot(*(eyes[1] - eyes[0]))), 1)
    mask = np.zeros(head.shape[:2], np.uint8)
    for cheek in CHEEKS:
        x, y = points[list(cheek)].mean(axis=0)
        cv2.circle(mask, (round(x), round(y)), round(radius), 1, -1)
    lab = cv2.cvtColor(head.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[mask > 0]
    lightness, _, yellow = np.median(lab, axis=0)
    return math.degrees(math.atan2(lightness - 50, yellow))


def skin_tone(angle: float) -> str:
    """Name the tone of an angle."""
    return next(name for lowest, name in TONES if angle > lowest)


def by_skin(file: Path) -> Mapping[str, str]:
    """Estimate the tone of the skin in an aligned portrait."""
    head = read_image(file).rgb
    return {SKIN: skin_tone(skin_angle(head, landmarks_in_head(head).points))}


def by_labels(path: Path) -> Grouping:
    """Read groups from a CSV file with a column "file" and one column for each grouping, such as sex or age.

    Files are matched by name, without their folders.

    Raises:
        FileError: if it cannot be read, lacks these columns, or gives one name two different groups.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path}: cannot be read ({error}); expected a CSV file.") from None
    keys = [key for key in rows[0] if key and key != "file"] if rows else []
    if not keys or "file" not in rows[0]:
        raise FileError(f'{path}: expected a CSV file with a column "file" and others, as in sex or age.')
    groups: dict[str, dict[str, str]] = {}
    for row in rows:
        name, found = Path(row["file"] or "").name, {key: row[key] or UNKNOWN for key in keys}
        if groups.setdefault(name, found) != found:
            raise FileError(f"{path}: {name!r} is there twice, in different groups; give each file another name.")
    return lambda file: groups.get(file.name, dict.fromkeys(keys, UNKNOWN))


def evaluate_groups(
    values: Values, groups: Sequence[Mapping[str, str]], column: str, resize: str, split: str
) -> Evaluation:
    """Compare the groups of the portraits that were measured.

    Args:
        values: the figures of every portrait.
        groups: the groups of every portrait, in the same order.
        column: the model whose values are shown.
        resize, split: for the protocol.
    """
    members: dict[str, list[int]] = {}
    for number, found in enumerate(groups):
        for key, group in found.items():
            members.setdefault(f"{key} {group}", []).append(number)
    order = {f"{SKIN} {tone}": position for position, (_, tone) in enumerate(TONES)}
    names = sorted(members, key=lambda name: (order.get(name, 0), name))
    columns = {f"{name}, {len(members[name])}": members[name] for name in names}
    columns = {f"all, {len(groups)}": list(range(len(groups))), **columns}
    figures: list[Figure] = []
    for name, wanted, features, each in _measures(values, column):
        protocol = Protocol(features, len(groups), resize, split)
        grouped = {head: np.array([each[n] for n in chosen]) for head, chosen in columns.items()}
        spreads = {head: float(x.std(ddof=1)) if len(x) >= LEAST else None for head, x in grouped.items()}
        figures.append(Figure(name, {head: float(x.mean()) for head, x in grouped.items()}, protocol, wanted))
        figures.append(Figure(f"  spread of {name}", spreads, protocol))
    legend = (
        "Columns: a group, and the number of its portraits. Spread: standard deviation over them. Groups of few "
        "portraits, of one source or of one light differ by chance and by what the pictures show."
    )
    return Evaluation(f"{column}, by group of people", tuple(columns), tuple(figures), (), {}, legend)


def _measures(values: Values, column: str) -> list[tuple[str, str, str, Sequence[float]]]:
    """List name, wanted value, features and the portraits' values of each figure, and of the ratio to bicubic's."""
    figures = [(*NAMES[key], values[key][column]) for key in GROUPED if key in values]
    name, wanted, features = NAMES["features"]
    pairs = zip(values["features"][column], values["features"][BASELINE], strict=True)
    ratios = [value / bicubic if bicubic else math.nan for value, bicubic in pairs]
    return [*figures, (f"{name} over {BASELINE}'s", wanted, features, ratios)]
