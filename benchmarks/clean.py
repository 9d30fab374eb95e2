"""How well `facegen data clean` finds spoiled pictures among clean ones, and what it takes.

    python -m benchmarks.clean --data ../shared/data/portraits768 --out /tmp/cleaned [--spoiled 200] [--jobs 1]

Half of the people chose the thresholds (`choosing_half`); these are the others. Some of their pictures are spoiled by
benchmarks.spoil and mixed with the rest. Printed: of each kind of spoiling, how much is dropped for whatever reason,
and the reasons; of each detector, what it flags, how much of that is spoiled (precision), and its CPU time; overall
recall at the shipped thresholds, and where 5 % of the clean pictures are dropped (all thresholds eased or tightened
together, by "doubt"). A duplicate counts as found if it or its source is dropped as one. --out can be looked at.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.spoil import KINDS, TABLE, Spoiled, spoil
from facegen.data.clean.cleaning import Cleaning
from facegen.data.clean.face import view_crop
from facegen.data.clean.judge import DETECTORS, DUPLICATE, PICTURE_WISE
from facegen.data.clean.report import write_page
from facegen.data.manifest import DOUBT, Entry
from facegen.data.split import person_of
from facegen.media.images import find_pictures, read_image

FALSE_ALARMS = 0.05
TIMED = 30


def choosing_half(files: Iterable[Path]) -> list[Path]:
    """The people that thresholds and coefficients are chosen on; the report is on the others."""
    return [file for file in files if hashlib.sha256(person_of(file).encode()).digest()[-1] % 2 == 0]


@dataclass(frozen=True)
class Judged:
    """A picture of the mixture."""

    kind: str
    """Of spoiling; "clean" if it is not."""
    doubt: float
    """The largest severity: dropped from 1 on."""
    reasons: tuple[str, ...]


def mix(files: Sequence[Path], out: Path, count: int, seed: int = 0) -> list[Spoiled]:
    """Spoil `count` of the files into a folder, and copy the others there, with the sources of the duplicates.

    A mixture that is there already is used again.
    """
    if (out / TABLE).is_file():
        with (out / TABLE).open(newline="", encoding="utf-8") as table:
            return [Spoiled(**row) for row in csv.DictReader(table)]
    order = np.random.default_rng(seed).permutation(len(files))
    chosen, others = [files[i] for i in order[:count]], [files[i] for i in order[count:]]
    rows = spoil(chosen, out, count, seed)
    twins = {row.source for row in rows if row.kind == "duplicate"}
    for file in [*others, *(file for file in chosen if file.name in twins)]:
        shutil.copy(file, out / file.name)
    return rows


def judged(entries: Sequence[Entry], rows: Sequence[Spoiled]) -> list[Judged]:
    """What became of each picture; of a duplicate and its source, the one dropped as such stands for the copy."""
    by_file = {entry.file: entry for entry in entries}
    found = []
    for row in rows:
        entry = by_file.pop(row.file)
        if row.kind == "duplicate" and DUPLICATE in by_file[row.source].reasons:
            entry, by_file[row.source] = by_file[row.source], entry
        found.append(Judged(row.kind, entry.measures[DOUBT], entry.reasons))
    return found + [Judged("clean", entry.measures[DOUBT], entry.reasons) for entry in by_file.values()]


def recall_at(pictures: Sequence[Judged], false_alarms: float) -> tuple[float, float]:
    """Share of the spoiled ones dropped where that share of the clean ones is, and the severity where that is."""
    clean = [picture.doubt for picture in pictures if picture.kind == "clean"]
    limit = float(np.quantile(clean, 1 - false_alarms))
    return float(np.mean([picture.doubt > limit for picture in pictures if picture.kind != "clean"])), limit


def kinds_table(pictures: Sequence[Judged], limit: float) -> Table:
    """Of each kind, how much is dropped: at the shipped thresholds, at 5 % false alarms, and why."""
    table = Table("kind", "pictures", "dropped", f"at {FALSE_ALARMS:.0%} false alarms", "reasons")
    for kind in ("clean", *KINDS):
        group = [picture for picture in pictures if picture.kind == kind]
        reasons = Counter(reason for picture in group for reason in picture.reasons)
        text = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common(5))
        shares = (np.mean([picture.doubt > at for picture in group]) for at in (1, limit))
        table.add_row(kind, str(len(group)), *(f"{share:.1%}" for share in shares), text)
    return table


def detectors_table(pictures: Sequence[Judged], milliseconds: dict[str, float]) -> Table:
    """Of each detector: pictures flagged, spoiled ones among them, false alarms, its main kinds, CPU time."""
    table = Table("detector", "flagged", "precision", "false alarms", "finds most of", "ms")
    clean = sum(picture.kind == "clean" for picture in pictures)
    sizes = Counter(picture.kind for picture in pictures)
    for name in DETECTORS:
        flagged = Counter(picture.kind for picture in pictures if name in picture.reasons)
        wrong, every = flagged.pop("clean", 0), flagged.total()
        most = ", ".join(f"{kind} {count}/{sizes[kind]}" for kind, count in flagged.most_common(3))
        precision = f"{every / (every + wrong):.1%}" if every + wrong else ""
        spent = f"{milliseconds[name]:.1f}" if name in milliseconds else ""
        table.add_row(name, str(every + wrong), precision, f"{wrong / clean:.1%}", most, spent)
    return table


def cpu_times(entries: Sequence[Entry], folder: Path) -> dict[str, float]:
    """Milliseconds of CPU a crop, of each detector, of "reading" and of "preparing" what they share."""
    spent: Counter[str] = Counter()

    def timed(name: str, since: float) -> float:
        now = time.process_time()
        spent[name] += 1000 * (now - since) / len(entries)  # type: ignore[assignment]
        return now

    for entry in entries:
        clock = time.process_time()
        rgb = read_image(folder / entry.file).rgb
        clock = timed("reading", clock)
        view = view_crop(rgb, np.array(entry.landmarks))
        _ = view.luma, view.fine_luma, view.lab, view.face, view.faces
        clock = timed("preparing", clock)
        for name, measure in PICTURE_WISE.items():
            measure(view)
            clock = timed(name, clock)
    return dict(spent)


def main() -> None:
    """Mix, clean, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of clean aligned pictures")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the mixture; one that is there is used again"
    )
    parser.add_argument("--spoiled", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    files = find_pictures([options.data])
    chosen = set(choosing_half(files))
    rows = mix([file for file in files if file not in chosen], options.out, options.spoiled, options.seed)
    cleaning = Cleaning(options.out)
    todo = cleaning.unmeasured()
    started = time.process_time()
    for outcome in track(cleaning.measure(todo, options.jobs), "measuring", total=len(todo)):
        if outcome.error:
            raise SystemExit(outcome.error)
    spent = time.process_time() - started
    pairs = cleaning.near_pairs()
    faces = cleaning.unembedded(pairs, everybody=False)
    for _ in track(cleaning.embed(faces, options.jobs), "comparing", total=len(faces)):
        pass
    entries = cleaning.decide(pairs, DETECTORS, None)
    pictures = judged(entries, rows)
    recall, limit = recall_at(pictures, FALSE_ALARMS)
    times = cpu_times([entry for entry in entries if not entry.file.startswith("spoiled")][:TIMED], options.out)
    console = Console(width=160)
    console.print(kinds_table(pictures, limit), detectors_table(pictures, times))
    spoiled = [picture for picture in pictures if picture.kind != "clean"]
    clean = [picture for picture in pictures if picture.kind == "clean"]
    dropped, alarms = (np.mean([bool(p.reasons) for p in part]) for part in (spoiled, clean))
    print(f"{len(clean)} clean, {len(spoiled)} spoiled; recall {dropped:.1%} at {alarms:.1%} false alarms as shipped")
    print(f"recall {recall:.1%} at {FALSE_ALARMS:.0%} false alarms (severity {limit:.2f})")
    shared = f"reading {times['reading']:.1f}, preparing {times['preparing']:.1f}, all {sum(times.values()):.1f}"
    print(f"CPU ms a crop: {shared}")
    if todo and options.jobs == 1:
        print(f"measured {len(todo) / spent:.1f} crops/s of CPU time, landmarks and hashes included")
    print(f"compared {len(faces)} faces; page: {write_page(options.out, entries, DETECTORS)}")


if __name__ == "__main__":
    main()
