"""The candidates of every tile, what the network makes of each of its variants, and the picture chosen from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.profiler import record_function as step

from facegen.arrays import to_rgb, to_tensor
from facegen.errors import RecipeError
from facegen.faces.guide import GUIDE_CHANNELS, GuideMode, paint_guide, with_closer_lips
from facegen.faces.identity import identity_change
from facegen.faces.landmarks import Landmarks
from facegen.ops.choice import choose
from facegen.ops.consistency import low_res_psnr
from facegen.ops.scoring import Discriminator, ScoreContext, score
from facegen.ops.tiling import TilePlan, split
from facegen.ops.variants import Variant, apply_variant, shift_stack, undo_variant, unshift, variants_of
from facegen.recipe import CandidateOptions, ChoiceOptions
from facegen.runtime import Run, in_batches

Progress = Callable[[int, int], None]
"""Takes how many tiles are upscaled, each variant counted, and how many there are; an exception from it cancels."""
KEPT = torch.float16
"""How candidates are kept: half the memory of float32, and exact to 1/16 of an 8-bit step."""


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """All candidates of a picture, and what they are compared with."""

    stack: Tensor
    """(3+G, h, w) in [0, 1]: the low-res picture and its guide."""
    reference: Tensor
    """(3, s*h/n, s*w/n) for a whole n: the input, at the finest size at which the result must agree with it."""
    landmarks: Landmarks | None
    """In low-res pixels; None where there is no face."""
    strength: float
    """How damaged the input is, as given or estimated."""
    plan: TilePlan
    images: Tensor
    """(T, K, 3, s*tile, s*tile) float16 in [0, 1]."""
    names: tuple[str, ...]
    """Names of the K candidates: "identity", "flip"."""
    bonus: Tensor | None = None
    """(T, K) added to the scores; None adds nothing."""

    def upscaled(self, image: Tensor, reference: Tensor, scores: Tensor, chosen: Tensor) -> Upscaled:
        """Put down what became of the candidates."""
        return Upscaled(
            image=image, stack=self.stack, reference=reference, landmarks=self.landmarks, plan=self.plan,
            candidates=self.images, names=self.names, scores=scores, chosen=chosen, strength=self.strength,
        )  # fmt: skip


def wanted_variants(options: CandidateOptions) -> tuple[Variant, ...]:
    """List the variants of a tile that the network is shown, the identity first.

    Raises:
        RecipeError: if more are asked for than there are.
    """
    found = variants_of(options.variants)
    if options.count > len(found):
        raise RecipeError(
            f"candidates.count: {options.count}, but variants {', '.join(options.variants) or 'none'} make "
            f"{len(found)}; add kinds (--variants), or ask for fewer (--candidates)."
        )
    return found[: options.count or None]


@step("facegen.candidates")
def make_candidates(
    run: Run,
    stacks: Tensor,
    plan: TilePlan,
    variants: Sequence[Variant],
    *,
    scale: int,
    batch: int,
    full: bool = False,
    progress: Progress | None = None,
) -> Tensor:
    """Upscale every variant of every tile of some pictures of one size.

    Args:
        run: the network.
        stacks: (B, 3+G, h, w) in [0, 1], the low-res pictures and their guides.
        plan: geometry in low-res pixels.
        variants: as `wanted_variants` lists them; one with a shift comes after the identity.
        scale: how many times the network enlarges.
        batch: tiles per network call, halved where a GPU's memory is too small for them.
        full: fill up every batch; see `in_batches`.
        progress: called after every batch.
    Returns:
        (B, T, K, 3, s*tile, s*tile) float16 in [0, 1].
    Raises:
        torch.OutOfMemoryError: if the memory is too small even for one tile.
    """
    pictures, count, side = len(stacks), len(stacks) * len(plan), scale * plan.tile
    kept = torch.empty(count, len(variants), 3, side, side, dtype=KEPT, device=stacks.device)  # (B*T, K, 3, n, n)
    for k, variant in enumerate(variants):
        tiles = apply_variant(_tiles(shift_stack(stacks, variant), plan), variant)  # (B*T, 3+G, t, t)
        for where, output in in_batches(run, tiles, batch, full=full):
            images = undo_variant(output, variant)  # (N, 3, s*t, s*t)
            if variant.shifted:
                images = unshift(images, kept[where, 0].float(), variant, scale)
            kept[where, k] = images.clamp_(0, 1)
            if progress is not None:
                progress(k * count + where.stop, count * len(variants))
    return kept.view(pictures, len(plan), *kept.shape[1:])


def _tiles(stacks: Tensor, plan: TilePlan) -> Tensor:
    """The tiles of one picture after those of the other: (B, C, h, w) -> (B*T, C, t, t)."""
    return torch.stack([split(stack, plan) for stack in stacks]).flatten(0, 1)


def select(
    candidates: Sequence[Candidates], choice: ChoiceOptions, discriminator: Discriminator | None
) -> tuple[Tensor, Tensor]:
    """Score the candidates of B pictures of one plan and choose one per tile.

    Args:
        discriminator: for the scorer of that name.
    Returns:
        (B, T, K) float32 scores, higher is better, and the (B, T) index of the chosen ones.
    """
    plan, pictures = candidates[0].plan, len(candidates)
    images = joined([one.images for one in candidates])  # (B*T, K, 3, s*t, s*t)
    tiles = joined([split(one.stack, plan) for one in candidates])
    scores = score(images, ScoreContext(tiles, discriminator), choice.scorers).view(pictures, len(plan), -1)
    pairs = zip(scores, candidates, strict=True)
    total = joined([own if one.bonus is None else own + one.bonus for own, one in pairs])
    return scores, choose(images, total, plan, choice.agreement).view(pictures, len(plan))


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Put tensors one after the other; one alone is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


@dataclass(frozen=True, kw_only=True)
class Upscaled:
    """An upscaled picture and what it was made from."""

    image: Tensor
    """(3, s*h, s*w) in [0, 1]."""
    stack: Tensor
    """(3+G, h, w) in [0, 1]: the low-res picture and its guide; with a plane of the strength where one is known."""
    reference: Tensor
    """(3, s*h/n, s*w/n) for a whole n: the input, at the finest size at which the image must agree with it; without
    its damage where there is some."""
    landmarks: Landmarks | None
    """In low-res pixels; None where there is no face."""
    plan: TilePlan
    candidates: Tensor
    """(T, K, 3, s*tile, s*tile) float16 in [0, 1]."""
    names: tuple[str, ...]
    """Names of the K candidates: "identity", "flip"."""
    scores: Tensor
    """(T, K) float32, higher is better; see `facegen.ops.scoring.score`."""
    chosen: Tensor
    """(T,) index of each tile's chosen candidate."""
    strength: float = 0.0
    """How damaged the input is, as given or estimated."""

    @property
    def fit(self) -> float:
        """Agreement of the image with the input: PSNR of its area-downsampled copy to `reference`, in dB."""
        return low_res_psnr(self.image, self.reference)

    @cached_property
    def identity(self) -> float | None:
        """Distance of the face to the low-res picture's; see `facegen.faces.identity.identity_change`."""
        return identity_change(to_rgb(self.stack[:3]), to_rgb(self.image), self.landmarks)


def stacked(
    low_res: Tensor, landmarks: Sequence[Landmarks | None], strengths: Sequence[float], guide: GuideMode, *, told: bool
) -> Tensor:
    """Lay guides, empty without landmarks, and the strengths of damage, if the network is told, on pictures.

    Args:
        low_res: (B, 3, h, w) in [0, 1].
        landmarks: in their pixels.
    Returns:
        (B, C, h, w) in [0, 1].
    """
    size, painted = low_res.shape[2:], GUIDE_CHANNELS[guide]
    planes = torch.zeros(len(low_res), painted + told, *size)
    for own, marks, strength in zip(planes, landmarks, strengths, strict=True):
        if marks is not None:
            points = with_closer_lips(marks.points) if strength else marks.points
            own[:painted] = to_tensor(paint_guide(points, size[0], guide))
        own[painted:] = strength
    return torch.cat([low_res, planes.to(low_res.device)], dim=1)
