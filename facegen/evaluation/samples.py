"""Evaluate stage 1: compare the samples of generators with real pictures that none of them was trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from facegen.arrays import RGB, to_rgb
from facegen.data.split import Split, load_square, spread
from facegen.errors import UsageError
from facegen.evaluation import metrics
from facegen.evaluation.features import INCEPTION, INCEPTION_SIDE, LAYER, Extractor, Features, pooled_features
from facegen.evaluation.report import Evaluation, Figure, Protocol, Sheet, ratio
from facegen.faces.landmarks import landmarks_in_head
from facegen.media.sheets import contact_sheet
from facegen.models.efficientnet import load_efficientnet
from facegen.pipeline import FacePipeline

Report = Callable[[str], None]
SAMPLES, REAL, TRAINED, RATIO = "samples", "held-out", "training", "ratio"
"""Columns: samples of a single generator, held-out pictures, training pictures (not in the table), quotients."""
NEIGHBOURS = 3
"""k of precision and recall."""
SHOWN, CLOSEST = 64, 16
"""Pictures on a sheet; pairs on the sheet of nearest training pictures."""
FEW = 50
"""A half with fewer pictures is too small to compare generators: shares of 50 have a standard error of up to 0.07."""
HALVES_SEED = 0
FOUND = "dlib's HOG detector on pictures enlarged to 256 px, as the guide's landmarks are found"
LEGEND = (
    f"Columns: the samples of each generator; {REAL}: real pictures measured as the samples are (one half of them "
    f"against the other where N is a half), the floor for any generator; {RATIO}: samples over {REAL}."
)
POPULATIONS = {
    "Frechet distance": "lower",
    "Kernel distance": "lower",
    "Precision": "higher",
    "Recall": "higher",
    "Diversity (mean pairwise distance)": "ratio 1",
}
"""The figures of `_compare`, in its order, and their wanted values."""
Protocols = Callable[[str, int], Protocol]
"""Makes a figure's protocol from its features and N."""


