"""Teach a `LatentRating` which latents of a generator give poor faces, by comparing its faces with real pictures.

Discriminator rejection sampling (Azadi et al. 2019) draws again where a discriminator finds a picture unlikely. Here it
is a classifier of what EfficientNet-Lite0 sees in real and in drawn pictures, fitted after the generator's training, so
it has learned nothing of the generator's attempts to please it. Added to it is the realism score of Kynkaanniemi et al.
2019, which is low where no real picture is near. Both look at pictures; a small network learns to guess them from z, so
that rejection costs nothing when faces are drawn.
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
from facegen.weights import RATING_SUFFIX, Card, find_weights, load_network, save_weights

Tell = Callable[[str], None]
BATCH = 32
"""Faces drawn at a time."""
NEIGHBOUR = 3
"""A real picture reaches as far as its third nearest neighbour among the real ones."""
LONELY = 0.95
"""Quantile of these reaches that the others are cut to: a picture without neighbours says nothing of the space."""
MOST_REAL = 5000
"""Real pictures that the realism score looks at, of every source its share."""
LEAST_REAL = 4 * NEIGHBOUR
CLASSIFIER_STEPS, CLASSIFIER_BATCH, CLASSIFIER_WIDTH = 1500, 64, 256
RATING_EPOCHS, RATING_BATCH, RATING_DROPOUT = 10, 256, 0.3
UNSEEN = 0.1
"""Share of the drawn faces that the rating does not learn from, but is measured on."""
LEVEL_LATENTS = 50_000
CLAMPED = 3.0
"""Standard deviations that either measure counts at most."""


@dataclass(frozen=True)
class Rated:
    """A rating, and how well it guesses."""

    rating: LatentRating
    correlation: float
    """Of the guesses with what they are guesses of, over faces that it did not learn from."""
    ranked: RGB
    """These faces, (N, side, side, 3), in the order of their ratings, the worst first."""


def publish_rating(
    weights: str, data: Path, out: Path | None, count: int, device: str, tell: Tell
) -> tuple[Rated, Path]:
    """Learn the rating of a published generator, and write it beside the generator's folder, or into `out`.

    Args:
        weights: the generator, as `find_weights`.
        data: the folder of its training pictures; those that its recipe kept out are not looked at.
        count: faces to draw.
    Returns:
        the rating, and its folder.
    Raises:
        WeightsError: if the weights are missing, or no generator's.
        TrainingError: if there are too few pictures.
    """
    generator, card = load_network(weights, DCGANGenerator)
    home = find_weights(weights)
    real, files = load_square(training_files(data, data_config(home, {})), generator.config.side, tell)
    if len(real) < LEAST_REAL:
        raise TrainingError(f"--data {data}: {len(real)} pictures to compare with, expected at least {LEAST_REAL}.")
    rated = learn_rating(generator.to(device), real, count, tell)
    measured = f"{rated.correlation:.2f} (facegen rate {card.name} --data {data} --faces {count})"
    own = Card(
        name=card.name + RATING_SUFFIX,
        kind="rating",
        sha256="",
        config=rated.rating.config.model_dump(mode="json"),
        recipe=card.recipe,
        images_seen=count,
        sources=tuple(f"{source}: {number}" for source, number in sorted(count_sources(files).items())),
        licence=card.licence,
        limits=f"Rates latents of {card.name}, and of no other generator. What is rare is rated low more often.",
        metrics={"correlation with what it guesses": measured},
    )
    folder = (out or home.parent) / own.name
    save_weights(folder, rated.rating, own)
    return rated, folder


def learn_rating(generator: DCGANGenerator, real: RGB, count: int, tell: Tell, *, seed: int = 0) -> Rated:
    """Draw `count` faces, compare them with real pictures, (N, side, side, 3), and learn to guess the result from z.

    Everything runs on the generator's device; the rating returned is on the processor.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _learned(generator, real, torch.randn(count, generator.config.z_dim), tell)


