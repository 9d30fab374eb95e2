"""Several raters: how far they agree beyond chance, and what most of them say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facegen.data.manifest import Decision

Labels = Mapping[str, Decision]
"""File -> label; "" counts as none."""


@dataclass(frozen=True)
class Agreement:
    """How far raters agree on the faces that all of them labelled."""

    faces: int
    """How many these are."""
    same: float
    """Share of them on which all say the same, 0..1."""
    kappa: float | None
    """1 is always, 0 as often as by chance; None where chance alone explains everything (all labels are the same)."""
    measure: Literal["Cohen's kappa", "Fleiss' kappa"]
    """Cohen's of two raters, Fleiss' of more."""


def agreement(raters: Iterable[Labels]) -> Agreement | None:
    """How far raters agree; those without a label are left out.

    Returns:
        None with fewer than two raters, or if no face was labelled by all of them.
    """
    given = [{file: label for file, label in labels.items() if label} for labels in raters]
    given = [labels for labels in given if labels]
    if len(given) < 2:
        return None
    shared = sorted(set.intersection(*(set(labels) for labels in given)))
    if not shared:
        return None
    keeps = np.array([[labels[file] == "keep" for labels in given] for file in shared])  # (faces, raters)
    same = float((keeps == keeps[:, :1]).all(axis=1).mean())
    if len(given) == 2:
        return Agreement(len(shared), same, cohen_kappa(keeps), "Cohen's kappa")
    return Agreement(len(shared), same, fleiss_kappa(keeps), "Fleiss' kappa")


def cohen_kappa(keeps: NDArray[np.bool_]) -> float | None:
    """Agreement of two raters beyond chance (Cohen, "A Coefficient of Agreement for Nominal Scales", 1960).

    kappa = (p_o - p_e) / (1 - p_e), with p_o the share of faces on which both agree and p_e the sum over both labels
    of the product of the shares in which each rater gives it.

    Args:
        keeps: (faces, 2), True where a rater keeps a face.
    Returns:
        -1..1; None if p_e is 1.
    """
    observed = float((keeps[:, 0] == keeps[:, 1]).mean())
    first, second = keeps.mean(axis=0)
    return _beyond_chance(observed, float(first * second + (1 - first) * (1 - second)))


def fleiss_kappa(keeps: NDArray[np.bool_]) -> float | None:
    """Agreement of several raters beyond chance (Fleiss, "Measuring Nominal Scale Agreement Among Many Raters", 1971).

    The same form as Cohen's, with p_o the mean over faces of the share of pairs of raters that agree, and p_e the sum
    of the squared shares of both labels among all that were given.

    Args:
        keeps: (faces, raters), True where a rater keeps a face; two raters or more.
    Returns:
        -1..1; None if p_e is 1.
    """
    raters = keeps.shape[1]
    counts = np.stack([keeps.sum(axis=1), raters - keeps.sum(axis=1)], axis=1)  # (faces, 2)
    observed = ((counts**2).sum(axis=1) - raters) / (raters * (raters - 1))
    shares = counts.sum(axis=0) / counts.sum()
    return _beyond_chance(float(observed.mean()), float((shares**2).sum()))


def majority(labels: Sequence[Decision]) -> Decision:
    """What more raters say than not, those without a label left out; "" if as many say the one as the other."""
    counts = Counter(labels)
    if counts["keep"] == counts["drop"]:
        return ""
    return "keep" if counts["keep"] > counts["drop"] else "drop"


def _beyond_chance(observed: float, expected: float) -> float | None:
    return None if np.isclose(expected, 1) else (observed - expected) / (1 - expected)
