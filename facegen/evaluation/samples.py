"""Stage 1: the samples of a generator as a population, beside real pictures that it never saw."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from facegen.errors import UsageError
from facegen.evaluation.pictures import Split
from facegen.evaluation.result import Evaluation, Report, Sheet
from facegen.images import resize
from facegen.landmarks import HEAD_SIDE, faces_in_photo
from facegen.metrics.distribution import (
    diversity,
    frechet_distance,
    kernel_distance,
    nearest_neighbours,
    precision_recall,
)
from facegen.metrics.features import LAYER, Features, pooled_features
from facegen.metrics.protocol import Figure, Protocol, ratio
from facegen.models.efficientnet import load_efficientnet
from facegen.pipeline import FacePipeline
from facegen.sheets import contact_sheet
from facegen.tensors import to_picture
from facegen.training.datasets import load_square

Pictures = NDArray[np.uint8]
SAMPLES, REAL, RATIO = "samples", "kept-out", "ratio"
COLUMNS = (SAMPLES, REAL, RATIO)
NEIGHBOURS = 3
"""k of precision and recall."""
SHOWN, CLOSEST = 64, 16
"""Samples on the first sheet; pairs on the second."""
HALVES_SEED = 0


def evaluate_samples(pipeline: FacePipeline, split: Split, count: int, report: Report) -> Evaluation:
    """Draw seeds 0 to `count` - 1 and measure them.

    The kept-out pictures are cut into halves by a fixed seed. Samples are compared with the one half, in blocks of its
    size, and the other half just so: its figures are the floor that real pictures set.

    Raises:
        UsageError: if there are too few samples or kept-out pictures.
        TrainingError: if no picture can be used.
    """
    least = 2 * (NEIGHBOURS + 1)
    if len(split.kept_out) < least or count < len(split.kept_out) // 2:
        raise UsageError(
            f"{count} samples and {len(split.kept_out)} kept-out pictures: expected at least {least} kept out, and "
            "at least half as many samples; change --samples or --held-out."
        )
    side = pipeline.generator.config.side
    report(f"drawing {count} samples of {side} px")
    drawn = np.stack([to_picture(pipeline.draw(pipeline.latent(seed))) for seed in range(count)])
    report(f"reading {len(split.kept_out)} kept-out and {len(split.training)} training pictures")
    kept, _ = load_square(split.kept_out, side, report)
    trained, _ = load_square(split.training, side, report)
    network = load_efficientnet("lite2").to(pipeline.device)
    report("looking at them with EfficientNet-Lite2")
    features = [pooled_features(network, x, side, device=pipeline.device) for x in (drawn, kept, trained)]
    distances, nearest = nearest_neighbours(features[0], features[2])
    protocol = _protocols(pipeline, split, count, side)
    figures = [
        *_populations(features[0], features[1], protocol),
        _copying(distances, nearest_neighbours(features[1], features[2])[0], protocol(LAYER, count)),
    ]
    report("looking for faces with dlib")
    figures.append(_found(drawn, kept, protocol("dlib's HOG detector on pictures enlarged to 256 px", count)))
    sheets = (_shown(drawn), _closest(drawn, trained, distances, nearest))
    return Evaluation("Samples of stage 1", COLUMNS, tuple(figures), sheets, {})


def _protocols(pipeline: FacePipeline, split: Split, count: int, side: int) -> Callable[[str, int], Protocol]:
    """Makes the protocol of a figure from what looked at the pictures and N."""
    drawn = f"seeds 0-{count - 1}, truncation {pipeline.recipe.truncation:g}"
    resized = f"{side} px, real pictures by Lanczos where of another size"
    text = f"{drawn}; {len(split.kept_out)} kept out, {len(split.training)} trained on: {split.text}"
    return lambda features, n: Protocol(features, n, resized, text, HALVES_SEED)


def _populations(samples: Features, kept: Features, protocol: Callable[[str, int], Protocol]) -> list[Figure]:
    """Distances between populations, at equal N throughout."""
    order = np.random.default_rng(HALVES_SEED).permutation(len(kept))
    n = len(kept) // 2
    reference, floor = kept[order[:n]], kept[order[n : 2 * n]]
    measured = {SAMPLES: _compared(samples, reference), REAL: _compared(floor, reference)}
    wanted = {"Frechet distance": "lower", "Kernel distance": "lower", "Precision": "higher", "Recall": "higher",
              "Diversity (mean pairwise distance)": "ratio 1"}  # fmt: skip
    figures = []
    for index, (name, good) in enumerate(wanted.items()):
        values: dict[str, float | None] = {column: found[index] for column, found in measured.items()}
        values[RATIO] = ratio(measured[SAMPLES][index], measured[REAL][index])
        blocks = f"{LAYER}; mean over blocks of N samples"
        figures.append(Figure(f"{name} (EfficientNet-Lite2)", values, protocol(blocks, n), good))
    return figures


def _compared(features: Features, reference: Features) -> list[float]:
    """Frechet, kernel, precision, recall, diversity: means over blocks of the reference's size."""
    n = len(reference)
    blocks = [features[start : start + n] for start in range(0, len(features) - n + 1, n)]
    rows = [
        (
            frechet_distance(block, reference),
            kernel_distance(block, reference),
            *precision_recall(block, reference, NEIGHBOURS),
            diversity(block),
        )
        for block in blocks
    ]
    return [float(mean) for mean in np.mean(rows, axis=0)]


def _copying(samples: Features, kept: Features, protocol: Protocol) -> Figure:
    low = [float(np.percentile(x, 1)) for x in (samples, kept)]
    values = {SAMPLES: low[0], REAL: low[1], RATIO: ratio(*low)}
    name = "Nearest training picture, 1st percentile of distances (EfficientNet-Lite2)"
    return Figure(name, values, protocol, "ratio over 1")


def _found(drawn: Pictures, kept: Pictures, protocol: Protocol) -> Figure:
    samples, real = (float(np.mean([_has_face(picture) for picture in x])) for x in (drawn, kept))
    return Figure("Share with a face", {SAMPLES: samples, REAL: real, RATIO: ratio(samples, real)}, protocol, "higher")


def _has_face(picture: Pictures) -> bool:
    return bool(faces_in_photo(resize(picture, (HEAD_SIDE, HEAD_SIDE))))


def _shown(drawn: Pictures) -> Sheet:
    shown = drawn[:SHOWN]
    return Sheet(f"Seeds 0 to {len(shown) - 1}, as they come", contact_sheet(list(shown)))


def _closest(drawn: Pictures, trained: Pictures, distances: Features, nearest: NDArray[np.int64]) -> Sheet:
    """The samples that come nearest to a training picture, each left of it."""
    order = np.argsort(distances)[:CLOSEST]
    pairs = [picture for i in order for picture in (drawn[i], trained[nearest[i]])]
    labels = [label for i in order for label in (f"seed {i}", f"{distances[i]:.2f} away")]
    caption = "The samples nearest to a training picture, each beside it"
    return Sheet(caption, contact_sheet(pairs, columns=8, labels=labels))