def _learned(generator: DCGANGenerator, real: RGB, z: Tensor, tell: Tell) -> Rated:
    device = next(generator.parameters()).device
    features, side = load_efficientnet("lite0").to(device), generator.config.side
    tell(f"looking at {len(real)} real pictures")
    known = _look(features, real, side)
    tell(f"drawing {len(z)} faces, and looking at them")
    drawn, faces = _drawn(generator, features, z.to(device))
    mean, deviation = known.mean(0), known.std(0) + 1e-6
    known, drawn = (known - mean) / deviation, (drawn - mean) / deviation
    tell("comparing them")
    compared = known[spread(range(len(known)), MOST_REAL)]
    plausible = _standard(_standard(likelihood(drawn, known)) + _standard(realism(drawn, compared)))
    rating, unseen = fit_rating(z.to(device), plausible)
    guesses = rating(z[unseen].to(device))
    order = unseen[guesses.argsort().cpu()]
    correlation = float(torch.corrcoef(torch.stack([guesses, plausible[unseen.to(device)]]))[0, 1])
    return Rated(rating.cpu(), correlation, ranked=faces[order.numpy()])


def likelihood(drawn: Tensor, real: Tensor) -> Tensor:
    """How real a classifier finds drawn pictures: (N,) logits of (N, D) features, standardised by (M, D) real ones'.

    Two classifiers are trained on a half of the pictures each, and asked of the other half.
    """
    found = torch.empty(len(drawn), device=drawn.device)
    for half in (0, 1):
        found[half::2] = _classifier(drawn[1 - half :: 2], real[1 - half :: 2])(drawn[half::2])[:, 0]
    return found


def _classifier(drawn: Tensor, real: Tensor) -> nn.Module:
    """Train a classifier of features by the logistic loss; higher is real."""
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
    """Logarithm of the realism score (Kynkaanniemi et al. 2019, eq. 3): (N,) of (N, D) features and (M, D) real ones.

    Above 0 where a picture lies within the reach of a real one.
    """
    reach = torch.cdist(real, real).kthvalue(NEIGHBOUR + 1, dim=1).values  # the nearest is the picture itself
    reach = reach.clamp(max=reach.quantile(LONELY))
    scores = [(reach / torch.cdist(part, real).clamp(min=1e-6)).amax(dim=1) for part in torch.split(drawn, 2000)]
    return torch.cat(scores).clamp(min=1e-6).log()


def fit_rating(z: Tensor, plausible: Tensor) -> tuple[LatentRating, Tensor]:
    """Teach a rating to guess (N,) standardised values from (N, z_dim) latents.

    Returns:
        the rating in eval mode, and the rows, on the processor, that it did not learn from.
    """
    rows = torch.randperm(len(z))
    unseen, seen = torch.split(rows, [round(UNSEEN * len(z)), len(z) - round(UNSEEN * len(z))])
    rating = LatentRating(RatingConfig(z_dim=z.shape[1]), dropout=RATING_DROPOUT).to(z.device)
    optimizer = torch.optim.AdamW(rating.parameters(), weight_decay=0.05)
    batches = RATING_EPOCHS * len(torch.split(seen, RATING_BATCH))
    course = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=batches)
    for _ in range(RATING_EPOCHS):
        for batch in torch.split(seen[torch.randperm(len(seen))], RATING_BATCH):
            loss = F.mse_loss(rating(z[batch]), plausible[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            course.step()
    rating.eval().requires_grad_(False).learn_levels(torch.randn(LEVEL_LATENTS, z.shape[1]).to(z.device))
    return rating, unseen


def _look(features: EfficientNetLite, pictures: RGB, side: int) -> Tensor:
    device = next(features.parameters()).device
    return torch.from_numpy(pooled_features(features, pictures, side, device=str(device))).float().to(device)


def _drawn(generator: DCGANGenerator, features: EfficientNetLite, z: Tensor) -> tuple[Tensor, RGB]:
    """The features of the faces of (N, z_dim) latents, (N, D), and the faces, (N, side, side, 3)."""
    side = generator.config.side
    faces = np.empty((len(z), side, side, 3), np.uint8)
    with torch.inference_mode():
        for start in range(0, len(z), BATCH):
            faces[start : start + BATCH] = to_rgb(generator.draw(z[start : start + BATCH]))
    return _look(features, faces, side), faces


def _standard(values: Tensor) -> Tensor:
    """Shift and scale to mean 0 and deviation 1, and clamp."""
    return ((values - values.mean()) / values.std().clamp(min=1e-6)).clamp(-CLAMPED, CLAMPED)
