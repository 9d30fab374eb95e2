"""What the record in a picture file says: all that its making depended on, so that `facegen replay` can make it again.

It has no times in it, so the same making writes the same record.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from facegen.ops.seams import SeamGauge
from facegen.ops.tiling import TilePlan


class _Table(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)  # a later version's record may say more


class PlanRecord(_Table):
    """Where the tiles of a raised picture lie, in low-res pixels; see `TilePlan`."""

    height: int
    width: int
    tile: int
    overlap: int

    @property
    def plan(self) -> TilePlan:
        """The plan itself."""
        return TilePlan(self.height, self.width, self.tile, self.overlap)


class RaisedRecord(_Table):
    """What was chosen in one raised picture, and how well it came out."""

    plan: PlanRecord
    candidates: tuple[str, ...]
    """Their names."""
    choices: tuple[int, ...]
    """The candidate that won, for each tile of the plan."""
    fit: float | None
    """PSNR of the area-downsampled picture to what was put in, in dB; None if they are equal."""
    seams: SeamGauge
    """Before the picture was brought to its final size or pasted."""


class SourceRecord(_Table):
    """The photo that a picture was made from."""

    name: str
    """Without folders: it is nobody's business where a photo lay, and `replay` makes a file of that name."""
    sha256: str
    """Of the file's bytes."""

    @field_validator("name")
    @classmethod
    def _has_no_folders(cls, name: str) -> str:
        if Path(name).name != name or name == "..":
            raise ValueError(f"expected a file name without folders, got {name!r}")
        return name


class Record(_Table):
    """What a picture's making depended on."""

    facegen: str
    """Version."""
    torch: str
    """Version."""
    platform: str
    device: str
    argv: tuple[str, ...]
    """What follows `facegen` on the command line: the command, the source's name if there is one, the options."""
    recipe: dict[str, Any]
    """As it was resolved, every key."""
    weights: dict[str, str]
    """SHA-256 of the weights by the name that the recipe gives them."""
    seed: int | None = None
    z: str | None = None
    """SHA-256 of the latent's float32 values."""
    latent: str | None = None
    """The latent itself, if no seed draws it; see `latent_text`."""
    keyframes: tuple[str, ...] = ()
    """Of a film: the latents that it goes through."""
    source: SourceRecord | None = None
    raised: tuple[RaisedRecord, ...] = ()
    """One for each head that was raised."""
    fit: float | None = None
    """Of a whole photo: PSNR of the area-downsampled result to the source, in dB; None if not measured, or equal."""
    seams: SeamGauge | None = None
    """Of a whole photo."""
