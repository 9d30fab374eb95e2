"""Losses, regularisers and their weights over time as small functions: means over the batch, float32.

A discriminator answers with one tensor of logits per head; each loss is averaged over places, then over heads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from facegen.errors import ShapeError


def logistic_discriminator(real: Sequence[Tensor], fake: Sequence[Tensor], real_label: float = 1.0) -> Tensor:
    """-log D(x) - log(1 - D(G(z))), where D is the sigmoid of a logit (Goodfellow et al. 2014).

    It is the cross-entropy against the labels `real_label` and 0; a `real_label` below 1 is one-sided label smoothing
    (Salimans et al. 2016), -a log D(x) - (1 - a) log(1 - D(x)) for the real ones.
    """
    return _mean([_cross_entropy(r, real_label) + _cross_entropy(f, 0.0) for r, f in zip(real, fake, strict=True)])


def minimax_generator(fake: Sequence[Tensor]) -> Tensor:
    """log(1 - D(G(z))), the other side of the same game; flat where D is sure of itself (Goodfellow et al. 2014)."""
    return _mean([-F.softplus(f.float()).mean() for f in fake])


def non_saturating_generator(fake: Sequence[Tensor]) -> Tensor:
    """-log D(G(z)): the same fixed point, but steep where D is sure (Goodfellow et al. 2014)."""
    return _mean([F.softplus(-f.float()).mean() for f in fake])


def least_squares_discriminator(real: Sequence[Tensor], fake: Sequence[Tensor], real_label: float = 1.0) -> Tensor:
    """(D(x) - real_label)^2 / 2 + D(G(z))^2 / 2, on the logits themselves (Mao et al. 2017)."""
    pairs = zip(real, fake, strict=True)
    return _mean([((r.float() - real_label).square().mean() + f.float().square().mean()) / 2 for r, f in pairs])


def least_squares_generator(fake: Sequence[Tensor]) -> Tensor:
    """(D(G(z)) - 1)^2 / 2 (Mao et al. 2017)."""
    return _mean([(f.float() - 1).square().mean() / 2 for f in fake])


def hinge_discriminator(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Hinge loss of a discriminator (Lim & Ye 2017), averaged over its heads."""
    losses = [F.relu(1 - r.float()).mean() + F.relu(1 + f.float()).mean() for r, f in zip(real, fake, strict=True)]
    return _mean(losses)


def hinge_generator(fake: Sequence[Tensor]) -> Tensor:
    """Minus the mean logit, averaged over the heads."""
    return _mean([-f.float().mean() for f in fake])


def wasserstein_discriminator(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """D(G(z)) - D(x), without a lower bound (Arjovsky et al. 2017); wants a `gradient_penalty` beside it."""
    return _mean([f.float().mean() - r.float().mean() for r, f in zip(real, fake, strict=True)])


def wasserstein_generator(fake: Sequence[Tensor]) -> Tensor:
    """-D(G(z)) (Arjovsky et al. 2017): what hinge's generator descends, too."""
    return hinge_generator(fake)


@dataclass(frozen=True)
class AdversarialLoss:
    """The two sides of a game."""

    discriminator: Callable[[Sequence[Tensor], Sequence[Tensor], float], Tensor]
    """Of the logits of real and of drawn pictures, one tensor per head, and the real pictures' label."""
    generator: Callable[[Sequence[Tensor]], Tensor]
    """Of the logits of drawn pictures."""
    labels: bool
    """Whether there are labels to smooth; without, the discriminator's third argument changes nothing."""


def _without_label(
    loss: Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor],
) -> Callable[[Sequence[Tensor], Sequence[Tensor], float], Tensor]:
    return lambda real, fake, _: loss(real, fake)


ADVERSARIAL: dict[str, AdversarialLoss] = {
    "minimax": AdversarialLoss(logistic_discriminator, minimax_generator, labels=True),
    "non-saturating": AdversarialLoss(logistic_discriminator, non_saturating_generator, labels=True),
    "lsgan": AdversarialLoss(least_squares_discriminator, least_squares_generator, labels=True),
    "hinge": AdversarialLoss(_without_label(hinge_discriminator), hinge_generator, labels=False),
    "wasserstein": AdversarialLoss(_without_label(wasserstein_discriminator), wasserstein_generator, labels=False),
}
"""Under the names that a recipe gives."""


def r1_penalty(logits: Sequence[Tensor], real: Tensor) -> Tensor:
    """Half the squared length of the logits' gradient on real pictures, averaged over them (R1, Mescheder et al. 2018).

    The logits of a picture are summed over heads and places first, so that the penalty grows with their number squared.

    Args:
        logits: what the discriminator says of `real`, one (B, ...) tensor per head.
        real: (B, C, H, W), with `requires_grad` set before the discriminator saw it.
    Returns:
        a scalar that can be descended (the gradient's own graph is kept).
    """
    total = _mean([x.float().sum() for x in logits]) * len(logits)
    (gradient,) = torch.autograd.grad(total, real, create_graph=True)
    return gradient.float().square().flatten(1).sum(dim=1).mean() / 2


