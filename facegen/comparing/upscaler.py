"""What every way to enlarge a picture is here: a name, a scale, and a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from facegen.errors import UsageError
from facegen.ops.consistency import downsample_area

Function = Callable[[Tensor], Tensor]
"""(3, h, w) to (3, scale*h, scale*w), in [0, 1]."""


@dataclass(frozen=True)
class Setting:
    """What upscalers are made for."""

    scale: int
    """Wanted of the comparison; interpolations are made for it, networks have their own."""
    recipe: Path
    overrides: tuple[str, ...] = ()
    """Of the pipeline that a J-net runs in."""
    device: str = "cpu"


@dataclass(frozen=True)
class Upscaler:
    """One way to enlarge a picture.

    Raises:
        UsageError: if it does not enlarge.
    """

    name: str
    """Heads its column."""
    scale: int
    """How many times as large one application makes a picture, at least 2."""
    function: Function
    about: str
    """What it is, for the page."""
    folders: tuple[Path, ...] = ()
    """Of its weights; their recipes say which pictures were trained on."""

    def __post_init__(self) -> None:
        if self.scale < 2:
            raise UsageError(f"{self.name}: makes pictures {self.scale}x as large, expected at least 2x; leave it out.")

    def __call__(self, low_res: Tensor) -> Tensor:
        """(3, h, w) in [0, 1] to (3, scale*h, scale*w) in [0, 1], on the processor."""
        with torch.inference_mode():
            return self.function(low_res).float().clamp(0, 1).cpu()

    def upscale_to(self, low_res: Tensor, scale: int) -> Tensor:
        """Apply it as often as needed to come to `scale` times the size, and reduce what is too large by area.

        Args:
            low_res: (3, h, w) in [0, 1].
        Returns:
            (3, scale*h, scale*w) in [0, 1].
        """
        size = (low_res.shape[-2] * scale, low_res.shape[-1] * scale)
        image = low_res
        for _ in range(self.passes(scale)):
            image = self(image)
        return image if tuple(image.shape[-2:]) == size else downsample_area(image, size)

    def passes(self, scale: int) -> int:
        """Applications needed to come to at least `scale` times the size."""
        count, reached = 1, self.scale
        while reached < scale:
            count, reached = count + 1, reached * self.scale
        return count

    def steps(self, scale: int) -> str:
        """How it comes to `scale` times the size, in words."""
        count = self.passes(scale)
        reached = self.scale**count
        text = f"{self.scale}x" if count == 1 else f"{self.scale}x applied {count} times"
        return text if reached == scale else f"{text}, reduced by area from {reached}x to {scale}x"
