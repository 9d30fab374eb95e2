"""Every detector by name: what it measures, and from where on a crop is to be dropped.

A new one is a function of a `View` and a line here. Thresholds were chosen on half of the people of two sets of clean
portraits (see docs/cleaning.md): where not said otherwise, past what 99.5 % of their pictures reach.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from facegen.data.clean import cover, drawing, focus, frame, grain, light, writing
from facegen.data.clean.view import View
from facegen.errors import UsageError, did_you_mean

VERSION = 1
"""Of the measures: another one, and what was measured before is measured again."""


@dataclass(frozen=True)
class Detector:
    """A measure and its threshold."""

    measure: Callable[[View], float] | None
    """None of a measure that needs the whole set."""
    worse: Literal["above", "below"]
    """On which side of the threshold a crop is dropped."""
    threshold: float
    usual: float
    """Median of clean portraits."""
    meaning: str
    """What the measure is and its unit, in a few words."""

    def severity(self, value: float) -> float:
        """0 of a usual picture, 1 at the threshold, more past it."""
        return (value - self.usual) / (self.threshold - self.usual)


DETECTORS = {
    "blurred": Detector(
        focus.sharpness, "below", 1.7, 2.7, "energy of the gradients around the eyes, over that after a blur of 2 px"
    ),
    "dark": Detector(light.brightest, "below", 0.35, 0.77, "luma that 1 % of the face exceeds, 0 to 1"),
    "blown": Detector(light.clipped, "above", 0.08, 0.0, "share of the face that is overexposed"),
    "grey": Detector(light.colour, "below", 1.2, 3.9, "colour that does not follow from the lightness, in L*a*b*"),
    "tinted": Detector(light.cast, "above", 4.7, 1.15, "distance of the face's colour from skin's, in its spreads"),
    "noisy": Detector(grain.noise, "above", 1.7, 0.3, "grain of the flattest parts, in steps of 255"),
    "blocks": Detector(grain.blocks, "above", 17.5, 8.7, "JPEG's grid in the second differences, over chance"),
    "screened": Detector(grain.screen, "above", 22.0, 9.0, "strongest regular pattern over its surroundings, in dB"),
    "drawn": Detector(drawing.drawn, "above", 0.8, -4.0, "log-odds of a drawing or painting"),
    "eyes": Detector(cover.eyes_hidden, "above", 1.9, 0.9, "how unlike eyes the eyes look, over the usual"),
    "sunglasses": Detector(cover.eye_light, "below", 0.32, 0.75, "lightness around the eyes, over that of the cheeks"),
    "mouth": Detector(cover.mouth_hidden, "above", 1.9, 0.9, "how unlike a mouth the mouth looks, over the usual"),
    "unsure": Detector(frame.unsure, "above", 0.09, 0.054, "what the face detector's confidence lacks to 1"),
    "misplaced": Detector(frame.misplaced, "above", 0.09, 0.034, "distance of the face from its place, in sides"),
    "several": Detector(frame.others, "above", 0.5, 0.0, "width of a second face, over the first's"),
    "turned": Detector(frame.turned, "above", 0.34, 0.06, "how far the nose is off the middle, eyes to mouth as unit"),
    "text": Detector(writing.letters, "above", 4.5, 1.5, "letters in the longest row"),
    "duplicate": Detector(None, "below", 48.0, 128.0, "bits of 256 by which a better picture of the same face differs"),
}  # fmt: skip
"""Name, which is the reason given in the manifest -> detector."""
PERSON = "person"
"""The reason of pictures beyond --per-person."""
PICTURE_WISE = {name: detector.measure for name, detector in DETECTORS.items() if detector.measure is not None}
"""Name -> measure, of those that need one picture alone."""


def with_thresholds(settings: Iterable[str]) -> dict[str, Detector]:
    """The detectors with some thresholds set: "blurred=1.4".

    Raises:
        UsageError: if a setting is not NAME=NUMBER, or names no detector, or is on the wrong side of the usual.
    """
    detectors = dict(DETECTORS)
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in DETECTORS:
            hint = did_you_mean(name, DETECTORS)
            raise UsageError(f"--threshold {setting}: unknown detector {name!r}{hint} Known: {', '.join(DETECTORS)}.")
        detectors[name] = replace(detectors[name], threshold=_threshold(setting, text, detectors[name]))
    return detectors


def reasons(measures: Mapping[str, float], detectors: Mapping[str, Detector]) -> tuple[str, ...]:
    """Names of the detectors whose threshold is passed, the clearest case first."""
    passed = {name: severity for name, severity in severities(measures, detectors).items() if severity > 1}
    return tuple(sorted(passed, key=lambda name: -passed[name]))


def severities(measures: Mapping[str, float], detectors: Mapping[str, Detector]) -> dict[str, float]:
    """Of each detector that has a measure; see `Detector.severity`."""
    return {name: detector.severity(measures[name]) for name, detector in detectors.items() if name in measures}


def doubt(measures: Mapping[str, float], detectors: Mapping[str, Detector]) -> float:
    """The largest severity: near 1 are the pictures that a person should look at. 0 without a measure."""
    return max(severities(measures, detectors).values(), default=0.0)


def _threshold(setting: str, text: str, detector: Detector) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    side = value > detector.usual if detector.worse == "above" else value < detector.usual
    if not side or not math.isfinite(value):
        raise UsageError(
            f"--threshold {setting}: expected a number {detector.worse} {detector.usual:g}, the usual value; "
            f"crops {detector.worse} it are dropped ({detector.meaning})."
        )
    return value
