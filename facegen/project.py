"""Find the latent whose face is most similar to a head in a photo, by optimisation from the encoder's guess."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.arrays import to_tensor
from facegen.errors import ImageError, MissingExtraError, UsageError, WeightsError
from facegen.faces.align import crop_head
from facegen.faces.detect import heads_in_photo
from facegen.media.images import read_image
from facegen.models.dcgan import DCGANGenerator
from facegen.models.efficientnet import STAGE_ENDS, EfficientNetLite, feature_loss, load_efficientnet
from facegen.models.latents import LatentEncoder
from facegen.ops.consistency import resample
from facegen.weights import load_network

STEPS = 100
RATE = 0.1
"""Learning rate of Adam, in standard deviations of z, with a cosine decay to zero."""
FACTORS = (1, 4, 16)
"""Factors by which the heads are shrunk for comparison, with equal weights: texture, features, colours."""
COLOURS = 25.0
"""Weight of the distance of pixels relative to that of features; both have about equal influence."""
PRIOR = 0.1
"""Weight of the mean square of z, 1 for a typical latent. It keeps z where the generator has learned to draw faces."""


@dataclass(frozen=True)
class SearchNetworks:
    """The networks that help a search; None if one is not installed."""

    features: EfficientNetLite | None = None
    encoder: LatentEncoder | None = None
    lacking: str = ""
    """One line on what is missing and why; empty if nothing is."""


@dataclass(frozen=True)
class Projection:
    """The latent found, and the distances of its face and of the first guess to the head, without the prior."""

    z: Tensor
    """(z_dim,) float32."""
    start: Tensor
    """(z_dim,): the encoder's guess, or the mean."""
    start_distance: float
    distance: float
    """0 for the same picture."""


def load_search_networks(generator: str) -> SearchNetworks:
    """Load the feature network and the encoder of a generator, by its name or folder, if they are installed."""
    try:
        features = load_efficientnet("lite0")
    except MissingExtraError as error:
        return SearchNetworks(lacking=f"pixels alone are compared, from the mean face on. {error}")
    try:
        encoder, _ = load_network(f"{generator}-encoder", LatentEncoder)
    except WeightsError as error:
        return SearchNetworks(features, lacking=f"the search begins at the mean face. {error}")
    return SearchNetworks(features, encoder)


def head_in(photo: Path, side: int) -> Tensor:
    """Cut the largest head out of a photo: aligned, (3, side, side) in [0, 1].

    Raises:
        ImageError: if the photo cannot be read or shows no face.
    """
    rgb = read_image(photo).rgb
    heads = heads_in_photo(rgb)
    if not heads:
        raise ImageError(f"{photo}: no face found; choose a photo with an upright face of at least 20 pixels.")
    return to_tensor(crop_head(rgb, heads[0].frame, side))


def project(
    generator: DCGANGenerator,
    head: Tensor,
    networks: SearchNetworks | None = None,
    *,
    steps: int = STEPS,
    progress: Callable[[int], None] = lambda step: None,
) -> Projection:
    """Search for the latent whose face is most similar to a head, by Adam on z; every run finds the same one.

    Args:
        generator: on the CPU, in eval mode.
        head: (3, S, S) in [0, 1], aligned.
        networks: None compares only pixels, and starts at the mean face.
        steps: 0 takes the encoder's guess.
        progress: called after each step with its number, from 1.
    Raises:
        UsageError: if there are fewer than 0 steps.
        WeightsError: if the encoder was trained with a generator that takes latents of another length.
    """
    if steps < 0:
        raise UsageError(f"project: {steps} steps; expected 0 or more.")
    networks, side = networks or SearchNetworks(), generator.config.side
    wanted = resample(head, (side, side))[None]
    start = first_guess(generator, wanted, networks)
    z = start.clone().requires_grad_()
    adam = torch.optim.Adam([z], lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, T_max=max(steps, 1))
    for step in range(1, steps + 1):
        adam.zero_grad()
        loss = distance(generator.draw(z), wanted, networks.features) + PRIOR * z.square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        schedule.step()
        progress(step)
    found = z.detach()
    with torch.inference_mode():
        before, after = (float(distance(generator.draw(at), wanted, networks.features)) for at in (start, found))
    return Projection(found[0], start[0], before, after)


def distance(face: Tensor, wanted: Tensor, features: EfficientNetLite | None) -> Tensor:
    """Measure the distance of two (1, 3, S, S) pictures in [0, 1], in pixels at several scales and in features."""
    pixels = torch.stack([F.l1_loss(F.avg_pool2d(face, n), F.avg_pool2d(wanted, n)) for n in FACTORS]).mean()
    if features is None:
        return COLOURS * pixels
    return COLOURS * pixels + feature_loss(features, face, wanted, weights=(1.0,) * len(STAGE_ENDS))


@torch.no_grad()
def first_guess(generator: DCGANGenerator, head: Tensor, networks: SearchNetworks) -> Tensor:
    """Guess the (1, z_dim) latent of a (1, 3, S, S) head with the encoder; without one it is the mean, zero."""
    z_dim = generator.config.z_dim
    if networks.encoder is None or networks.features is None:
        return torch.zeros(1, z_dim)
    if networks.encoder.config.z_dim != z_dim:
        raise WeightsError(
            f"encoder: guesses latents of {networks.encoder.config.z_dim} numbers, but the generator takes {z_dim}; "
            "take the encoder that was trained with it."
        )
    picture = head * 2 - 1
    mean: Tensor = networks.encoder(picture, networks.features(picture)[-2:])[0]
    if not generator.config.mapped:
        return mean
    offset = (mean - generator.latent_mean).T  # (z_dim, 1): the map's inverse gives z
    z: Tensor = torch.linalg.solve_triangular(generator.latent_factor, offset, upper=False).T
    return z
