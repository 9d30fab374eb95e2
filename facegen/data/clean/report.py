"""The page of `facegen data clean`: counts, and for each measure a histogram and crops at its ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from facegen.data.clean.judge import DETECTORS, DUPLICATE, PERSON, Detector
from facegen.data.manifest import TWIN, Entry
from facegen.errors import FacegenError
from facegen.files import write_text
from facegen.media.images import read_image, resize
from facegen.media.report import histogram, picture_url, render

REPORT = "clean.html"
SHOWN, THUMB = 8, 112
"""Crops in a row, and their side in pixels."""
REACH = 2.5
"""Histograms end at this severity and at its negative; values beyond are drawn at the ends."""
_MEANINGS = {PERSON: "crops of one person beyond --per-person"} | {n: d.meaning for n, d in DETECTORS.items()}


def write_page(folder: Path, entries: Sequence[Entry], detectors: Mapping[str, Detector]) -> Path:
    """Write clean.html into the set's folder; the page needs no other file, but links to the crops."""
    page = render(
        "clean.html.j2",
        title=f"Decisions on {folder.resolve().name}",
        crops=len(entries),
        dropped=sum(entry.decision == "drop" for entry in entries),
        otherwise=sum(entry.label not in ("", entry.decision) for entry in entries),
        reasons=[(*count, _MEANINGS[count[0]]) for count in counts(entries)],
        sections=[
            _section(folder, name, detector, found)
            for name, detector in detectors.items()
            if (found := [entry for entry in entries if name in entry.measures])
        ],
    )
    return write_text(folder / REPORT, page)


def counts(entries: Sequence[Entry]) -> list[tuple[str, int, int]]:
    """List (reason, crops dropped with it, crops dropped for it alone), the most frequent reason first."""
    every = Counter(reason for entry in entries for reason in entry.reasons)
    alone = Counter(entry.reasons[0] for entry in entries if len(entry.reasons) == 1)
    return [(reason, count, alone[reason]) for reason, count in every.most_common()]


def _section(folder: Path, name: str, detector: Detector, entries: Sequence[Entry]) -> dict[str, object]:
    found = sorted(entries, key=lambda entry: -detector.severity(entry.measures[name]))
    past = sum(detector.severity(entry.measures[name]) > 1 for entry in found)
    rows = {
        "worst": found[: min(past, SHOWN)],
        "just dropped": found[max(past - SHOWN, min(past, SHOWN)) : past],
        "just kept": found[past : past + SHOWN],
        "best": found[max(past + SHOWN, len(found) - SHOWN) :],
    }
    low, high = sorted(detector.usual + reach * (detector.threshold - detector.usual) for reach in (-REACH, REACH))
    values = np.array([entry.measures[name] for entry in found]).clip(low, high)
    return {
        "name": name,
        "histogram": histogram(values, mark=detector.threshold),
        "caption": f"{detector.meaning}; dropped {detector.worse} {detector.threshold:g}: {past} of {len(found)}",
        "rows": {title: [_crop(folder, name, entry) for entry in row] for title, row in rows.items()},
    }


def _crop(folder: Path, name: str, entry: Entry) -> dict[str, str]:
    """Return a crop's thumbnail and texts; no thumbnail if the file cannot be read."""
    try:
        url = picture_url(resize(read_image(folder / entry.file).rgb, (THUMB, THUMB)))
    except FacegenError:
        url = ""
    return {
        "file": entry.file,
        "link": quote(entry.file, errors="surrogateescape"),
        "url": url,
        "decision": entry.decision,
        "value": f"{entry.measures[name]:.3g}",
        "twin": entry.extra.get(TWIN, "") if name == DUPLICATE else "",
    }
