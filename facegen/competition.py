"""The candidates of every tile compete; the winners are blended into one picture and held to what was put in."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.profiler import record_function as step

from facegen.faces.landmarks import Landmarks
from facegen.ops.blending import blend
from facegen.ops.calming import calm
from facegen.ops.choice import average, gather, pick
from facegen.ops.consistency import ROUNDING, back_project, low_res_psnr
from facegen.ops.scoring import Discriminator, ScoreContext, score
from facegen.ops.tiling import TilePlan, split
from facegen.recipe import ChoiceOptions


@dataclass(frozen=True, kw_only=True)
class Pool:
    """All candidates of a picture, and what they are judged by."""

    stack: Tensor
    """(3+G, h, w) in [0, 1]: the low-res picture and its guide."""
    reference: Tensor
    """(3, s*h/n, s*w/n) for a whole n: what was put in, as fine as the image can be held to it; see `Upscaled.fit`."""
    plan: TilePlan
    candidates: Tensor
    """(T, K, 3, s*tile, s*tile) float16 in [0, 1]."""
    names: tuple[str, ...]
    """Of the K candidates: "identity", "flip"; with several upscalers "jnet-8x: flip"."""
    landmarks: Landmarks | None
    """In low-res pixels; None where no face was looked for."""
    bonus: Tensor | None = None
    """(T, K) added to the scores for the choice, as for what stands already; None adds nothing."""


@dataclass(frozen=True, kw_only=True)
class Upscaled(Pool):
    """An upscaled picture and what it was made from; K is 1 where the strategy averaged the candidates."""

    image: Tensor
    """(3, s*h, s*w) in [0, 1]."""
    scores: Tensor
    """(T, K) float32, higher is better; see `facegen.ops.scoring.score`."""
    chosen: Tensor
    """(T,) index of the candidate that won."""

    @property
    def fit(self) -> float:
        """How well the image agrees with what was put in: PSNR of its area-downsampled copy to `reference`, in dB."""
        return low_res_psnr(self.image, self.reference)


def compete(
    pool: Pool, choice: ChoiceOptions, fidelity: float, calmed: float = 0.0, judge: Discriminator | None = None
) -> Upscaled:
    """Choose one candidate per tile, blend them, calm the picture and hold it to what was put in.

    Args:
        pool: the candidates; a picture that was upscaled is one too, so that it can be chosen again in another way.
        choice: scorers and strategy.
        fidelity: how far the picture must agree with `pool.reference` when shrunk to its size, 0..1.
        calmed: differences of luma below so many 8-bit steps are evened out; see `facegen.ops.calming.calm`.
        judge: for the scorer "discriminator".
    Raises:
        UsageError: if that scorer is asked for without a judge.
    """
    with step("facegen.choice"):
        if choice.strategy == "mean":
            pool = replace(pool, candidates=average(pool.candidates), names=("mean",), bonus=None)
        scores = score(pool.candidates, _context(pool, judge), choice.scorers)  # (T, K)
        worth = scores if pool.bonus is None else scores + pool.bonus
        chosen = pick(pool.candidates, worth, pool.plan, choice.agreement, choice.strategy)  # (T,)
    with step("facegen.blend"):
        image = blend(gather(pool.candidates, chosen), pool.plan)  # (3, s*h, s*w)
    with step("facegen.calm"):
        image = calm(image.clamp_(0, 1), calmed)
    with step("facegen.consistency"):
        image = back_project(image, pool.reference, fidelity, slack=ROUNDING)
    return Upscaled(
        stack=pool.stack,
        reference=pool.reference,
        plan=pool.plan,
        candidates=pool.candidates,
        names=pool.names,
        landmarks=pool.landmarks,
        bonus=pool.bonus,
        image=image,
        scores=scores,
        chosen=chosen,
    )


def _context(pool: Pool, judge: Discriminator | None) -> ScoreContext:
    points = None if pool.landmarks is None else torch.from_numpy(pool.landmarks.points)
    return ScoreContext(split(pool.stack, pool.plan), judge, pool.plan, points)