def evaluate_samples(
    pipelines: Mapping[str, FacePipeline], split: Split, count: int, report: Report, inception: Extractor | None = None
) -> Evaluation:
    """Draw seeds 0 to `count` - 1 with every generator and measure them.

    The held-out pictures are split into halves by a fixed seed. Samples are compared with one half, in blocks of its
    size; so is the other half, whose figures are the floor for any generator.

    Args:
        pipelines: column -> the pipeline whose generator draws; a single column is `SAMPLES`.
        split: the split that all generators were trained with.
        inception: computes the features for the FID.
    Raises:
        UsageError: if there are too few samples or held-out pictures, or the generators draw differently.
        TrainingError: if no picture can be used.
    """
    side, latents = _checked(pipelines, split, count)
    drawn = {name: _draw(name, pipeline, count, report) for name, pipeline in pipelines.items()}
    if warning := _small_half_warning(len(split.held_out) // 2):
        report(warning)
    report(f"reading {len(split.held_out)} held-out and {len(split.training)} training pictures")
    held_out, _ = load_square(split.held_out, side, report)
    trained, _ = load_square(split.training, side, report)
    device = next(iter(pipelines.values())).device
    features = _features({**drawn, REAL: held_out, TRAINED: trained}, side, device, report)
    training_features = features.pop(TRAINED)
    nearest = {column: metrics.nearest_neighbours(x, training_features) for column, x in features.items()}
    protocols = _protocols(split, count, side, latents)
    figures = _populations(features, protocols)
    if inception is not None:
        report("looking at them with Inception-v3")
        figures.append(_fid({c: inception(x) for c, x in {**drawn, REAL: held_out}.items()}, protocols))
    figures.append(_nearest({column: x for column, (x, _) in nearest.items()}, protocols(LAYER, count)))
    figures.append(_face_shares({**drawn, REAL: held_out}, protocols(FOUND, count), report))
    sheets = [sheet for name in drawn for sheet in _sheets(name, drawn[name], trained, *nearest[name])]
    sheets.append(Sheet("Held-out pictures", contact_sheet(spread(list(held_out), SHOWN))))
    columns = (*drawn, REAL, *map(_ratio_column, drawn))
    legend = f"{LEGEND} {warning}" if warning else LEGEND
    return Evaluation("Samples of stage 1", columns, tuple(figures), tuple(sheets), {}, legend)


def _checked(pipelines: Mapping[str, FacePipeline], split: Split, count: int) -> tuple[int, str]:
    """Return the generators' side and how they draw latents; a UsageError if these differ, or pictures are too few."""
    least = 2 * (NEIGHBOURS + 1)
    if len(split.held_out) < least or count < len(split.held_out) // 2:
        raise UsageError(
            f"{count} samples and {len(split.held_out)} held-out pictures: expected at least {least} held out, and "
            "at least half as many samples; change --samples or --held-out."
        )
    found = {name: (p.generator.config.side, _latents(p)) for name, p in pipelines.items()}
    if len(set(found.values())) > 1:
        each = ", ".join(f"{name} {side} px at {latents}" for name, (side, latents) in found.items())
        raise UsageError(f"generators of one table must draw alike, found {each}; measure them one by one.")
    return next(iter(found.values()))


def _latents(pipeline: FacePipeline) -> str:
    """Describe how the latents of seeds are drawn."""
    rejection = pipeline.recipe.rejection if pipeline.rating else 0
    rejected = f", {100 * rejection:g} % rejected" if rejection else ""
    return f"truncation {pipeline.recipe.truncation:g}{rejected}"


def _small_half_warning(half: int) -> str:
    """Return a warning if a half has too few pictures to compare generators, else ""."""
    if half >= FEW:
        return ""
    error = 0.5 / half**0.5
    return (
        f"Warning: N = {half} pictures a half are too few to compare generators by: shares such as precision have a "
        f"standard error of up to {error:.2f}. Hold out at least {2 * FEW} pictures (--held-out), and draw as many."
    )


def _draw(name: str, pipeline: FacePipeline, count: int, report: Report) -> RGB:
    """Draw seeds 0 to `count` - 1: (count, side, side, 3)."""
    report(f"{_prefix(name)}drawing {count} samples of {pipeline.generator.config.side} px")
    latents = torch.stack([pipeline.latent(seed) for seed in range(count)])
    return to_rgb(pipeline.draw(latents))


def _features(sets: Mapping[str, RGB], side: int, device: str, report: Report) -> dict[str, Features]:
    network, features = load_efficientnet("lite2").to(device), {}
    for column, pictures in sets.items():
        report(f"looking at {len(pictures)} pictures with EfficientNet-Lite2: {column}")
        features[column] = pooled_features(network, pictures, side, device=device)
    return features


def _protocols(split: Split, count: int, side: int, latents: str) -> Protocols:
    drawn = f"seeds 0-{count - 1}, {latents}"
    resized = f"{side} px, real pictures by Lanczos where of another size"
    text = f"{drawn}; {len(split.held_out)} held out, {len(split.training)} trained on: {split.text}"
    return lambda features, n: Protocol(features, n, resized, text)


def _populations(features: Mapping[str, Features], protocols: Protocols) -> list[Figure]:
    """Measure the distances between populations, all at equal N."""
    n, measured = _against_half(features, _compare)
    protocol = replace(protocols(f"{LAYER}; mean over blocks of N samples", n), seed=HALVES_SEED)
    return [
        Figure(f"{name} (EfficientNet-Lite2)", _with_ratios({c: x[i] for c, x in measured.items()}), protocol, wanted)
        for i, (name, wanted) in enumerate(POPULATIONS.items())
    ]


def _fid(features: Mapping[str, Features], protocols: Protocols) -> Figure:
    """Measure the Frechet distance as in `_populations`, but with the features that papers use."""
    n, measured = _against_half(features, lambda block, half: [metrics.frechet_distance(block, half)])
    protocol = protocols(f"{INCEPTION}; mean over blocks of N samples", n)
    resized = f"{protocol.resize}; then {INCEPTION_SIDE} px, bilinear as TensorFlow 1"
    protocol = replace(protocol, resize=resized, seed=HALVES_SEED)
    values = {column: x[0] for column, x in measured.items()}
    return Figure(f"FID at N = {n} (Inception-v3)", _with_ratios(values), protocol, "lower")


def _against_half(
    features: Mapping[str, Features], compare: Callable[[Features, Features], list[float]]
) -> tuple[int, dict[str, list[float]]]:
    """Compare each column with one half of the real features; the real column is the other half.

    Returns:
        the half's size N, and column -> figures, means over blocks of N.
    """
    real = features[REAL]
    order, n = np.random.default_rng(HALVES_SEED).permutation(len(real)), len(real) // 2
    half = real[order[:n]]
    measured = {}
    for column, x in {**features, REAL: real[order[n : 2 * n]]}.items():
        rows = [compare(x[start : start + n], half) for start in range(0, len(x) - n + 1, n)]
        measured[column] = [float(mean) for mean in np.mean(rows, axis=0)]
    return n, measured


def _compare(block: Features, half: Features) -> list[float]:
    distances = metrics.frechet_distance(block, half), metrics.kernel_distance(block, half)
    return [*distances, *metrics.precision_recall(block, half, NEIGHBOURS), metrics.diversity(block)]


def _nearest(distances: Mapping[str, Features], protocol: Protocol) -> Figure:
    low = {column: float(np.percentile(x, 1)) for column, x in distances.items()}
    name = "Nearest training picture, 1st percentile of distances (EfficientNet-Lite2)"
    return Figure(name, _with_ratios(low), protocol, "ratio over 1")


def _face_shares(sets: Mapping[str, RGB], protocol: Protocol, report: Report) -> Figure:
    report("looking for faces with dlib")
    shares = {column: float(np.mean([landmarks_in_head(x).detected for x in sets[column]])) for column in sets}
    return Figure("Share with a face", _with_ratios(shares), protocol, "higher")


def _with_ratios(values: Mapping[str, float]) -> dict[str, float | None]:
    """Add each generator's value over that of the held-out pictures."""
    ratios = {_ratio_column(column): ratio(value, values[REAL]) for column, value in values.items() if column != REAL}
    return {**values, **ratios}


def _ratio_column(name: str) -> str:
    return RATIO if name == SAMPLES else f"{name} {RATIO}"


def _prefix(name: str) -> str:
    """Name the generator at the start of a line or caption, if there are several."""
    return "" if name == SAMPLES else f"{name}: "


def _sheets(name: str, drawn: RGB, trained: RGB, distances: Features, nearest: NDArray[np.int64]) -> list[Sheet]:
    """Show the first samples, and those nearest to a training picture, with that picture on the right."""
    shown = list(drawn[:SHOWN])
    order = np.argsort(distances)[:CLOSEST]
    pairs = [picture for i in order for picture in (drawn[i], trained[nearest[i]])]
    labels = [label for i in order for label in (f"seed {i}", f"{distances[i]:.2f} away")]
    caption = "The samples nearest to a training picture, each with it on the right"
    return [
        Sheet(f"{_prefix(name)}Seeds 0 to {len(shown) - 1}, not selected", contact_sheet(shown)),
        Sheet(f"{_prefix(name)}{caption}", contact_sheet(pairs, columns=8, labels=labels)),
    ]
