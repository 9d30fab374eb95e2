"""Stage 2: kept-out portraits, reduced and raised again, beside bicubic and Lanczos enlargement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from facegen.errors import ImageError, UsageError
from facegen.evaluation.result import Evaluation, Report, Sheet
from facegen.images import read_image, resize
from facegen.landmarks import landmarks_in_head
from facegen.metrics.distribution import frechet_distance
from facegen.metrics.features import LAYER, MAPS, pooled_features
from facegen.metrics.identity import identity, identity_distance
from facegen.metrics.paired import detail, feature_maps, landmark_error, map_distance, nyquist_peak, psnr, ssim
from facegen.metrics.protocol import Figure, Protocol, ratio
from facegen.metrics.published import LPIPS, PairDistance
from facegen.models.efficientnet import EfficientNetLite, load_efficientnet
from facegen.ops.consistency import downsample_area, low_res_psnr
from facegen.ops.seams import seam_gauge
from facegen.ops.tiling import TilePlan
from facegen.pipeline import FacePipeline
from facegen.sheets import contact_sheet
from facegen.tensors import to_picture, to_tensor

Picture = NDArray[np.uint8]
LOW = 96
"""Side, in pixels, that portraits are reduced to."""
OURS, BICUBIC, LANCZOS, ORIGINAL, RATIO = "facegen", "bicubic", "lanczos", "original", "to bicubic"
COLUMNS = (OURS, BICUBIC, LANCZOS, ORIGINAL, RATIO)
LEGEND = (
    f"Columns: what {OURS} made of the reduced portraits; {BICUBIC} and {LANCZOS}: the same enlarged by interpolation; "
    f"{ORIGINAL}: the portraits before reduction; {RATIO}: {OURS} over {BICUBIC}."
)
PATCH, PATCHES, PATCH_SEED = 128, 32, 0
"""Side of the patches of the patch Frechet distance, in pixels; how many a picture gives; what places them."""
SHOWN, SHOWN_SIDE = 12, 320
PIXELS, DLIB = "pixels", "dlib's 68 landmarks, found in each picture"
NAMES: dict[str, tuple[str, str, str]] = {
    "psnr": ("PSNR, dB", "higher", PIXELS),
    "ssim": ("SSIM", "higher", "luma"),
    "fit": (f"Low-res PSNR at {LOW} px, dB", "higher", PIXELS),
    "features": ("Feature distance (EfficientNet-Lite2)", "lower", MAPS),
    "lpips": ("LPIPS", "lower", LPIPS),
    "patches": ("Patch Frechet distance (EfficientNet-Lite2)", "lower", LAYER),
    "identity": ("Identity distance", "lower", "dlib's face recognition ResNet; under 0.6 is the same person"),
    "landmarks": ("Landmark error / eye distance", "lower", DLIB),
    "detail": ("Detail, log10", "0", "luma energy above the low-res Nyquist frequency, over the original's"),
    "nyquist": ("Nyquist peak", "1", "luma spectrum, Nyquist line over its neighbours"),
    "seams": ("Seam gauge", "1", "gradients at tile borders over those beside"),
}
"""Figure -> its name, what a good value is, and what looked at the pictures; LPIPS only where it is at hand."""
RELATIVE = ("features", "lpips", "patches", "identity", "landmarks")
"""Figures whose ratio to bicubic's is given."""


@dataclass(frozen=True)
class Portrait:
    """One portrait and what became of its reduction."""

    low: Tensor
    """(3, 96, 96)."""
    plan: TilePlan
    results: dict[str, Picture]
    """Column -> (S, S, 3), as a file would hold it; the original among them."""


@dataclass(frozen=True)
class Seen:
    """What networks see in a picture."""

    maps: list[Tensor]
    points: NDArray[np.float64]
    """(68, 2), in pixels."""
    person: NDArray[np.float64]
    """(128,)."""


def evaluate_portraits(
    pipeline: FacePipeline, files: Sequence[Path], split: str, report: Report, lpips: PairDistance | None = None
) -> Evaluation:
    """Measure the pipeline on aligned portraits.

    Args:
        files: portraits of at least 96 px times the pipeline's scale; others are passed over and reported.
        split: how they were chosen, for the protocol.
        lpips: measures LPIPS; without it there is none.
    Raises:
        UsageError: if fewer than two can be used.
    """
    network = load_efficientnet("lite2").to(pipeline.device)
    rows: list[dict[str, dict[str, float]]] = []
    shown: list[Picture] = []
    features: dict[str, list[NDArray[np.float64]]] = {}
    for number, file in enumerate(files, start=1):
        report(f"portrait {number} of {len(files)}: {file.name}")
        try:
            portrait = _raise(pipeline, file)
        except ImageError as error:
            report(str(error))
            continue
        rows.append(_measure(network, portrait, pipeline.device, lpips))
        for column, patches in _patches(portrait, len(rows)).items():
            features.setdefault(column, []).append(pooled_features(network, patches, PATCH, device=pipeline.device))
        if len(rows) <= SHOWN:
            columns = (BICUBIC, OURS, ORIGINAL)
            shown += [resize(portrait.results[c], (SHOWN_SIDE, SHOWN_SIDE)) for c in columns]
    if len(rows) < 2:
        raise UsageError(f"{len(rows)} of {len(files)} portraits could be used, expected at least 2; give more.")
    side = LOW * pipeline.scale
    how = f"{LOW} px by area mean, 8 bits, raised to {side} px"
    figures = _figures(_means(rows) | {"patches": _patch_distances(features)}, len(rows), how, split)
    sheet = Sheet("Bicubic, facegen, original", contact_sheet(shown, columns=6))
    return Evaluation("Portraits raised by stage 2", COLUMNS, figures, (sheet,), {}, LEGEND)


