"""Light and colour of the face: too dark, blown, without colour, in coloured light."""

from __future__ import annotations

import numpy as np

from facegen.data.clean.view import View

SKIN = np.array([15.3, 16.2])
"""Mean a* and b* of the faces of 749 clean pictures, of all skin colours."""
TO_SPREADS = np.array([[0.311, -0.151], [0.0, 0.190]])
"""From a* and b* to standard deviations of these: the root of the inverse covariance."""
CLIPPED = 252
"""Steps from which a channel is taken for overexposed."""


def brightest(view: View) -> float:
    """Luma in [0, 1] that only 1 % of the face exceeds.

    Dark skin has highlights, and eyes have whites; an underexposed picture has neither.
    """
    return float(np.percentile(view.luma[view.face], 99))


def clipped(view: View) -> float:
    """Share of the face in which at least two channels are overexposed."""
    return float(np.mean((view.rgb[view.face] >= CLIPPED).sum(axis=1) >= 2))


def colour(view: View) -> float:
    """What colour there is besides one that follows from the lightness, in units of L*a*b*.

    Standard deviation of a* and b* in the face after a parabola in L* was fitted to each: near 0 in black and white and
    in every toned print, however brown.
    """
    pixels = view.lab[view.face].astype(np.float64)
    light = pixels[:, 0] / 100
    terms = np.stack([np.ones_like(light), light, light**2], axis=1)
    fitted, *_ = np.linalg.lstsq(terms, pixels[:, 1:], rcond=None)
    return float(np.sqrt(np.mean((pixels[:, 1:] - terms @ fitted) ** 2)))


def cast(view: View) -> float:
    """How far the mean colour of the face is from that of skin, in standard deviations (Mahalanobis)."""
    mean = view.lab[view.face][:, 1:].mean(axis=0)
    return float(np.linalg.norm(TO_SPREADS @ (mean - SKIN)))
