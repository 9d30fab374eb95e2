"""Losses and regularisers, as means over the batch in float32; their memories; weights that change over time.

A discriminator returns one tensor of logits per head; each loss is averaged over places, then over heads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, BeforeValidator, Field, model_validator
from torch import Tensor, nn

from facegen.errors import ShapeError

Logits = Sequence[Tensor]
"""One tensor (B, ...) per head."""
AdversarialKind = Literal["minimax", "non-saturating", "lsgan", "hinge", "wasserstein"]
Label = float | Tensor
"""One for all pictures, or (B,), one for each."""


@dataclass(frozen=True)
class AdversarialLoss:
    """The losses of discriminator and generator, as functions of one head's logits, in float32."""

    real: Callable[[Tensor, Tensor], Tensor]
    """The discriminator's loss on real pictures: (logits, their labels) to a tensor whose mean counts."""
    fake: Callable[[Tensor, Tensor], Tensor]
    generated: Callable[[Tensor], Tensor]
    """The generator's loss."""
    labels: bool = True
    """False if the loss ignores labels."""

    def discriminator(self, real: Logits, fake: Logits, real_label: Label = 1.0, fake_label: Label = 0.0) -> Tensor:
        """The discriminator's loss; a `real_label` below 1 is one-sided label smoothing (Salimans et al. 2016)."""
        heads = zip(real, fake, strict=True)
        return _mean([
            self.real(r.float(), _targets(r, real_label)).mean() + self.fake(f.float(), _targets(f, fake_label)).mean()
            for r, f in heads
        ])  # fmt: skip

    def generator(self, fake: Logits) -> Tensor:
        return _mean([self.generated(f.float()).mean() for f in fake])


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-a log D - (1 - a) log(1 - D) with the label a, where D is the sigmoid of a logit (Goodfellow et al. 2014)."""
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="none")


def _half_square(logits: Tensor, labels: Tensor) -> Tensor:
    """(D - a)^2 / 2 with the label a, where D is the logit itself (Mao et al. 2017)."""
    return (logits - labels).square() / 2


ADVERSARIAL: dict[str, AdversarialLoss] = {
    # log(1 - D(G(z))): the other side of the discriminator's game; flat where D is sure (Goodfellow et al. 2014)
    "minimax": AdversarialLoss(_cross_entropy, _cross_entropy, lambda f: -F.softplus(f)),
    # -log D(G(z)): the same fixed point, but steep where D is sure
    "non-saturating": AdversarialLoss(_cross_entropy, _cross_entropy, lambda f: F.softplus(-f)),
    "lsgan": AdversarialLoss(_half_square, _half_square, lambda f: (f - 1).square() / 2),
    # max(0, 1 - D(x)) + max(0, 1 + D(G(z))) (Lim & Ye 2017)
    "hinge": AdversarialLoss(lambda r, _: F.relu(1 - r), lambda f, _: F.relu(1 + f), lambda f: -f, labels=False),
    # D(G(z)) - D(x), without a lower bound; needs a `gradient_penalty` (Arjovsky et al. 2017)
    "wasserstein": AdversarialLoss(lambda r, _: -r, lambda f, _: f, lambda f: -f, labels=False),
}
"""By their names in a recipe."""


def r1_penalty(logits: Logits, real: Tensor) -> Tensor:
    """Half the squared length of the logits' gradient on real pictures, averaged over them (R1, Mescheder et al. 2018).

    The logits of a picture are summed over heads and places first, so that the penalty grows with their number squared.
    `requires_grad` of `real` must be set before the discriminator sees it.
    """
    total = _mean([x.float().sum() for x in logits]) * len(logits)
    (gradient,) = torch.autograd.grad(total, real, create_graph=True)
    return gradient.float().square().flatten(1).sum(dim=1).mean() / 2


def gradient_penalty(critic: Callable[[Tensor], Logits], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """(|gradient of the critic| - 1)^2 between real and generated pictures (WGAN-GP, Gulrajani et al. 2017).

    The critic's value is the mean logit over places, then over heads, as in Wasserstein's loss. `mix`, (B,) uniform in
    [0, 1], is the share of the real picture in the point between the two. No gradient reaches the generator.
    """
    if fake.shape != real.shape or mix.shape != real.shape[:1]:
        raise ShapeError(
            f"gradient_penalty: real, fake and mix have shapes {tuple(real.shape)}, {tuple(fake.shape)} and "
            f"{tuple(mix.shape)}, expected twice (B, C, H, W) and (B,)."
        )
    share = mix.float().view(-1, 1, 1, 1).to(real.device)
    between = torch.lerp(fake.detach().float(), real.detach().float(), share).requires_grad_()
    value = _mean([x.float().reshape(len(x), -1).mean(dim=1) for x in critic(between)])  # (B,)
    (gradient,) = torch.autograd.grad(value.sum(), between, create_graph=True)
    slope: Tensor = torch.linalg.vector_norm(gradient.float().flatten(1), dim=1)  # (B,); at 0 its gradient is 0
    return (slope - 1).square().mean()


def feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """|E f(x) - E f(G(z))|^2: squared distance of the batches' mean activations (Salimans et al. 2016, section 3.1).

    Activations are (B, C) or (B, C, h, w), of batches whose sizes may differ: summed over channels, averaged over
    places, then over maps. The real ones get no gradient.
    """
    means = [(r.detach().float().mean(dim=0), f.float().mean(dim=0)) for r, f in zip(real, fake, strict=True)]
    return _mean([(f - r).square().sum(dim=0).mean() for r, f in means])


def learned_similarity(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """(f(x) - f(G(y)))^2 / 2, pair by pair: the VAE-GAN's learned distance (Larsen et al. 2016, equations 7 and 8).

    This is minus the log-likelihood of normal activations with unit variance, without constants; averaged over channels
    and places, then over pictures and maps. The activations of the pictures to reproduce, `real`, get no gradient.
    """
    return _mean([F.mse_loss(f.float(), r.detach().float()) / 2 for r, f in zip(real, fake, strict=True)])


def prior_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) | N(0, 1)) of (B, Z) latents in nats, per picture (Kingma & Welling 2014)."""
    mean, log_variance = mean.float(), log_variance.float()
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean() / 2


