"""Measure upscaled portraits against their originals: by pixels, by the features of networks, and by patches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from facegen.arrays import RGB, to_tensor
from facegen.errors import ImageError
from facegen.evaluation import metrics
from facegen.evaluation.features import LAYER, LPIPS, MAPS, Features, PairDistance, pooled_features
from facegen.evaluation.report import ORIGINAL, Figure, Protocol
from facegen.faces.identity import identity, identity_distance
from facegen.faces.landmarks import landmarks_in_head
from facegen.media.images import read_image, resize
from facegen.models.efficientnet import load_efficientnet
from facegen.ops.consistency import low_res_psnr
from facegen.ops.seams import seam_gauge
from facegen.ops.tiling import TilePlan

PATCH, PATCHES, PATCH_SEED = 128, 32, 0
"""For the patch Frechet distance: side of a patch in pixels, patches of a picture, seed of their positions."""
PIXELS, DLIB = "pixels", "dlib's 68 landmarks, found in each picture"
NAMES: dict[str, tuple[str, str, str]] = {
    "psnr": ("PSNR, dB", "higher", PIXELS),
    "ssim": ("SSIM", "higher", "luma"),
    "fit": ("Low-res PSNR, dB", "higher", "pixels, reduced again by area mean"),
    "features": ("Feature distance (EfficientNet-Lite2)", "lower", MAPS),
    "lpips": ("LPIPS", "lower", LPIPS),
    "patches": ("Patch Frechet distance (EfficientNet-Lite2)", "lower", LAYER),
    "identity": ("Identity distance", "lower", "dlib's face recognition ResNet; under 0.6 is the same person"),
    "landmarks": ("Landmark error / eye distance", "lower", DLIB),
    "detail": ("Detail, log10", "0", "luma energy above the low-res Nyquist frequency, over the original's"),
    "nyquist": ("Nyquist peak", "1", "luma spectrum, Nyquist line over its neighbours"),
    "nyquist_energy": ("Nyquist energy", "1", "luma spectrum, Nyquist line over the original's"),
    "seams": ("Seam gauge", "1", "gradients at tile borders over those beside"),
}
"""Key of a figure -> its name, wanted value and features; LPIPS and seams are measured on request."""


@dataclass(frozen=True)
class _Analysis:
    """The feature maps, landmarks and identity of a picture."""

    maps: list[Tensor]
    points: NDArray[np.float64]  # (68, 2), in pixels
    person: NDArray[np.float64]  # (128,)


class PortraitMeter:
    """Measures portraits one by one; all must have the same columns.

    Args:
        device: for EfficientNet-Lite2.
    Raises:
        MissingExtraError: if the package with EfficientNet-Lite2 is not installed.
    """

    def __init__(self, device: str = "cpu", lpips: PairDistance | None = None) -> None:
        self.device, self.lpips = device, lpips
        self.count = 0
        self._network = load_efficientnet("lite2").to(device)
        self.values: dict[str, dict[str, list[float]]] = {}
        """Key of `NAMES` -> column -> value of each portrait so far."""
        self._patches: dict[str, list[Features]] = {}

    def add(self, low_res: Tensor, original: RGB, results: Mapping[str, RGB], plan: TilePlan | None = None) -> None:
        """Measure the next portrait.

        Args:
            low_res: (3, h, w) in [0, 1], as it was upscaled.
            original: (s*h, s*w, 3).
            results: column -> (s*h, s*w, 3), as a file would hold it.
            plan: tiles whose seams are measured.
        """
        self.count += 1
        true, analysis = to_tensor(original), self._analyse(original)
        rng = np.random.default_rng((PATCH_SEED, self.count))
        corners = rng.integers(0, original.shape[0] - PATCH + 1, (PATCHES, 2))
        for column, picture in (*results.items(), (ORIGINAL, original)):
            image = to_tensor(picture)
            found = {"nyquist": metrics.nyquist_peak(image)}
            if plan is not None:
                found["seams"] = seam_gauge(image, plan).mean
            if column != ORIGINAL:
                found |= _compare(image, true, low_res, self._analyse(picture), analysis)
                found |= {} if self.lpips is None else {"lpips": self.lpips(image, true)}
            for key, value in found.items():
                self.values.setdefault(key, {}).setdefault(column, []).append(value)
            patches = np.stack([picture[y : y + PATCH, x : x + PATCH] for y, x in corners])
            features = pooled_features(self._network, patches, PATCH, device=self.device)
            self._patches.setdefault(column, []).append(features)

    def figures(self, resize: str, split: str) -> tuple[Figure, ...]:
        """Average over all portraits so far, at least two; `resize` and `split` are for the protocol.

        The column `ORIGINAL` has only the figures that need no original.
        """
        means = {
            key: {column: float(np.mean(values)) for column, values in columns.items()}
            for key, columns in self.values.items()
        } | {"patches": self._patch_distances()}
        patched = Protocol("", self.count * PATCHES, f"{resize}; patches of {PATCH} px", split, PATCH_SEED)
        whole = Protocol("", self.count, resize, split)
        figures = []
        for key, (name, wanted, features) in NAMES.items():
            if key in means:
                protocol = replace(patched if key == "patches" else whole, features=features)
                figures.append(Figure(name, {**means[key]}, protocol, wanted))
        return tuple(figures)

    def _patch_distances(self) -> dict[str, float]:
        """Measure each column's Frechet distance to the originals' patches (Chai et al. 2022, with Inception)."""
        sets = {column: np.concatenate(features) for column, features in self._patches.items()}
        return {column: metrics.frechet_distance(x, sets[ORIGINAL]) for column, x in sets.items() if column != ORIGINAL}

    def _analyse(self, picture: RGB) -> _Analysis:
        landmarks = landmarks_in_head(picture)
        maps = metrics.feature_maps(self._network, to_tensor(picture).to(self.device))
        return _Analysis(maps, landmarks.points, identity(picture, landmarks))


def read_portrait(file: Path, side: int) -> RGB:
    """Read a portrait, reduced to (side, side, 3) if it is larger; ImageError if it is smaller, or not square."""
    rgb = read_image(file).rgb
    if rgb.shape[0] != rgb.shape[1] or rgb.shape[0] < side:
        raise ImageError(
            f"{file}: {rgb.shape[1]}x{rgb.shape[0]}, expected an aligned square head of at least {side} px; left out."
        )
    return rgb if rgb.shape[0] == side else resize(rgb, (side, side))


def _compare(image: Tensor, original: Tensor, low_res: Tensor, found: _Analysis, true: _Analysis) -> dict[str, float]:
    return {
        "psnr": metrics.psnr(image, original),
        "ssim": metrics.ssim(image, original),
        "fit": low_res_psnr(image, low_res),
        "detail": metrics.detail(image, original, original.shape[-1] // low_res.shape[-1]),
        "nyquist_energy": metrics.nyquist_energy(image, original),
        "features": metrics.map_distance(found.maps, true.maps),
        "identity": identity_distance(found.person, true.person),
        "landmarks": metrics.landmark_error(found.points, true.points),
    }
