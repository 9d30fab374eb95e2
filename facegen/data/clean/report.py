"""The page that shows what `clean` decided: counts, a histogram of each measure, and the crops at its ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from facegen.data.clean.detectors import DETECTORS, PERSON, Detector
from facegen.data.clean.judging import DUPLICATE
from facegen.data.manifest import TWIN, Entry
from facegen.errors import FacegenError
from facegen.media.images import read_image, resize
from facegen.pages import data_url, histogram, page, table, write_page

REPORT = "clean.html"
SHOWN, THUMB = 8, 112
"""Crops in a row, and their side in pixels."""
REACH = 2.5
"""Severity that a histogram reaches to, and as far below the usual; what is beyond counts as there."""
_STYLE = """<style>.crops { display: flex; flex-wrap: wrap; gap: 6px; } .crops figure { margin: 0; width: 112px;
font-size: 11px; line-height: 1.3; overflow-wrap: anywhere; } .crops img { width: 112px; height: 112px; display: block;
border-bottom: 4px solid #2a7; } .crops .drop img { border-color: #c33; } h2 { margin: 2.5rem 0 0; }
h3 { font-size: 85%; margin: .75rem 0 .25rem; color: #555; } td:last-child { text-align: left; }</style>"""
_MEANINGS = {name: detector.meaning for name, detector in DETECTORS.items()} | {
    PERSON: "crops of one person beyond --per-person"
}


def write_report(folder: Path, entries: Sequence[Entry], detectors: Mapping[str, Detector]) -> Path:
    """Write clean.html into the set's folder; it needs no other file, but links to the crops.

    Args:
        entries: judged ones.
    Raises:
        ImageError: if it cannot be written.
    """
    return write_page(folder / REPORT, to_html(folder, entries, detectors))


def counts(entries: Sequence[Entry]) -> list[tuple[str, int, int]]:
    """(reason, crops dropped with it, crops dropped for nothing else), the most frequent first."""
    every = Counter(reason for entry in entries for reason in entry.reasons)
    alone = Counter(entry.reasons[0] for entry in entries if len(entry.reasons) == 1)
    return [(reason, count, alone[reason]) for reason, count in every.most_common()]


def to_html(folder: Path, entries: Sequence[Entry], detectors: Mapping[str, Detector]) -> str:
    """The page."""
    dropped = sum(entry.decision == "drop" for entry in entries)
    otherwise = sum(entry.label not in ("", entry.decision) for entry in entries)
    labelled = f"; people decided otherwise on {otherwise}" if otherwise else ""
    rows = [(reason, count, alone, _MEANINGS[reason]) for reason, count, alone in counts(entries)]
    body = [
        _STYLE,
        f"<p>{len(entries)} crops: {len(entries) - dropped} to keep, {dropped} to drop{labelled}. "
        "Nothing was deleted: the manifest says keep or drop. Green under a crop is keep, red drop.</p>",
        table(("reason", "crops", "for it alone", "what is measured"), rows),
        *(_section(folder, name, detector, entries) for name, detector in detectors.items()),
    ]
    return page(f"What to keep of {folder.resolve().name}", "\n".join(body))


def _section(folder: Path, name: str, detector: Detector, entries: Sequence[Entry]) -> str:
    """One detector: histogram, worst crops, those on both sides of the threshold, best crops."""
    found = sorted((entry for entry in entries if name in entry.measures), key=lambda e: -_severity(name, detector, e))
    if not found:
        return ""
    past = sum(_severity(name, detector, entry) > 1 for entry in found)
    rows = {
        "worst": found[: min(past, SHOWN)],
        "just dropped": found[max(past - SHOWN, min(past, SHOWN)) : past],
        "just kept": found[past : past + SHOWN],
        "best": found[max(past + SHOWN, len(found) - SHOWN) :],
    }
    shown = "".join(
        f'<h3>{title}</h3>\n<div class="crops">{"".join(_figure(folder, name, entry) for entry in row)}</div>\n'
        for title, row in rows.items()
        if row
    )
    values = _clipped(np.array([entry.measures[name] for entry in found]), detector)
    caption = f"{detector.meaning}; dropped {detector.worse} {detector.threshold:g}: {past} of {len(found)}"
    return f'<h2 id="{name}">{name}</h2>\n{histogram(values, caption, mark=detector.threshold)}\n{shown}'


def _severity(name: str, detector: Detector, entry: Entry) -> float:
    return detector.severity(entry.measures[name])


def _clipped(values: NDArray[np.float64], detector: Detector) -> NDArray[np.float64]:
    reach = REACH * (detector.threshold - detector.usual)
    low, high = sorted((detector.usual - reach, detector.usual + reach))
    return values.clip(low, high)


def _figure(folder: Path, name: str, entry: Entry) -> str:
    """A crop as a thumbnail that leads to its file; a gap where the file has gone meanwhile."""
    file = escape(entry.file)
    twin = f", as {escape(entry.extra[TWIN])}" if name == DUPLICATE and TWIN in entry.extra else ""
    try:
        source = data_url(resize(read_image(folder / entry.file).rgb, (THUMB, THUMB)))
    except FacegenError:
        source = ""
    return (
        f'<figure class="{entry.decision}"><a href="{escape(quote(entry.file))}"><img alt="{file}" src="{source}"></a>'
        f"<figcaption>{entry.measures[name]:.3g} {file}{twin}</figcaption></figure>"
    )