def pooled_l1(a: Tensor, b: Tensor, factor: int) -> Tensor:
    """L1 between two (B, C, H, W) batches after average pooling by `factor`: colours and shapes, no details."""
    return F.l1_loss(F.avg_pool2d(a, factor), F.avg_pool2d(b, factor))


class WeightSchedule(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """The weight of a loss over time: `start`, then on a straight line to `end`.

    `WeightSchedule(start=1)` is constant; `WeightSchedule(start=1, end=0, fade_from=n, fade_to=n)` is 0 from n on.
    """

    start: float = Field(ge=0)
    end: float | None = Field(default=None, ge=0)
    """If absent, the weight stays at `start`."""
    fade_from: int = Field(default=0, ge=0)
    """Pictures (or tiles) seen when it starts to change."""
    fade_to: int = Field(default=0, ge=0)
    """Pictures seen when it reaches `end`."""

    @model_validator(mode="after")
    def _in_order(self) -> WeightSchedule:
        if self.fade_to < self.fade_from:
            raise ValueError(f"fade_to is {self.fade_to}, expected at least fade_from = {self.fade_from}")
        if (self.end is None) != (self.fade_to == 0):
            given, lacking = ("fade_to", "end") if self.end is None else ("end", "fade_to")
            raise ValueError(f"{given} is given without {lacking}; give both to change the weight, or neither")
        return self

    @property
    def used(self) -> bool:
        """False for a weight that is always 0."""
        return self.start > 0 or bool(self.end)

    def __call__(self, images_seen: float) -> float:
        """The weight after this many pictures."""
        if self.end is None or images_seen < self.fade_from:
            return self.start
        if images_seen >= self.fade_to:
            return self.end
        done = (images_seen - self.fade_from) / (self.fade_to - self.fade_from)
        return self.start + (self.end - self.start) * done


def _constant(value: Any) -> Any:
    return {"start": value} if isinstance(value, int | float) else value


Weight = Annotated[WeightSchedule, BeforeValidator(_constant)]
"""In a recipe: a number, or a table of start, end, fade_from and fade_to."""


def _targets(logits: Tensor, label: Label) -> Tensor:
    """The label of each logit, in float32; (B,) labels apply to all places of their pictures."""
    if isinstance(label, Tensor):
        return label.float().to(logits.device).view(-1, *(1,) * (logits.ndim - 1)).expand_as(logits)
    return torch.full_like(logits, label, dtype=torch.float32)


def _mean(losses: Sequence[Tensor]) -> Tensor:
    return sum(losses[1:], losses[0]) / len(losses)


class HistoricalAverage(nn.Module):
    """Mean of a network's parameters over time, and the penalty that pulls them there (Salimans et al. 2016).

    At first the mean is the parameters' values at construction.
    """

    mean: Tensor
    count: Tensor

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.register_buffer("mean", _parameters(module).detach().clone())  # (parameters,)
        self.register_buffer("count", torch.tensor(0))

    def forward(self, module: nn.Module) -> Tensor:
        """Squared distance of the parameters from their mean, |theta - mean|^2, per parameter; with their gradient.

        Then the mean takes in the parameters' current values, so call it once a step.
        """
        penalty = (_parameters(module) - self.mean).square().mean()
        with torch.no_grad():
            self.count += 1
            self.mean += (_parameters(module) - self.mean) / self.count
        return penalty


class ReplayBuffer(nn.Module):
    """Earlier generated pictures, shown again so that the discriminator does not forget them (Shrivastava et al. 2017).

    As in CycleGAN (Zhu et al. 2017), until the buffer is full each picture is kept and passed on; then each takes, with
    probability 1/2, the place of a random kept one, which is passed on instead. Kept pictures are uint8, in buffers
    that checkpoints save, so an exchanged picture comes back clamped and up to 1/255 off.
    """

    pictures: Tensor
    count: Tensor

    def __init__(self, capacity: int, channels: int, side: int) -> None:
        super().__init__()
        self.register_buffer("pictures", torch.zeros(capacity, channels, side, side, dtype=torch.uint8))
        self.register_buffer("count", torch.tensor(0))

    @torch.no_grad()
    def mix(self, fake: Tensor, rng: torch.Generator) -> Tensor:
        """Exchange about half of (B, C, H, W) pictures in [-1, 1] for kept ones, without gradient.

        The number of draws from `rng` does not depend on how full the buffer is.
        """
        if fake.ndim != 4 or fake.shape[1:] != self.pictures.shape[1:]:
            sides = ", ".join(str(n) for n in self.pictures.shape[1:])
            raise ShapeError(f"ReplayBuffer: pictures have shape {tuple(fake.shape)}, expected (B, {sides}).")
        capacity, filled = len(self.pictures), int(self.count)
        exchanged = (torch.rand(len(fake), generator=rng) < 0.5).tolist()
        places = torch.randint(capacity, (len(fake),), generator=rng).tolist()
        kept = ((fake.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        mixed = fake.detach().clone()
        for i, picture in enumerate(kept):
            if filled < capacity:
                self.pictures[filled] = picture
                filled += 1
            elif exchanged[i]:
                mixed[i] = self.pictures[places[i]].float() / 127.5 - 1
                self.pictures[places[i]] = picture
        self.count.fill_(filled)
        return mixed


def _parameters(module: nn.Module) -> Tensor:
    """All of a network's parameters as one float32 vector."""
    return torch.cat([p.float().reshape(-1) for p in module.parameters()])
