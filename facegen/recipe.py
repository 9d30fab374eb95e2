"""Recipes: TOML files, read into a validated config; a typo is refused with the key that was meant."""

from __future__ import annotations

import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from facegen.errors import RecipeError, did_you_mean
from facegen.files import refuse_special
from facegen.ops.scoring import SCORERS
from facegen.ops.variants import KINDS
from facegen.runtime import Precision

Config = TypeVar("Config", bound=BaseModel)


def load_recipe(path: Path, schema: type[Config], overrides: Iterable[str] = ()) -> Config:
    """Read and check a recipe file.

    Args:
        path: a TOML file.
        schema: the pydantic model that it must fit.
        overrides: "key=value" or "table.key=value", the value written as in TOML (bare words are taken as strings).
    Raises:
        RecipeError: naming the file, the key, what was expected, and for an unknown key the nearest known one.
    """
    values = read_toml(path)
    for text in overrides:
        override(values, text)
    return parse_recipe(values, schema, source=str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file, unchecked.

    Raises:
        RecipeError: if it is missing or not TOML.
    """
    refuse_special(path, RecipeError)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such file; check the path.") from None
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no TOML, no UTF-8, a number of 5,000 digits
        raise RecipeError(f"{path}: not a readable TOML file: {error}.") from None


def parse_recipe(values: Mapping[str, Any], schema: type[Config], *, source: str) -> Config:
    """Check values that were read from `source` (named in errors) against `schema`.

    Raises:
        RecipeError: as `load_recipe`.
    """
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise RecipeError(*(f"{source}: {_explain(e, schema)}" for e in error.errors())) from None


def override(values: dict[str, Any], text: str) -> None:
    """Set one value of a recipe from "key=value"; see `load_recipe`."""
    key, equals, raw = text.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"--set {text!r}: expected key=value, as in --set seed=1 or --set tiles.overlap=8.")
    *tables, last = key.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise RecipeError(f"--set {text!r}: {table!r} is a value, not a table.")
    try:
        values[last] = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        values[last] = raw.strip()
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"--set {text[:40]!r}...: {error}; expected a value as in a recipe.") from None


def _explain(error: Any, schema: type[BaseModel]) -> str:
    location = [str(part) for part in error["loc"]]
    if error["type"] == "extra_forbidden":
        *tables, key = location
        known = sorted(_table(schema, tables).model_fields)
        hint = did_you_mean(key, known, quote='"')
        where = f"[{'.'.join(tables)}] " if tables else ""
        return f'{where}unknown key "{key}"{hint} Known: {", ".join(known)}.'
    message = error["msg"].removeprefix("Value error, ").rstrip(".")
    given = "" if error["type"] in ("missing", "value_error") else f", got {error['input']!r}"
    return f"{'.'.join(location) or 'recipe'}: {message}{given}."


def _table(schema: type[BaseModel], tables: list[str]) -> type[BaseModel]:
    """The model that a (nested) table of the recipe is checked against."""
    for table in tables:
        field = schema.model_fields.get(table)
        annotations = [field.annotation] if field else []
        if annotations and typing.get_origin(annotations[0]) in (typing.Union, types.UnionType):
            annotations = list(typing.get_args(annotations[0]))
        inner = [a for a in annotations if isinstance(a, type) and issubclass(a, BaseModel)]
        schema = inner[0] if inner else schema
    return schema


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class WeightNames(_Table):
    """Names of shipped weights, or paths of weight folders, from the working directory on."""

    generator: str = "dcgan-128"
    upscaler: str = "jnet-8x"
    discriminator: str = "jnet-8x-patchgan"
    """Loaded only if a scorer asks for it."""


class TileOptions(_Table):
    """Geometry in low-res pixels."""

    side: int = Field(default=0, ge=0)
    """Side of a tile, a multiple of the J-net's own; 0 takes that. Larger tiles have less overlap to compute twice. A
    picture smaller than a tile gets the largest that fit."""
    overlap: int = Field(default=16, ge=0)


class CandidateOptions(_Table):
    """The variants of each tile that the network is shown."""

    variants: tuple[str, ...] = ("flip",)
    """Kinds of variant besides the tile as it is; see facegen.ops.variants.KINDS."""
    count: int = Field(default=0, ge=0)
    """Candidates per tile, the first so many of `facegen.ops.variants.variants_of`; 0 takes all."""

    @field_validator("variants", mode="before")
    @classmethod
    def _kinds_exist(cls, kinds: Any) -> Any:
        if not isinstance(kinds, list | tuple):
            raise ValueError(f'expected a list of {", ".join(KINDS)}, as in ["flip"], or [] for none, got {kinds!r}')
        for kind in kinds:
            if kind not in KINDS:
                hint = did_you_mean(str(kind), KINDS, quote='"')
                raise ValueError(f'unknown kind "{kind}"{hint} Known: {", ".join(KINDS)}')
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"{', '.join(kinds)} names one twice")
        return tuple(kinds)


class ChoiceOptions(_Table):
    """How one candidate per tile is chosen."""

    scorers: dict[str, float] = {"laplacian": 1.0}
    """Scorer -> weight; see facegen.ops.scoring.SCORERS."""
    agreement: float = Field(default=1.0, ge=0)
    """Weight of agreeing with the neighbours in the overlap, against the scores."""

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
    """Latents are normal, cut off at twice this many standard deviations; lower: more typical, less varied."""
    rejection: float = Field(default=0.0, ge=0, le=0.9)
    """Share of latents that seeds pass over, those whose faces a generator's rating, if it has one, finds the worst."""
    fidelity: float = Field(default=1.0, ge=0, le=1)
    """How far the result must agree with its input when shrunk again: 1 to about half an 8-bit step, 0 not at all."""
    strength: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = 0.0
    """How damaged the pictures are, from 0 to 1, for weights that are told; "auto" estimates it for each. The result
    must agree with its input without that damage: the stronger, the coarser are the colours and light compared."""
    grain: float = Field(default=0.0, ge=0, le=1)
    """Share of the surroundings' grain that a cleaned head gets at its border, and less in its middle."""
    head_side: int = Field(default=256, ge=32)
    """Largest low-res side of a photo's head; a larger head is shrunk to it first. Time grows with its square."""
    batch: int = Field(default=10, ge=1)
    """Tiles per network call, fewer of larger ones: speed against memory. Another number may change the last bits of a
    picture. A GPU is shown more."""
    precision: Precision = "auto"
    weights: WeightNames = WeightNames()
    tiles: TileOptions = TileOptions()
    candidates: CandidateOptions = CandidateOptions()
    choice: ChoiceOptions = ChoiceOptions()