def _raise(pipeline: FacePipeline, file: Path) -> Portrait:
    """Reduce a portrait, and raise it in every way.

    Raises:
        ImageError: if it cannot be read, is not square, or is too small.
    """
    side = LOW * pipeline.scale
    rgb = read_image(file).rgb
    if rgb.shape[0] != rgb.shape[1] or rgb.shape[0] < side:
        raise ImageError(
            f"{file}: {rgb.shape[1]}x{rgb.shape[0]}, expected an aligned square head of at least {side} px; left out."
        )
    original = rgb if rgb.shape[0] == side else resize(rgb, (side, side))
    low_rgb = to_picture(downsample_area(to_tensor(original), (LOW, LOW)))
    low = to_tensor(low_rgb)
    raised = pipeline(low, side)
    bicubic = F.interpolate(low[None], size=(side, side), mode="bicubic", align_corners=False)[0]
    results = {
        OURS: to_picture(raised.image),
        BICUBIC: to_picture(bicubic),
        LANCZOS: resize(low_rgb, (side, side)),
        ORIGINAL: original,
    }
    return Portrait(low, raised.plan, results)


def _measure(
    network: EfficientNetLite, portrait: Portrait, device: str, lpips: PairDistance | None
) -> dict[str, dict[str, float]]:
    """Column -> figure -> value; of the original, only the figures that compare it with nothing."""
    original = portrait.results[ORIGINAL]
    true, seen = to_tensor(original), _look(network, original, device)
    found = {}
    for column, picture in portrait.results.items():
        image = to_tensor(picture)
        found[column] = {"nyquist": nyquist_peak(image), "seams": seam_gauge(image, portrait.plan).mean}
        if column != ORIGINAL:
            found[column] |= _compare(image, true, portrait.low) | _compare_seen(_look(network, picture, device), seen)
            found[column] |= {} if lpips is None else {"lpips": lpips(image, true)}
    return found


def _look(network: EfficientNetLite, picture: Picture, device: str) -> Seen:
    landmarks = landmarks_in_head(picture)
    return Seen(feature_maps(network, to_tensor(picture).to(device)), landmarks.points, identity(picture, landmarks))


def _compare(image: Tensor, true: Tensor, low: Tensor) -> dict[str, float]:
    return {
        "psnr": psnr(image, true),
        "ssim": ssim(image, true),
        "fit": low_res_psnr(image, low),
        "detail": detail(image, true, true.shape[-1] // low.shape[-1]),
    }


def _compare_seen(found: Seen, true: Seen) -> dict[str, float]:
    return {
        "features": map_distance(found.maps, true.maps),
        "identity": identity_distance(found.person, true.person),
        "landmarks": landmark_error(found.points, true.points),
    }


def _patches(portrait: Portrait, number: int) -> dict[str, Picture]:
    """Column -> (PATCHES, PATCH, PATCH, 3), cut at the same random places from each result."""
    rng = np.random.default_rng((PATCH_SEED, number))
    side = portrait.results[ORIGINAL].shape[0]
    corners = rng.integers(0, side - PATCH + 1, (PATCHES, 2))
    return {
        column: np.stack([picture[y : y + PATCH, x : x + PATCH] for y, x in corners])
        for column, picture in portrait.results.items()
    }


def _patch_distances(features: dict[str, list[NDArray[np.float64]]]) -> dict[str, float]:
    """Column -> Frechet distance of its patches to the originals' (Chai et al. 2022, there with Inception)."""
    real = np.concatenate(features[ORIGINAL])
    return {c: frechet_distance(np.concatenate(x), real) for c, x in features.items() if c != ORIGINAL}


def _means(rows: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Figure -> column -> mean over portraits."""
    keys = [key for key in NAMES if key in rows[0][OURS]]
    columns = rows[0].keys()
    return {
        key: {c: float(np.mean([row[c][key] for row in rows])) for c in columns if key in rows[0][c]} for key in keys
    }


def _figures(means: dict[str, dict[str, float]], count: int, how: str, split: str) -> tuple[Figure, ...]:
    figures = []
    for key in (key for key in NAMES if key in means):
        (name, wanted, looked), patches = NAMES[key], key == "patches"
        values: dict[str, float | None] = {**means[key]}
        if key in RELATIVE:
            values[RATIO] = ratio(means[key][OURS], means[key][BICUBIC])
        resized = f"{how}; patches of {PATCH} px" if patches else how
        number = count * PATCHES if patches else count
        protocol = Protocol(looked, number, resized, split, PATCH_SEED if patches else None)
        figures.append(Figure(name, values, protocol, wanted))
    return tuple(figures)
