"""What a good picture does not have in its finest detail: noise, JPEG blocks, printed screens and moire."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from facegen.data.clean.view import Grey, View

NOISE_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
PARTS = 32
"""Parts a side of which the flattest are looked at."""
PERIODS = (4.0, 24.0)
"""JPEG's grid of 8 px as crops show it that were shrunk to the half, or enlarged 3 times."""
PADDED = 4096
"""Samples of the spectrum in which the grid is sought."""
STEP = 0.02
"""Second differences of luma count up to here, so that one hard edge does not outweigh a grid."""
SCREEN_FROM = 0.09
"""Cycles per pixel from which a regular pattern is taken for a screen."""


def noise(view: View) -> float:
    """Standard deviation of the grain in the flattest parts, in steps of 255.

    Immerkaer's mask (1996) on luma, mean over parts; the part that a fifth of all stay below, so that hair and cloth
    do not count.
    """
    grain = np.abs(cv2.filter2D(view.fine_luma, -1, NOISE_MASK)) * (255 * np.sqrt(np.pi / 2) / 6)
    return float(np.percentile(cv2.resize(grain, (PARTS, PARTS), interpolation=cv2.INTER_AREA), 20))


def blocks(view: View) -> float:
    """How much a grid of equal period both ways stands out in the second differences of luma.

    Means of |second difference| along every column (row) make a line whose spectrum has peaks at multiples of 1 /
    period. The period is unknown, as crops are resized: the best of all counts, with its first three multiples.
    Unit: the median of the spectrum.
    """
    spectra = [_grid_spectrum(view.fine_luma), _grid_spectrum(view.fine_luma.T)]
    frequencies = np.arange(PADDED // PERIODS[1], PADDED / PERIODS[0]).astype(int)
    combs = [np.mean([spectrum[frequencies * k % PADDED] for k in (1, 2, 3)], axis=0) for spectrum in spectra]
    return float(np.minimum(*combs).max())


def screen(view: View) -> float:
    """How far the strongest regular pattern in the face stands above its neighbours in the spectrum, in decibels.

    Half-tone dots, scan lines and moire are peaks; skin, hair and edges are not.
    """
    side = len(view.fine)
    face = view.fine_luma[side * 3 // 8 : side * 7 // 8, side // 4 : -side // 4]
    window = np.hanning(face.shape[0])[:, None] * np.hanning(face.shape[1])
    power = np.fft.fftshift(np.abs(np.fft.fft2((face - face.mean()) * window)) ** 2)
    level = (10 * np.log10(cv2.blur(power, (3, 3)) + 1e-9)).astype(np.float32)
    around = cv2.blur(cv2.medianBlur(cv2.blur(level, (5, 5)), 5), (21, 21))
    y, x = (np.fft.fftshift(np.fft.fftfreq(length)) for length in face.shape)
    return float((level - around)[np.hypot(y[:, None], x) > SCREEN_FROM].max())


def _grid_spectrum(luma: Grey) -> NDArray[np.float64]:
    """Amplitudes of the columns' mean second difference, over their median; (PADDED,)."""
    second = np.abs(np.diff(luma, n=2, axis=1)).clip(0, STEP).mean(axis=0).astype(np.float64)
    line = second - cv2.blur(second[None], (31, 1))[0]
    amplitudes = np.abs(np.fft.fft(line * np.hanning(len(line)), PADDED))
    return np.asarray(amplitudes / (np.median(amplitudes) + 1e-12))
