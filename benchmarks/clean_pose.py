"""How "turned" of `facegen data clean` goes with the yaw that landmarks tell, on real turned heads.

    python -m benchmarks.clean_pose --data ../shared/data/faces128/varied --out /tmp/pose [--pictures 800]

No picture here has a measured pose, and a portrait that is turned by warping shows no profile. So two things that know
nothing of each other are compared: the measure, from YuNet's five points, and the yaw of `facegen.data.cutting`, from
dlib's 68 (perspective-n-point). The yaw is no truth either: of strong profiles dlib finds no face, and its points are
those of a usual face then. --out gets sheets to judge by eye: what is dropped, and the largest yaws that are kept.
Uses the people that chose no threshold (see benchmarks.clean).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import spearmanr

from benchmarks.clean import choosing_half
from facegen.data.clean.face import turned, view_crop
from facegen.data.clean.judge import DETECTORS
from facegen.data.cutting import head_pose
from facegen.data.split import spread
from facegen.faces.landmarks import landmarks_in_head
from facegen.media.images import find_pictures, read_image, write_image
from facegen.media.sheets import contact_sheet

YAWS = (0, 10, 20, 30, 40, 90)
SHOWN = 60


@dataclass(frozen=True)
class Turned:
    """A picture, and how far its head is turned aside."""

    file: Path
    measure: float
    yaw: float
    """Degrees, without the side."""
    detected: bool
    """Whether dlib's detector sees the face; where not, the yaw is a guess."""


def measured(file: Path) -> Turned:
    """Look at a picture."""
    rgb = read_image(file).rgb
    landmarks = landmarks_in_head(rgb)
    yaw = abs(head_pose(landmarks.points, len(rgb)).yaw)
    return Turned(file, turned(view_crop(rgb, landmarks.points)), yaw, landmarks.detected)


def yaw_table(found: list[Turned], threshold: float) -> Table:
    """By yaw: how many, the measure's median, and how many it drops; last those in which dlib sees no face."""
    seen = [t for t in found if t.detected]
    groups = {f"{low} to {high}": [t for t in seen if low <= t.yaw < high] for low, high in pairwise(YAWS)}
    groups["no face for dlib"] = [t for t in found if not t.detected]
    table = Table("yaw, degrees", "pictures", "median of turned", "dropped")
    for name, group in groups.items():
        dropped = sum(t.measure > threshold for t in group)
        median = f"{np.median([t.measure for t in group]):.2f}" if group else ""
        table.add_row(name, str(len(group)), median, str(dropped))
    return table


def write_sheet(path: Path, found: list[Turned]) -> None:
    """Some pictures side by side, in order."""
    if found:
        write_image(path, contact_sheet([read_image(t.file).rgb for t in found[:SHOWN]], columns=10, side=128))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of aligned faces in every pose")
    parser.add_argument("--out", type=Path, required=True, help="folder for the sheets")
    parser.add_argument("--pictures", type=int, default=800)
    options = parser.parse_args()
    files = find_pictures([options.data])
    chosen = set(choosing_half(files))
    others = spread([file for file in files if file not in chosen], options.pictures)
    found = [measured(file) for file in track(others, "measuring")]
    threshold = DETECTORS["turned"].threshold
    Console().print(yaw_table(found, threshold))
    correlation = spearmanr([t.measure for t in found], [t.yaw for t in found]).statistic
    print(f"rank correlation of the two: {correlation:.2f}")
    dropped = [t for t in found if t.measure > threshold]
    write_sheet(options.out / "dropped.png", sorted(dropped, key=lambda t: -t.measure))
    write_sheet(options.out / "kept.png", sorted(set(found) - set(dropped), key=lambda t: -t.yaw))


if __name__ == "__main__":
    main()
