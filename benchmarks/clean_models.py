"""Fit the models behind the detectors of `facegen data clean`.

    python -m benchmarks.clean_models --data ../shared/data/portraits768 --small ../shared/data/faces128/varied

Prints the logistic regression of facegen/data/clean/patterns.py, and writes facegen/data/clean/usual.npz, the usual
appearance of eyes and mouths. Uses the choosing half of the people (see benchmarks.clean), and drawings of them by
benchmarks.spoil.
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

COMPONENTS, DRAWN = 16, 120
DRAWINGS = (cartoon, painting, pencil, painting)
RIDGE = 1e-3


def view_of(file: Path) -> View:
    """Prepare a picture for the detectors."""
    rgb = read_image(file).rgb
    return view_crop(rgb, landmarks_in_head(rgb).points)


def drawings_of(files: Sequence[Path]) -> list[View]:
    """Turn every picture into a drawing, at 512 px and at 128 px."""
    rng, found = np.random.default_rng(0), []
    for number, file in enumerate(track(files, "drawing")):
        rgb = resize(read_image(file).rgb, (FINE, FINE))
        points = landmarks_in_head(rgb).points
        drawn = np.ascontiguousarray(DRAWINGS[number % len(DRAWINGS)](rgb, rng))
        found += [view_crop(drawn, points), view_crop(resize(drawn, (128, 128)), points / 4)]
    return found


def logistic(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (D,) and bias of a logistic regression, with a ridge on the standardised weights and balanced classes."""
    mean, spread = x.mean(axis=0), x.std(axis=0)
    scaled = np.column_stack([(x - mean) / spread, np.ones(len(x))])
    balance = np.where(y > 0, 0.5 / (y > 0).mean(), 0.5 / (y < 0).mean())

    def loss(weights: NDArray[np.float64]) -> float:
        return float((balance * np.logaddexp(0, -y * (scaled @ weights))).mean() + RIDGE * weights[:-1] @ weights[:-1])

    weights = minimize(loss, np.zeros(scaled.shape[1])).x
    return np.append(weights[:-1] / spread, weights[-1] - (weights[:-1] / spread) @ mean)


def usual(described: NDArray[np.float64]) -> dict[str, NDArray[np.float32]]:
    """Mean and first principal axes of (N, D) descriptions, and the root mean square distance from these axes."""
    mean = described.mean(axis=0)
    _, sizes, axes = np.linalg.svd(described - mean, full_matrices=False)
    distance = np.sqrt((sizes[COMPONENTS:] ** 2).sum() / len(described))
    parts = {"mean": mean, "axes": axes[:COMPONENTS], "distance": distance}
    return {name: np.asarray(part, dtype=np.float32) for name, part in parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="portraits of 512 px or more")
    parser.add_argument("--small", type=Path, required=True, help="crops of 128 px")
    options = parser.parse_args()
    large, small = (choosing_half(find_pictures([folder])) for folder in (options.data, options.small))
    views = [view_of(file) for file in track([*large, *small[:: max(len(small) // 250, 1)]], "clean")]
    drawn = drawings_of(large[:: max(len(large) // DRAWN, 1)])
    tables = [np.array([list(drawing_features(view).values()) for view in part]) for part in (views, drawn)]
    x, y = np.concatenate(tables), np.repeat([-1.0, 1.0], [len(views), len(drawn)])
    *weights, bias = logistic(x, y).round(3).tolist()
    print(dict(zip(drawing_features(views[0]), weights, strict=True)), "bias", bias)
    parts = {name: usual(np.array([description(view, name) for view in views])) for name in PATCHES}
    arrays = {f"{name}_{key}": value for name, part in parts.items() for key, value in part.items()}
    with replacing(USUAL) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
