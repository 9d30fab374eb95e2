"""Fit the coefficients of facegen/ops/strength.py, and measure how well it estimates the strength of damage.

    python -m benchmarks.strength --data ../shared/data/portraits768 [--write]

Portraits are shrunk to sides from 48 to 256 px and damaged at strengths from 0 to 1. The coefficients are fitted on
the J-net's training portraits, and measured on the held-out ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from facegen.data.split import split
from facegen.media.images import find_pictures, read_image
from facegen.ops.damage import Float, aged, damage
from facegen.ops.strength import COEFFICIENTS, expanded, features, to_strengths

SIDES = 48, 256
HELD_OUT, CLEAN, OLD, EACH, RIDGE = 60, 0.15, 0.3, 3, 1.0
"""Portraits held out; shares of undamaged and of old ones; pictures made from each portrait; weight of the penalty."""
Array = NDArray[np.float64]


def samples(files: Sequence[Path], seed: int) -> tuple[Array, Array]:
    """Damage portraits; returns the pictures' features and true strengths."""
    found, strengths = [], []
    for number, file in enumerate(track(files, "portraits")):
        portrait = read_image(file).rgb
        for again in range(EACH):
            rng = np.random.default_rng((seed, number, again))
            side = round(SIDES[0] * (SIDES[1] / SIDES[0]) ** rng.random())
            strength = rng.random() * (rng.random() >= CLEAN)
            reduced = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
            small: Float = np.asarray(reduced / 255, np.float32)
            small = aged(small, rng) if rng.random() < OLD else small
            found.append(features(np.rint(damage(small, rng, strength) * 255).astype(np.uint8)))
            strengths.append(strength)
    return np.array(found), np.array(strengths)


def fit(values: Array, strengths: Array) -> dict[str, Array]:
    """Ridge regression on the expanded, standardised features."""
    mean, spread = values.mean(axis=0), values.std(axis=0)
    terms = expanded((values - mean) / spread)
    penalty = RIDGE * np.eye(terms.shape[1])
    return {"mean": mean, "spread": spread, "weights": np.linalg.solve(terms.T @ terms + penalty, terms.T @ strengths)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of aligned portraits")
    parser.add_argument("--write", action="store_true", help=f"write the coefficients to {COEFFICIENTS.name}")
    options = parser.parse_args()
    trained_on, held_out = split(find_pictures([options.data]), HELD_OUT)
    found = fit(*samples(trained_on, seed=0))
    values, strengths = samples(held_out, seed=1)
    estimated = to_strengths(expanded((values - found["mean"]) / found["spread"]) @ found["weights"])
    error = estimated - strengths
    print(f"mean absolute error {np.abs(error).mean():.3f}, correlation {np.corrcoef(estimated, strengths)[0, 1]:.3f}")
    for name, low, high in (
        ("undamaged", 0, 0),
        ("0.01 to 0.2", 0.01, 0.2),
        ("0.2 to 0.4", 0.2, 0.4),
        ("more", 0.4, 1),
    ):
        group = estimated[(strengths >= low) & (strengths <= high)]
        print(f"{name}: {np.mean(group == 0):.0%} are called undamaged; {group.mean():.3f} on average")
    if options.write:
        single = {name: array.astype(np.float32) for name, array in found.items()}
        np.savez(COEFFICIENTS, mean=single["mean"], spread=single["spread"], weights=single["weights"])
        print(COEFFICIENTS)


if __name__ == "__main__":
    main()
