"""Make variants of a tile for the network: mirrored, shifted, or with other contrast or saturation.

The change is undone in the network's output, so that all candidates of a tile show the same picture.
"""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain, zip_longest

import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.errors import ShapeError, UsageError, suggest
from facegen.ops.color import luma

MIDDLE = 0.5
"""The grey that a change of contrast keeps."""
RAMP = 2
"""Width in low-res pixels of the cross-fade between a shifted output and the unshifted one."""


@dataclass(frozen=True)
class Variant:
    """A variant of a tile: mirrored left to right, contrast about middle grey, saturation about luma; 1.0 is unchanged.

    With a shift, the network gets the area `dx` low-res pixels to the right of the tile and `dy` below.

    Raises:
        UsageError: if contrast or saturation is not positive, as that cannot be undone.
    """

    flip: bool = False
    contrast: float = 1.0
    saturation: float = 1.0
    dx: int = 0
    dy: int = 0

    def __post_init__(self) -> None:
        for field, value in (("contrast", self.contrast), ("saturation", self.saturation)):
            if not 0 < value < float("inf"):
                raise UsageError(f"Variant: {field} {value} cannot be undone; choose a positive number, 1.0 for none.")

    @property
    def shifted(self) -> bool:
        """True if the variant shows another area than the tile."""
        return bool(self.dx or self.dy)

    @property
    def name(self) -> str:
        """The name of the variant: "identity", "flip, contrast 0.9", "shift +2 +0" (right, down)."""
        parts = ["flip"] if self.flip else []
        parts += [f"contrast {self.contrast:g}"] if self.contrast != 1.0 else []
        parts += [f"saturation {self.saturation:g}"] if self.saturation != 1.0 else []
        parts += [f"shift {self.dx:+d} {self.dy:+d}"] if self.shifted else []
        return ", ".join(parts) or "identity"


KINDS: dict[str, tuple[Variant, ...]] = {
    "flip": (Variant(flip=True),),
    "contrast": (Variant(contrast=0.9), Variant(contrast=1.1)),
    "saturation": (Variant(saturation=1.2), Variant(saturation=0.8)),
    "shift": (Variant(dx=2), Variant(dy=2), Variant(dx=-2), Variant(dy=-2)),
}
"""The variants of each kind; each costs one pass of the network."""


def variants_of(kinds: Collection[str]) -> tuple[Variant, ...]:
    """List the variants of some kinds: the identity, then the first of each kind, then the second ones, and so on.

    So the first few differ most. Among the first of each kind, and so on, the order is that of `KINDS`.

    Args:
        kinds: names from `KINDS`; with none, only the identity is listed.
    Raises:
        UsageError: if a kind is unknown.

    >>> [variant.name for variant in variants_of(["contrast", "flip"])]
    ['identity', 'flip', 'contrast 0.9', 'contrast 1.1']
    """
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f'unknown kind of variant "{kind}"{suggest(kind, KINDS)}')
    rounds = zip_longest(*(variants for kind, variants in KINDS.items() if kind in kinds))
    return (Variant(), *(variant for variant in chain.from_iterable(rounds) if variant))


def shift_stack(stack: Tensor, variant: Variant) -> Tensor:
    """Shift a picture by a variant's shift.

    Args:
        stack: (..., C, h, w), of one picture or several.
        variant: its dx and dy are smaller than w and h.
    Returns:
        (..., C, h, w): pixel (y, x) is (y + dy, x + dx) of the stack, which is mirrored at its border.
    """
    if not variant.shifted:
        return stack
    height, width = stack.shape[-2:]
    across, down = abs(variant.dx), abs(variant.dy)
    padded = F.pad(stack, (across, across, down, down), mode="reflect")
    top, left = down + variant.dy, across + variant.dx
    return padded[..., top : top + height, left : left + width]


def unshift(images: Tensor, unshifted: Tensor, variant: Variant, scale: int) -> Tensor:
    """Shift upscaled tiles back to the areas of the tiles.

    Parts of a tile that the shifted image does not show are filled from the unshifted one, with a short cross-fade.

    Args:
        images: (T, 3, s*t, s*t), the upscaled areas shifted by (dx, dy).
        unshifted: (T, 3, s*t, s*t), the upscaled areas of the tiles.
        scale: s, enlargement of the images; dx and dy are in low-res pixels.
    Returns:
        (T, 3, s*t, s*t), the areas of the tiles.
    """
    moved = images.roll((scale * variant.dy, scale * variant.dx), dims=(-2, -1))
    rows = _reach(images.shape[-2], scale * variant.dy, scale).to(images)
    columns = _reach(images.shape[-1], scale * variant.dx, scale).to(images)
    return torch.lerp(unshifted, moved, torch.outer(rows, columns))


def _reach(side: int, shift: int, scale: int) -> Tensor:
    """Return the (side,) weights of an image moved `shift` pixels along one axis: 0 outside it, then a ramp to 1."""
    if not shift:
        return torch.ones(side)
    weight = ((torch.arange(side) + 0.5 - abs(shift)) / (RAMP * scale)).clamp(0, 1)
    return weight if shift > 0 else weight.flip(0)


def apply_variant(stack: Tensor, variant: Variant) -> Tensor:
    """Apply a variant to tiles, without its shift; see `shift_stack`.

    Args:
        stack: (T, C, h, w) with C >= 3: RGB in [0, 1], then guide channels, which are only mirrored.
    Returns:
        (T, C, h, w); RGB may leave [0, 1], so that `undo_variant` is exact.
    Raises:
        ShapeError: if the stack is not (T, C >= 3, h, w).
    """
    if stack.ndim != 4 or stack.shape[1] < 3:
        raise ShapeError(f"apply_variant: stack has shape {tuple(stack.shape)}, expected (T, C, h, w) with C >= 3.")
    rgb = _grade(stack[:, :3], variant.contrast, variant.saturation)
    return _mirror(torch.cat([rgb, stack[:, 3:]], dim=1), variant)


def undo_variant(images: Tensor, variant: Variant) -> Tensor:
    """Undo a variant in the network's output, without its shift; see `unshift`.

    Args:
        images: (T, 3, H, W), the network's output for tiles with that variant.
    Returns:
        (T, 3, H, W), not clamped.
    Raises:
        ShapeError: if the images are not (T, 3, H, W).
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ShapeError(f"undo_variant: images have shape {tuple(images.shape)}, expected (T, 3, H, W).")
    return _mirror(_grade(images, 1 / variant.contrast, 1 / variant.saturation), variant)


def _grade(rgb: Tensor, contrast: float, saturation: float) -> Tensor:
    """Scale contrast and saturation of (T, 3, H, W); the order does not matter, and the reciprocals undo them."""
    if saturation != 1.0:
        grey = luma(rgb)[:, None]  # (T, 1, H, W)
        rgb = grey + (rgb - grey) * saturation
    return rgb if contrast == 1.0 else MIDDLE + (rgb - MIDDLE) * contrast


def _mirror(images: Tensor, variant: Variant) -> Tensor:
    """Swap left and right of (T, C, H, W) if the variant is mirrored."""
    return images.flip(-1) if variant.flip else images
