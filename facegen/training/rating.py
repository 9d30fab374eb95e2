"""Teach a `LatentRating` which latents of a generator give poor faces.

The faces of many latents are drawn and compared with real pictures by two measures of their EfficientNet-Lite0
features. The first is a classifier of real and drawn pictures, as in discriminator rejection sampling (Azadi et al.
2019); it is trained after the generator, which therefore never learned to deceive it. The second is the realism score
of Kynkaanniemi et al. 2019, which is low for pictures far from all real ones. Their sum is compared among faces of
similar brightness, so that dark and light skin are rejected equally often. A small network then learns to predict it
from z, so rejection costs nothing when faces are drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegen.arrays import RGB, to_rgb
from facegen.data.split import count_sources, data_config, load_square, spread, training_files
from facegen.errors import TrainingError
from facegen.evaluation.features import pooled_features
from facegen.models.dcgan import DCGANGenerator
from facegen.models.efficientnet import EfficientNetLite, load_efficientnet
from facegen.models.latents import LatentRating, RatingConfig
from facegen.ops.color import WEIGHTS
from facegen.weights import RATING_SUFFIX, Card, find_weights, load_network, save_weights

Report = Callable[[str], None]
BATCH = 32
"""Faces drawn at a time."""
NEIGHBOUR = 3
"""The radius of a real picture is the distance to its third nearest neighbour."""
MOST_RADIUS = 0.95
"""Quantile of the radii that larger ones are clamped to: an isolated picture says nothing about the space around it."""
MOST_REAL = 5000
"""Real pictures that the realism score uses, spread over all sources."""
LEAST_REAL = 4 * NEIGHBOUR
SIMILAR = 1001
"""Faces of similar brightness that a face is compared with; odd."""
CLASSIFIER_STEPS, CLASSIFIER_BATCH, CLASSIFIER_WIDTH = 1500, 64, 256
RATING_EPOCHS, RATING_BATCH, RATING_DROPOUT = 10, 256, 0.3
UNSEEN = 0.1
"""Share of the drawn faces kept for measuring the rating."""
LEVEL_LATENTS = 50_000
CLAMPED = 3.0
"""Measures are clamped to this many standard deviations."""


@dataclass(frozen=True)
class Rated:
    """A rating, and how well it predicts the measures."""

    rating: LatentRating
    correlation: float
    """Correlation of predicted and measured values, over faces that it did not learn from."""
    ranked: RGB
    """These faces, (N, side, side, 3), the lowest rated first."""


def publish_rating(
    weights: str, data: Path, out: Path | None, count: int, device: str, report: Report
) -> tuple[Rated, Path]:
    """Learn the rating of a published generator, and write it beside the generator's folder, or into `out`.

    Args:
        weights: the generator, as `find_weights`.
        data: the folder of its training pictures; those held out by its recipe are not used.
        count: number of faces to draw.
    Returns:
        the rating and its folder.
    Raises:
        WeightsError: if the weights are missing, or not those of a generator.
        TrainingError: if there are too few pictures.
    """
    generator, card = load_network(weights, DCGANGenerator)
    folder = find_weights(weights)
    real, files = load_square(training_files(data, data_config(folder, {})), generator.config.side, report)
    if len(real) < LEAST_REAL:
        raise TrainingError(f"--data {data}: {len(real)} pictures to compare with, expected at least {LEAST_REAL}.")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        rated = learn_rating(generator.to(device), real, torch.randn(count, generator.config.z_dim), report)
    measured = f"{rated.correlation:.2f} (facegen rate {card.name} --data {data} --faces {count})"
    rating_card = Card(
        name=card.name + RATING_SUFFIX,
        kind="rating",
        sha256="",
        config=rated.rating.config.model_dump(mode="json"),
        recipe=card.recipe,
        images_seen=count,
        sources=tuple(f"{source}: {number}" for source, number in sorted(count_sources(files).items())),
        licence=card.licence,
        limits=f"Rates latents of {card.name}, and of no other generator. Rare faces are rated low more often.",
        metrics={"correlation of predicted and measured quality": measured},
    )
    target = (out or folder.parent) / rating_card.name
    save_weights(target, rated.rating, rating_card)
    return rated, target


def learn_rating(generator: DCGANGenerator, real: RGB, z: Tensor, report: Report) -> Rated:
    """Draw faces of (N, z_dim) latents, compare them with (M, side, side, 3) real pictures, and learn to predict the
    result from z.

    Everything runs on the generator's device; the returned rating is on the processor.
    """
    device = next(generator.parameters()).device
    features = load_efficientnet("lite0").to(device)
    report(f"looking at {len(real)} real pictures")
    real_features = _features(features, real)
    report(f"drawing {len(z)} faces, and looking at them")
    faces = _draw(generator, z.to(device))
    mean, deviation = real_features.mean(0), real_features.std(0) + 1e-6
    wanted, drawn = (real_features - mean) / deviation, (_features(features, faces) - mean) / deviation
    report("comparing them")
    some = wanted[spread(range(len(wanted)), MOST_REAL)]
    quality = _standardise(likelihood(drawn, wanted)) + _standardise(realism(drawn, some))
    quality = among_similar(quality, brightness(faces).to(device))
    rating, unseen = fit_rating(z.to(device), quality)
    predicted = rating(z[unseen].to(device))
    order = unseen[predicted.argsort().cpu()]
    correlation = float(torch.corrcoef(torch.stack([predicted, quality[unseen.to(device)]]))[0, 1])
    return Rated(rating.cpu(), correlation, ranked=faces[order.numpy()])


def brightness(faces: RGB) -> Tensor:
    """Mean luma, (N,) from 0 to 255, of the middle of (N, side, side, 3) aligned faces: cheeks, nose and mouth."""
    side = faces.shape[1]
    middle = faces[:, round(0.4 * side) : round(0.75 * side), round(0.3 * side) : round(0.7 * side)]
    return torch.from_numpy(middle.mean(axis=(1, 2)) @ np.array(WEIGHTS)).float()


def among_similar(values: Tensor, by: Tensor) -> Tensor:
    """Standardise each of (N,) values among the `SIMILAR` ones that are nearest in the order of `by`, and clamp."""
    near = min(SIMILAR, (len(values) - 1) // 2 * 2 + 1)
    order = by.argsort()

    def mean(x: Tensor) -> Tensor:
        padded = F.pad(x[None, None], (near // 2, near // 2), mode="replicate")
        return F.avg_pool1d(padded, near, stride=1)[0, 0]

    offset = values[order] - mean(values[order])
    standardised = torch.empty_like(values)
    standardised[order] = offset / mean(offset.square()).sqrt().clamp(min=1e-6)
    return standardised.clamp(-CLAMPED, CLAMPED)


def likelihood(drawn: Tensor, real: Tensor) -> Tensor:
    """Logits, (N,), of a classifier of real and drawn pictures: higher is more real.

    Two classifiers are each trained on one half of the pictures and applied to the other half.

    Args:
        drawn: (N, D) features, standardised by the real ones.
        real: (M, D).
    """
    logits = torch.empty(len(drawn), device=drawn.device)
    for half in (0, 1):
        logits[half::2] = _classifier(drawn[1 - half :: 2], real[1 - half :: 2])(drawn[half::2])[:, 0]
    return logits


def _classifier(drawn: Tensor, real: Tensor) -> nn.Module:
    """Train a classifier of features with the logistic loss; its logits are higher for real pictures."""
    width = CLASSIFIER_WIDTH
    network = nn.Sequential(
        nn.Dropout(0.2), nn.Linear(drawn.shape[1], width), nn.GELU(), nn.Dropout(0.5), nn.Linear(width, 1)
    ).to(drawn.device)
    optimizer = torch.optim.AdamW(network.parameters(), 5e-4, weight_decay=0.1)
    for _ in range(CLASSIFIER_STEPS):
        real_logits, drawn_logits = (network(x[torch.randint(len(x), (CLASSIFIER_BATCH,))]) for x in (real, drawn))
        loss = F.softplus(-real_logits).mean() + F.softplus(drawn_logits).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval().requires_grad_(False)


def realism(drawn: Tensor, real: Tensor) -> Tensor:
    """Logarithm of the realism score (Kynkaanniemi et al. 2019, eq. 3): (N,) for (N, D) features and (M, D) real ones.

    It is above 0 if the picture lies within the radius of a real one.
    """
    radius = torch.cdist(real, real).kthvalue(NEIGHBOUR + 1, dim=1).values  # the nearest is the picture itself
    radius = radius.clamp(max=radius.quantile(MOST_RADIUS))
    scores = [(radius / torch.cdist(part, real).clamp(min=1e-6)).amax(dim=1) for part in torch.split(drawn, 2000)]
    return torch.cat(scores).clamp(min=1e-6).log()


def fit_rating(z: Tensor, quality: Tensor) -> tuple[LatentRating, Tensor]:
    """Train a rating to predict (N,) standardised values from (N, z_dim) latents.

    Returns:
        the rating in eval mode, and the rows, on the processor, that it was not trained on.
    """
    rows = torch.randperm(len(z))
    unseen, seen = torch.split(rows, [round(UNSEEN * len(z)), len(z) - round(UNSEEN * len(z))])
    rating = LatentRating(RatingConfig(z_dim=z.shape[1]), dropout=RATING_DROPOUT).to(z.device)
    optimizer = torch.optim.AdamW(rating.parameters(), weight_decay=0.05)
    batches = RATING_EPOCHS * len(torch.split(seen, RATING_BATCH))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=batches)
    for _ in range(RATING_EPOCHS):
        for batch in torch.split(seen[torch.randperm(len(seen))], RATING_BATCH):
            loss = F.mse_loss(rating(z[batch]), quality[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    rating.eval().requires_grad_(False).learn_levels(torch.randn(LEVEL_LATENTS, z.shape[1]).to(z.device))
    return rating, unseen


def _features(network: EfficientNetLite, pictures: RGB) -> Tensor:
    """Pooled features, (N, D), of (N, side, side, 3) pictures, on the network's device."""
    device = next(network.parameters()).device
    features = pooled_features(network, pictures, pictures.shape[1], device=str(device))
    return torch.from_numpy(features).float().to(device)


def _draw(generator: DCGANGenerator, z: Tensor) -> RGB:
    """Draw the faces, (N, side, side, 3), of (N, z_dim) latents."""
    faces = np.empty((len(z), generator.config.side, generator.config.side, 3), np.uint8)
    with torch.inference_mode():
        for start in range(0, len(z), BATCH):
            faces[start : start + BATCH] = to_rgb(generator.draw(z[start : start + BATCH]))
    return faces


def _standardise(values: Tensor) -> Tensor:
    """Shift and scale to mean 0 and standard deviation 1, and clamp."""
    return ((values - values.mean()) / values.std().clamp(min=1e-6)).clamp(-CLAMPED, CLAMPED)