def gradient_penalty(judge: Callable[[Tensor], Sequence[Tensor]], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """How far the critic's slope is from 1 between real and drawn: (|gradient| - 1)^2 (WGAN-GP, Gulrajani et al. 2017).

    The critic's value is what `wasserstein_discriminator` takes: the mean logit over places, then over heads.

    Args:
        judge: gives one (B, ...) tensor of logits per head.
        real: (B, C, H, W).
        fake: (B, C, H, W); no gradient reaches the generator.
        mix: (B,) in [0, 1], drawn evenly by the caller: the share of the real picture in the point that is looked at.
    Returns:
        a scalar that can be descended, averaged over the batch.
    Raises:
        ShapeError: if the three do not fit each other.
    """
    if fake.shape != real.shape or mix.shape != real.shape[:1]:
        raise ShapeError(
            f"gradient_penalty: real, fake and mix have shapes {tuple(real.shape)}, {tuple(fake.shape)} and "
            f"{tuple(mix.shape)}, expected twice (B, C, H, W) and (B,)."
        )
    share = mix.float().view(-1, 1, 1, 1).to(real.device)
    between = torch.lerp(fake.detach().float(), real.detach().float(), share).requires_grad_()
    value = _mean([x.float().reshape(len(x), -1).mean(dim=1) for x in judge(between)])  # (B,)
    (gradient,) = torch.autograd.grad(value.sum(), between, create_graph=True)
    slope: Tensor = torch.linalg.vector_norm(gradient.float().flatten(1), dim=1)  # (B,); its own gradient is 0 at 0
    return (slope - 1).square().mean()


def feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """|E f(x) - E f(G(z))|^2: squared distance of the batches' mean activations (Salimans et al. 2016, section 3.1).

    Summed over channels, averaged over places, then over maps. The batches' sizes may differ.

    Args:
        real: (B, C) or (B, C, h, w) activations of the discriminator on real pictures; gets no gradient.
        fake: the same layers on drawn pictures.
    """
    distances = [
        (f.float().mean(dim=0) - r.detach().float().mean(dim=0)).square().sum(dim=0).mean()
        for r, f in zip(real, fake, strict=True)
    ]
    return _mean(distances)


class WeightSchedule(BaseModel):
    """The weight of a loss over a training: `start`, then on a straight line to `end`.

    `WeightSchedule(start=1)` stays; `WeightSchedule(start=1, end=0, fade_from=n, fade_to=n)` is off once n are seen.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    start: float = Field(ge=0)
    end: float | None = Field(default=None, ge=0)
    """Absent: the weight stays as it starts."""
    fade_from: int = Field(default=0, ge=0)
    """Pictures (or tiles) seen when it begins to change."""
    fade_to: int = Field(default=0, ge=0)
    """Pictures seen from which on it is `end`."""

    @model_validator(mode="after")
    def _in_order(self) -> WeightSchedule:
        if self.fade_to < self.fade_from:
            raise ValueError(f"fade_to is {self.fade_to}, expected at least fade_from = {self.fade_from}")
        if (self.end is None) != (self.fade_to == 0):
            given, lacking = ("fade_to", "end") if self.end is None else ("end", "fade_to")
            raise ValueError(f"{given} is given without {lacking}; give both to change the weight, or neither")
        return self

    def __call__(self, images_seen: int) -> float:
        """The weight after so many pictures."""
        if self.end is None or images_seen < self.fade_from:
            return self.start
        if images_seen >= self.fade_to:
            return self.end
        done = (images_seen - self.fade_from) / (self.fade_to - self.fade_from)
        return self.start + (self.end - self.start) * done


def prior_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) | N(0, 1)) in nats, summed over latents, averaged over pictures (Kingma & Welling 2014).

    Args:
        mean: (B, Z).
        log_variance: (B, Z).
    """
    mean, log_variance = mean.float(), log_variance.float()
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean() / 2


def pooled_l1(a: Tensor, b: Tensor, factor: int) -> Tensor:
    """L1 between two (B, C, H, W) batches after average pooling by `factor`: colours and shapes, no details."""
    return F.l1_loss(F.avg_pool2d(a, factor), F.avg_pool2d(b, factor))


def feature_loss(network: Callable[..., Sequence[Tensor]], a: Tensor, b: Tensor, *, weights: Sequence[float]) -> Tensor:
    """Distance of two batches in a frozen network's features, channel-normalised as in LPIPS (Zhang et al. 2018).

    Every place of every map is scaled to unit length over its channels; squared differences are summed over channels,
    averaged over places and summed over maps.

    Args:
        network: gives as many maps of pictures in [-1, 1] as its second argument asks for, finest first.
        a: (B, 3, H, W) in [0, 1]; gradients reach it alone.
        b: (B, 3, H, W) in [0, 1].
        weights: of the maps, finest first; further maps are not looked at.
    """
    with torch.no_grad():
        wanted = network(b * 2 - 1, len(weights))
    distances = [
        weight * (F.normalize(x.float(), dim=1) - F.normalize(y.float(), dim=1)).square().sum(dim=1).mean()
        for weight, x, y in zip(weights, network(a * 2 - 1, len(weights)), wanted, strict=True)
    ]
    return torch.stack(distances).sum()


def _cross_entropy(logits: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits.float(), torch.full_like(logits, label, dtype=torch.float32))


def _mean(losses: Sequence[Tensor]) -> Tensor:
    return sum(losses[1:], losses[0]) / len(losses)
