"""Looks of one tile that the network sees in turn: mirrored, or with other contrast and saturation.

Every look is undone on the network's output, so that the candidates of a tile show the same picture.
"""

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from facegen.errors import ShapeError, UsageError
from facegen.ops.luma import luma

MIDDLE = 0.5
"""The grey that contrast turns about."""


@dataclass(frozen=True)
class Variant:
    """One look: mirrored left to right or not, contrast about middle grey, saturation about luma; 1.0 is no change.

    Raises:
        UsageError: if contrast or saturation is not positive, for such a look cannot be undone.
    """

    flip: bool = False
    contrast: float = 1.0
    saturation: float = 1.0

    def __post_init__(self) -> None:
        for field, value in (("contrast", self.contrast), ("saturation", self.saturation)):
            if not 0 < value < float("inf"):
                raise UsageError(f"Variant: {field} {value} cannot be undone; choose a positive number, 1.0 for none.")

    @property
    def name(self) -> str:
        """What it does, in words: "identity", or such as "flip, contrast 0.9, saturation 1.1"."""
        parts = ["flip"] if self.flip else []
        parts += [f"contrast {self.contrast:g}"] if self.contrast != 1.0 else []
        parts += [f"saturation {self.saturation:g}"] if self.saturation != 1.0 else []
        return ", ".join(parts) or "identity"


def apply_variant(stack: Tensor, variant: Variant) -> Tensor:
    """Show tiles in another look.

    Args:
        stack: (T, C, h, w) with C >= 3: RGB in [0, 1], then guide channels.
        variant: the look.
    Returns:
        (T, C, h, w); the guide channels are mirrored at most. RGB may leave [0, 1]: nothing is clamped, so that
        `undo_variant` gives it back.
    Raises:
        ShapeError: if the stack is not (T, C >= 3, h, w).
    """
    if stack.ndim != 4 or stack.shape[1] < 3:
        raise ShapeError(f"apply_variant: stack has shape {tuple(stack.shape)}, expected (T, C, h, w) with C >= 3.")
    rgb = _grade(stack[:, :3], variant.contrast, variant.saturation)
    return _mirror(torch.cat([rgb, stack[:, 3:]], dim=1), variant)


def undo_variant(images: Tensor, variant: Variant) -> Tensor:
    """Take a look off again.

    Args:
        images: (T, 3, H, W), what became of tiles in that look; H and W may be larger than theirs.
        variant: the look.
    Returns:
        (T, 3, H, W), not clamped.
    Raises:
        ShapeError: if the images are not (T, 3, H, W).
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ShapeError(f"undo_variant: images have shape {tuple(images.shape)}, expected (T, 3, H, W).")
    return _mirror(_grade(images, 1 / variant.contrast, 1 / variant.saturation), variant)


def _grade(rgb: Tensor, contrast: float, saturation: float) -> Tensor:
    """Scale contrast and saturation of (T, 3, H, W). The two commute, and the reciprocals undo them."""
    if saturation != 1.0:
        grey = luma(rgb)[:, None]  # (T, 1, H, W)
        rgb = grey + (rgb - grey) * saturation
    return rgb if contrast == 1.0 else MIDDLE + (rgb - MIDDLE) * contrast


def _mirror(images: Tensor, variant: Variant) -> Tensor:
    """Swap left and right of (T, C, H, W) if the look is a mirrored one."""
    return images.flip(-1) if variant.flip else images


_GRADES = ((1.0, 1.0), (0.9, 1.1), (1.1, 0.9))
"""(contrast, saturation): softer and harder, with the colourfulness kept about the same."""

VARIANTS: dict[str, tuple[Variant, ...]] = {
    "none": (Variant(),),
    "flip": (Variant(), Variant(flip=True)),
    "varied": tuple(Variant(flip, *grade) for grade, flip in product(_GRADES, (False, True))),
}
"""Sets of looks by name; the first of each is the identity, and each costs one pass of the network."""
