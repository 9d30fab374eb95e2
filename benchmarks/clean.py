"""How well `facegen data clean` finds spoiled pictures among clean ones.

    python -m benchmarks.clean --data ../shared/data/portraits768 --out /tmp/cleaned [--spoiled 209]

The thresholds were chosen on half of the people (`choosing_half`); the figures are of the others. Some of their
pictures are spoiled by benchmarks.spoil and mixed with the rest. Prints how much of each kind of spoiling is dropped,
and why; the precision of each detector; and recall as shipped and with 5 % of the clean pictures dropped (all
thresholds changed together, by "doubt"). A duplicate counts as found if it or its source is dropped as one.
"""

from __future__ import annotations

import argparse
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

from benchmarks.spoil import KINDS, kind_of, source_name, spoil
from facegen.data.clean.cleaning import Cleaning
from facegen.data.clean.judge import DETECTORS, DUPLICATE
from facegen.data.clean.report import write_page
from facegen.data.manifest import DOUBT, Entry
from facegen.data.split import person_of
from facegen.media.images import find_pictures

FALSE_ALARMS = 0.05


def choosing_half(files: Iterable[Path]) -> list[Path]:
    """The pictures of the people on which thresholds and coefficients are chosen."""
    return [file for file in files if hashlib.sha256(person_of(file).encode()).digest()[-1] % 2 == 0]


@dataclass(frozen=True)
class Judged:
    """A picture of the mixture."""

    kind: str
    """The kind of spoiling; "" if clean."""
    doubt: float
    """The largest severity: dropped from 1 on."""
    reasons: tuple[str, ...]


def mix(files: Sequence[Path], out: Path, count: int) -> None:
    """Spoil `count` of the files into a new folder, and copy the others there, with the sources of the duplicates."""
    order = np.random.default_rng(0).permutation(len(files))
    spoiled = spoil([files[i] for i in order[:count]], out)
    twins = {source_name(name) for name in spoiled if kind_of(name) == "duplicate"}
    for file in [files[i] for i in order[count:]] + [file for file in files if file.name in twins]:
        shutil.copy(file, out / file.name)


def judged(entries: Sequence[Entry]) -> list[Judged]:
    """The decision on each picture; if the source of a duplicate is dropped as one, the two change places."""
    by_file = {entry.file: entry for entry in entries}
    for name in [name for name in by_file if kind_of(name) == "duplicate"]:
        source = source_name(name)
        if DUPLICATE in by_file[source].reasons:
            by_file[name], by_file[source] = by_file[source], by_file[name]
    return [Judged(kind_of(name), entry.measures[DOUBT], entry.reasons) for name, entry in by_file.items()]


def kinds_table(pictures: Sequence[Judged]) -> Table:
    """The share dropped of each kind, and the reasons."""
    table = Table("kind", "pictures", "dropped", "reasons")
    for kind in ("", *KINDS):
        group = [picture for picture in pictures if picture.kind == kind]
        reasons = Counter(reason for picture in group for reason in picture.reasons)
        text = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common(5))
        table.add_row(kind or "clean", str(len(group)), f"{np.mean([bool(p.reasons) for p in group]):.1%}", text)
    return table


def detectors_table(pictures: Sequence[Judged]) -> Table:
    """Pictures flagged by each detector, share of spoiled ones among them, false alarms, main kinds."""
    table = Table("detector", "flagged", "precision", "false alarms", "finds most of")
    sizes = Counter(picture.kind for picture in pictures)
    for name in DETECTORS:
        flagged = Counter(picture.kind for picture in pictures if name in picture.reasons)
        total, wrong = flagged.total(), flagged.pop("", 0)
        most = ", ".join(f"{kind} {count}/{sizes[kind]}" for kind, count in flagged.most_common(3))
        table.add_row(name, str(total), f"{1 - wrong / max(total, 1):.1%}", f"{wrong / sizes['']:.1%}", most)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of clean aligned pictures")
    parser.add_argument("--out", type=Path, required=True, help="folder for the mixture; an existing one is used again")
    parser.add_argument("--spoiled", type=int, default=209)
    options = parser.parse_args()
    files = find_pictures([options.data])
    chosen = set(choosing_half(files))
    if not options.out.exists():
        mix([file for file in files if file not in chosen], options.out, options.spoiled)
    cleaning = Cleaning(options.out)
    todo = cleaning.unmeasured()
    started = time.process_time()
    failures = [o.error for o in track(cleaning.measure(todo, 1), "measuring", len(todo)) if o.error]
    if failures:
        raise SystemExit(failures[0])
    if todo:
        print(f"measured {len(todo) / (time.process_time() - started):.1f} crops/s of CPU time, with their landmarks")
    pairs = cleaning.near_pairs()
    list(cleaning.embed(cleaning.unembedded(pairs, everybody=False), 1))
    entries = cleaning.decide(pairs, DETECTORS, None)
    pictures = judged(entries)
    Console(width=160).print(kinds_table(pictures), detectors_table(pictures))
    dropped, alarms = (np.mean([bool(p.reasons) for p in pictures if bool(p.kind) == part]) for part in (True, False))
    limit = np.quantile([p.doubt for p in pictures if not p.kind], 1 - FALSE_ALARMS)
    recall = np.mean([p.doubt > limit for p in pictures if p.kind])
    print(f"recall {dropped:.1%} at {alarms:.1%} false alarms as shipped")
    print(f"recall {recall:.1%} at {FALSE_ALARMS:.0%} false alarms (severity {limit:.2f})")
    print(write_page(options.out, entries, DETECTORS))


if __name__ == "__main__":
    main()
