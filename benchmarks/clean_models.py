"""Find what the detectors of `facegen data clean` know by heart.

    python -m benchmarks.clean_models --data ../shared/data/portraits768 --small ../shared/data/faces128/varied

Prints the logistic regression of facegen/data/clean/patterns.py, and writes facegen/data/clean/usual.npz, how eyes
and mouths usually look. Uses the choosing half of the people alone (see benchmarks.clean); drawings are made of them by
benchmarks.spoil, at 512 and at 128 px.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from scipy.optimize import minimize

from benchmarks.clean import choosing_half
from benchmarks.spoil import cartoon, painting, pencil
from facegen.data.clean.face import FINE, View, view_crop
from facegen.data.clean.patterns import PATCHES, USUAL, description, drawing_features
from facegen.faces.landmarks import landmarks_in_head
from facegen.files import replacing
from facegen.media.images import find_pictures, read_image, resize

COMPONENTS = 16
DRAWINGS = (cartoon, painting, pencil, painting)
RIDGE = 1e-3


def looked_at(file: Path) -> View:
    """A picture with its landmarks."""
    rgb = read_image(file).rgb
    return view_crop(rgb, landmarks_in_head(rgb).points)


def drawings_of(files: Sequence[Path]) -> list[View]:
    """Every file drawn in one of the ways, at 512 px and at 128 px."""
    rng, found = np.random.default_rng(0), []
    for number, file in enumerate(track(files, "drawing")):
        rgb = resize(read_image(file).rgb, (FINE, FINE))
        points = landmarks_in_head(rgb).points
        drawn = np.ascontiguousarray(DRAWINGS[number % len(DRAWINGS)](rgb, rng))
        found += [view_crop(drawn, points), view_crop(resize(drawn, (128, 128)), points / 4)]
    return found


def logistic(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (D,) and bias of a logistic regression; ridge on the standardised weights; classes weigh the same."""
    mean, spread = x.mean(axis=0), x.std(axis=0)
    scaled = np.column_stack([(x - mean) / spread, np.ones(len(x))])
    balance = np.where(y > 0, 0.5 / (y > 0).mean(), 0.5 / (y < 0).mean())

    def loss(weights: NDArray[np.float64]) -> float:
        return float((balance * np.logaddexp(0, -y * (scaled @ weights))).mean() + RIDGE * weights[:-1] @ weights[:-1])

    weights = minimize(loss, np.zeros(scaled.shape[1])).x
    return np.append(weights[:-1] / spread, weights[-1] - (weights[:-1] / spread) @ mean)


def usual(described: NDArray[np.float64]) -> dict[str, NDArray[np.float32]]:
    """Mean, first principal axes, and the root mean square distance from them, of (N, D) descriptions."""
    mean = described.mean(axis=0)
    _, sizes, axes = np.linalg.svd(described - mean, full_matrices=False)
    distance = np.sqrt((sizes[COMPONENTS:] ** 2).sum() / len(described))
    parts = {"mean": mean, "axes": axes[:COMPONENTS], "distance": distance}
    return {name: np.asarray(part, dtype=np.float32) for name, part in parts.items()}


def main() -> None:
    """Fit and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="portraits of 512 px or more")
    parser.add_argument("--small", type=Path, required=True, help="crops of 128 px")
    parser.add_argument("--drawings", type=int, default=120)
    options = parser.parse_args()
    large, small = (choosing_half(find_pictures([folder])) for folder in (options.data, options.small))
    views = [looked_at(file) for file in track([*large, *small[:: max(len(small) // 250, 1)]], "clean")]
    drawn = drawings_of(large[:: max(len(large) // options.drawings, 1)])
    tables = [np.array([list(drawing_features(view).values()) for view in part]) for part in (views, drawn)]
    x, y = np.concatenate(tables), np.repeat([-1.0, 1.0], [len(views), len(drawn)])
    *weights, bias = logistic(x, y)
    names = drawing_features(views[0])
    print(dict(zip(names, np.round(weights, 3).tolist(), strict=True)), "bias", round(float(bias), 3))
    odds = x @ weights + bias
    print("log-odds, percentiles 0 5 50 95 99 100 of clean and of drawn:")
    print(*(np.percentile(odds[y == kind], [0, 5, 50, 95, 99, 100]).round(2) for kind in (-1, 1)), sep="\n")
    parts = {name: usual(np.array([description(view, name) for view in views])) for name in PATCHES}
    arrays = {f"{name}_{key}": value for name, part in parts.items() for key, value in part.items()}
    with replacing(USUAL) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
