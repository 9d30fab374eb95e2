"""Upscale the variants of every tile to candidates, and choose one candidate per tile."""

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

Progress = Callable[[int, int], object]
"""Called with how many tiles, counted per variant, or blocks are done, and how many there are; an exception cancels."""
KEPT = torch.float16
"""The type in which candidates are stored: half the memory of float32, and exact to 1/16 of an 8-bit step."""


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """All candidates of a picture, and what is needed to choose among them."""

    stack: Tensor
    """(3+G, h, w) in [0, 1]: the low-res picture and its guide."""
    reference: Tensor
    """(3, s*h/n, s*w/n) for an integer n: the input, at the largest size at which the result must agree with it."""
    landmarks: Landmarks | None
    """In low-res pixels; None without a face."""
    strength: float
    """Damage of the input, as given or estimated, 0 to 1."""
    plan: TilePlan
    images: Tensor
    """(T, K, 3, s*tile, s*tile) float16 in [0, 1]."""
    names: tuple[str, ...]
    """Names of the K variants: "identity", "flip"."""
    bonus: Tensor | None = None
    """(T, K) added to the scores; None adds nothing."""

    def upscaled(self, image: Tensor, reference: Tensor, scores: Tensor, chosen: Tensor) -> Upscaled:
        """Return the result with these candidates."""
        return Upscaled(
            image=image, stack=self.stack, reference=reference, landmarks=self.landmarks, plan=self.plan,
            candidates=self.images, names=self.names, scores=scores, chosen=chosen, strength=self.strength,
        )  # fmt: skip


def wanted_variants(options: CandidateOptions) -> tuple[Variant, ...]:
    """List the variants of a tile that the network upscales, the identity first.

    Raises:
        RecipeError: if there are fewer variants than the candidates wanted.
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
    """Upscale every variant of every tile of several pictures of one size.

    Args:
        run: the network.
        stacks: (B, 3+G, h, w) in [0, 1], the low-res pictures and their guides.
        plan: geometry in low-res pixels.
        variants: as `wanted_variants` lists them; the identity comes before all shifts.
        scale: enlargement of the network.
        batch: tiles per network call, halved if memory runs out.
        full: pad the last batch; see `in_batches`.
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
    """Cut pictures into tiles, picture by picture: (B, C, h, w) -> (B*T, C, t, t)."""
    return torch.stack([split(stack, plan) for stack in stacks]).flatten(0, 1)


def select(
    candidates: Sequence[Candidates], choice: ChoiceOptions, discriminator: Discriminator | None
) -> tuple[Tensor, Tensor]:
    """Score the candidates of B pictures with the same plan, and choose one per tile.

    Args:
        discriminator: for the scorer of that name.
    Returns:
        (B, T, K) float32 scores, higher is better, and the (B, T) indices of the chosen candidates.
    """
    plan, pictures = candidates[0].plan, len(candidates)
    images = concatenate([one.images for one in candidates])  # (B*T, K, 3, s*t, s*t)
    tiles = concatenate([split(one.stack, plan) for one in candidates])
    scores = score(images, ScoreContext(tiles, discriminator), choice.scorers).view(pictures, len(plan), -1)
    pairs = zip(scores, candidates, strict=True)
    total = concatenate([rated if one.bonus is None else rated + one.bonus for rated, one in pairs])
    return scores, choose(images, total, plan, choice.agreement).view(pictures, len(plan))


def concatenate(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate tensors along the first axis; a single one is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


@dataclass(frozen=True, kw_only=True)
class Upscaled:
    """An upscaled picture and the tensors it was made from."""

    image: Tensor
    """(3, s*h, s*w) in [0, 1]."""
    stack: Tensor
    """(3+G, h, w) in [0, 1]: the low-res picture, its guide, and the strength of damage if the network takes it."""
    reference: Tensor
    """(3, s*h/n, s*w/n) for an integer n: the input, at the largest size at which the image must agree with it, and
    without its damage."""
    landmarks: Landmarks | None
    """In low-res pixels; None without a face."""
    plan: TilePlan
    candidates: Tensor
    """(T, K, 3, s*tile, s*tile) float16 in [0, 1]."""
    names: tuple[str, ...]
    """Names of the K variants: "identity", "flip"."""
    scores: Tensor
    """(T, K) float32, higher is better; see `facegen.ops.scoring.score`."""
    chosen: Tensor
    """(T,) index of each tile's chosen candidate."""
    strength: float = 0.0
    """Damage of the input, as given or estimated, 0 to 1."""

    @property
    def fit(self) -> float:
        """PSNR between the area-downsampled image and `reference`, in dB."""
        return low_res_psnr(self.image, self.reference)

    @cached_property
    def identity(self) -> float | None:
        """Distance between the faces before and after; see `facegen.faces.identity.identity_change`."""
        return identity_change(to_rgb(self.stack[:3]), to_rgb(self.image), self.landmarks)


def network_input(
    low_res: Tensor,
    landmarks: Sequence[Landmarks | None],
    strengths: Sequence[float],
    guide: GuideMode,
    *,
    with_strength: bool,
) -> Tensor:
    """Add the painted guide to each picture, and a plane of its strength of damage if the network takes that.

    Args:
        low_res: (B, 3, h, w) in [0, 1].
        landmarks: of each picture, in its pixels; the guide of None is black.
    Returns:
        (B, C, h, w) in [0, 1].
    """
    size, channels = low_res.shape[2:], GUIDE_CHANNELS[guide]
    planes = torch.zeros(len(low_res), channels + with_strength, *size)
    for added, face, strength in zip(planes, landmarks, strengths, strict=True):
        if face is not None:
            points = with_closer_lips(face.points) if strength else face.points
            added[:channels] = to_tensor(paint_guide(points, size[0], guide))
        added[channels:] = strength
    return torch.cat([low_res, planes.to(low_res.device)], dim=1)
