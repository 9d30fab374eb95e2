"""How well `facegen data clean --per-person 1` tells people apart.

    python -m benchmarks.clean_people --data ../shared/data/portraits768

The London set shows everybody twice, neutral and smiling; as many portraits from other sources show one person each.
Prints for several distances, and for both halves of the people (see benchmarks.clean), how many second pictures are
dropped, and how many people are lost because they are taken for somebody else.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.clean import choosing_half
from facegen.data.clean.cleaning import Embedded, embed_crop
from facegen.data.clean.judge import crowding
from facegen.data.manifest import Entry
from facegen.data.split import person_of, source_of
from facegen.jobs import Processes, Task, run
from facegen.media.images import find_pictures

TWICE = "london"
DISTANCES = (0.35, 0.4, 0.45, 0.5)
COLUMNS = ("people", "second pictures", "of these dropped", "people lost")


def chosen(files: Sequence[Path]) -> list[Path]:
    """All pictures of the source that shows people twice, and as many others, by the hash of their names."""
    twice = [file for file in files if source_of(file) == TWICE]
    others = sorted(set(files) - set(twice), key=lambda file: hashlib.sha256(file.name.encode()).hexdigest())
    return sorted([*twice, *others[: len(twice)]])


def embeddings_of(files: Sequence[Path]) -> dict[Path, NDArray[np.float64]]:
    """Embed the face of each picture: (128,)."""
    work = partial(embed_crop, {file: Entry(file.name, file.name) for file in files})
    found = {}
    for outcome in track(run([Task(file, file) for file in files], work, Processes()), "looking", total=len(files)):
        if not isinstance(outcome, Embedded) or outcome.embedding is None:
            raise SystemExit(outcome.error)
        found[outcome.source] = outcome.embedding
    return found


def counts(embeddings: Mapping[Path, NDArray[np.float64]], distance: float) -> dict[str, int]:
    """Count people, second pictures, dropped second pictures, and people without a kept picture."""
    files = sorted(embeddings)
    beyond = set(crowding([embeddings[file] for file in files], range(len(files)), 1, distance))
    kept = [person_of(file) for index, file in enumerate(files) if index not in beyond]
    people = {person_of(file) for file in files}
    seconds = len(files) - len(people)
    figures = (len(people), seconds, seconds - (len(kept) - len(set(kept))), len(people - set(kept)))
    return dict(zip(COLUMNS, figures, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of aligned portraits with the London set")
    options = parser.parse_args()
    embeddings = embeddings_of(chosen(find_pictures([options.data])))
    choosing = set(choosing_half(embeddings))
    halves = {"choosing": choosing, "others": embeddings.keys() - choosing}
    table = Table("distance", *(f"{half}: {name}" for half in halves for name in COLUMNS))
    for distance in DISTANCES:
        found = [counts({file: embeddings[file] for file in half}, distance) for half in halves.values()]
        table.add_row(f"{distance}", *(str(count) for half in found for count in half.values()))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
