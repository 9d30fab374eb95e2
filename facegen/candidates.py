"""The candidates of every tile: what each look of it becomes in each of the networks that compete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from facegen.errors import RecipeError, WeightsError
from facegen.models.jnet import JNet
from facegen.ops.tiling import TilePlan, split
from facegen.ops.variants import Variant, apply_variant, shift_stack, undo_variant, unshift, variants_of
from facegen.recipe import CandidateOptions

KEPT = torch.float16
"""How candidates are kept: half the memory of float32, and exact to 1/16 of an 8-bit step."""


@dataclass(frozen=True)
class Candidate:
    """How one candidate of every tile is made."""

    upscaler: str
    variant: Variant
    name: str
    """Of the look; the upscaler's before it where several compete: "jnet-8x: flip"."""


def list_candidates(options: CandidateOptions, upscalers: Sequence[str]) -> tuple[Candidate, ...]:
    """Name the candidates that each tile gets, look by look (see `variants_of`), each look by all upscalers.

    Raises:
        RecipeError: if more are asked for than there are.
    """
    several = len(upscalers) > 1
    found = tuple(
        Candidate(upscaler, variant, f"{upscaler}: {variant.name}" if several else variant.name)
        for variant in variants_of(options.variants)
        for upscaler in upscalers
    )
    if options.count > len(found):
        raise RecipeError(
            f"candidates.count: {options.count}, but variants {', '.join(options.variants) or 'none'} and upscalers "
            f"{', '.join(upscalers)} make {len(found)}; add kinds (--variants), or ask for fewer (--candidates)."
        )
    return found[: options.count or None]


def check_alike(upscalers: Mapping[str, JNet]) -> None:
    """See that the upscalers can compete: candidates of one tile must show the same area, from the same input.

    Raises:
        WeightsError: naming two that differ.
    """
    first, *others = upscalers.items()
    for other in others:
        told = [f"{name!r} takes {_shape(net)}" for name, net in (first, other)]
        if _shape(first[1]) != _shape(other[1]):
            raise WeightsError(
                f"upscaler: {' but '.join(told)}; those that compete must have guide, tile and scale in common."
            )


def make_candidates(
    stack: Tensor, plan: TilePlan, wanted: Sequence[Candidate], upscalers: Mapping[str, JNet], batch: int
) -> Tensor:
    """Upscale every tile in every wanted way.

    Args:
        stack: (3+G, h, w) in [0, 1], the low-res picture and its guide.
        plan: geometry in low-res pixels.
        wanted: as `list_candidates` gives them: a look with a shift comes after the same network's identity.
        upscalers: the networks by name.
        batch: tiles per network call, halved where a GPU's memory is too small for them.
    Returns:
        (T, K, 3, s*tile, s*tile) float16 in [0, 1].
    Raises:
        torch.OutOfMemoryError: if the memory is too small even for one tile.
    """
    scale = next(iter(upscalers.values())).config.scale
    side = scale * plan.tile
    kept = torch.empty(len(plan), len(wanted), 3, side, side, dtype=KEPT, device=stack.device)
    plain = {c.upscaler: k for k, c in enumerate(wanted) if c.variant == Variant()}
    for k, candidate in enumerate(wanted):
        tiles = apply_variant(split(shift_stack(stack, candidate.variant), plan), candidate.variant)  # (T, 3+G, t, t)
        for where, upscaled in in_batches(upscalers[candidate.upscaler], tiles, batch):
            shown = undo_variant(upscaled.float(), candidate.variant)  # (N, 3, s*t, s*t)
            if candidate.variant.shifted:
                shown = unshift(shown, kept[where, plain[candidate.upscaler]].float(), candidate.variant, scale)
            kept[where, k] = shown.clamp(0, 1)
    return kept


def in_batches(network: nn.Module, tiles: Tensor, batch: int) -> Iterator[tuple[slice, Tensor]]:
    """Run a network over tiles; when its memory runs out, half as many at a time from there on.

    Args:
        network: (N, C, t, t) -> (N, 3, h, w), each tile by itself.
        tiles: (T, C, t, t).
        batch: tiles at a time, at least 1.
    Yields:
        which tiles, and what became of them, in order, each tile once.
    Raises:
        torch.OutOfMemoryError: if the memory is too small for one tile.
    """
    tiles = tiles.contiguous(memory_format=torch.channels_last)
    start = 0
    while start < len(tiles):
        chunk = tiles[start : start + batch]
        upscaled = _try(network, chunk)
        if upscaled is None:
            batch = len(chunk) // 2
            torch.cuda.empty_cache()
            continue
        yield slice(start, start + len(chunk)), upscaled
        start += len(chunk)


def _try(network: nn.Module, tiles: Tensor) -> Tensor | None:
    """None if the memory was too small: once the error is gone, so is what its traceback held on to."""
    try:
        upscaled: Tensor = network(tiles)
    except torch.OutOfMemoryError:
        if len(tiles) == 1:
            raise
        return None
    return upscaled


def _shape(net: JNet) -> str:
    config = net.config
    return f"{config.in_channels} channels of {config.tile} px tiles and makes them {config.scale}x as large"
