"""What a pipeline recipe (pipelines/*.toml) may say."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from facegen.errors import did_you_mean
from facegen.ops.scoring import SCORERS
from facegen.precision import Precision


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class WeightNames(_Table):
    """Names of shipped weights, or paths of weight folders, from the working directory on."""

    generator: str = "dcgan-128"
    upscaler: str = "jnet-8x"
    discriminator: str = "jnet-8x-patchgan"
    """Loaded only if a scorer asks for it."""


class TileOptions(_Table):
    """Geometry in low-res pixels; the tile's side is the J-net's."""

    overlap: int = Field(default=16, ge=0)


class CandidateOptions(_Table):
    """What each tile is shown as."""

    variants: Literal["none", "flip", "varied"] = "flip"


class ChoiceOptions(_Table):
    """How one candidate per tile is picked."""

    scorers: dict[str, float] = {"laplacian": 1.0}
    """Scorer -> weight; see facegen.ops.scoring.SCORERS."""
    agreement: float = Field(default=1.0, ge=0)
    """Weight of agreeing with the neighbours in the overlap."""

    @field_validator("scorers")
    @classmethod
    def _scorers_exist(cls, scorers: dict[str, float]) -> dict[str, float]:
        for name in scorers:
            if name not in SCORERS:
                hint = did_you_mean(name, SCORERS, quote='"')
                raise ValueError(f'unknown scorer "{name}"{hint} Known: {", ".join(sorted(SCORERS))}')
        return scorers


class PipelineRecipe(_Table):
    """pipelines/*.toml"""

    kind: Literal["pipeline"]
    truncation: float = Field(default=1.0, gt=0)
    """Latents are normal, cut off at twice this many deviations; lower gives more typical faces, and less varied ones.
    """
    fidelity: float = Field(default=1.0, ge=0, le=1)
    """How far the result must agree with its input when shrunk again: 1 fully, 0 not at all."""
    batch: int = Field(default=10, ge=1)
    """Tiles per network call: speed against memory. Another number may round the last bits of a picture otherwise."""
    precision: Precision = "auto"
    weights: WeightNames = WeightNames()
    tiles: TileOptions = TileOptions()
    candidates: CandidateOptions = CandidateOptions()
    choice: ChoiceOptions = ChoiceOptions()
