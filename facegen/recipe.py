"""Recipes: TOML files, read into a validated config; the error for a typo suggests the right key."""

from __future__ import annotations

import json
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from facegen.errors import RecipeError, suggest
from facegen.files import refuse_special
from facegen.ops.scoring import SCORERS
from facegen.ops.variants import KINDS
from facegen.runtime import Precision

Config = TypeVar("Config", bound=BaseModel)


def load_recipe(path: Path, schema: type[Config], overrides: Iterable[str] = ()) -> Config:
    """Read and check a recipe file.

    Args:
        path: a TOML file.
        schema: the pydantic model of its values.
        overrides: "key=value" or "table.key=value", the value written as in TOML; a bare word is a string.
    Raises:
        RecipeError: if the file or an override is wrong; names the file, the key, and what was expected.
    """
    values = read_toml(path)
    for text in overrides:
        override(values, text)
    return parse_recipe(values, schema, source=str(path))


def assignment(key: str, value: object) -> str:
    """Write an override for `load_recipe`: "key=value", for a string, number or list."""
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def read_toml(path: Path) -> dict[str, Any]:
    """Read the values of a TOML file without checking them.

    Raises:
        RecipeError: if it is missing or not TOML.
    """
    refuse_special(path, RecipeError)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such file; check the path.") from None
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not TOML or UTF-8, or a number of 5,000 digits
        raise RecipeError(f"{path}: not a readable TOML file: {error}.") from None


def parse_recipe(values: Mapping[str, Any], schema: type[Config], *, source: str) -> Config:
    """Check values against `schema`.

    Args:
        source: where the values come from, for messages.
    Raises:
        RecipeError: as for `load_recipe`.
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
        where = f"[{'.'.join(tables)}] " if tables else ""
        return f'{where}unknown key "{key}"{suggest(key, sorted(_table(schema, tables).model_fields))}'
    message = error["msg"].removeprefix("Value error, ").rstrip(".")
    given = "" if error["type"] in ("missing", "value_error") else f", got {error['input']!r}"
    return f"{'.'.join(location) or 'recipe'}: {message}{given}."


def _table(schema: type[BaseModel], tables: list[str]) -> type[BaseModel]:
    """Return the model of a (nested) table of the recipe."""
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
    """Names of shipped weights, or paths of weight folders, relative to the working directory."""

    generator: str = "dcgan-128"
    upscaler: str = "jnet-8x-restore"
    discriminator: str = "jnet-8x-restore-patchgan"
    """Loaded only if a scorer asks for it."""


class TileOptions(_Table):
    """Geometry in low-res pixels."""

    side: int = Field(default=0, ge=0)
    """Side of a tile, a multiple of the side of the J-net's tiles; 0 takes that side. Larger tiles overlap less, which
    saves time. A picture smaller than a tile gets the largest tiles that fit."""
    overlap: int = Field(default=16, ge=0)


class CandidateOptions(_Table):
    """The variants of each tile that the network is shown."""

    variants: tuple[str, ...] = ("flip",)
    """Kinds of variants in addition to the unchanged tile; see facegen.ops.variants.KINDS."""
    count: int = Field(default=0, ge=0)
    """Candidates per tile, taken in the order of `facegen.ops.variants.variants_of`; 0 takes all."""

    @field_validator("variants", mode="before")
    @classmethod
    def _kinds_exist(cls, kinds: Any) -> Any:
        if not isinstance(kinds, list | tuple):
            raise ValueError(f'expected a list of {", ".join(KINDS)}, as in ["flip"], or [] for none, got {kinds!r}')
        for kind in kinds:
            if kind not in KINDS:
                raise ValueError(f'unknown kind "{kind}"{suggest(str(kind), KINDS)}')
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"{', '.join(kinds)} names one twice")
        return tuple(kinds)


class ChoiceOptions(_Table):
    """How one candidate per tile is chosen."""

    scorers: dict[str, float] = {"laplacian": 1.0}
    """Scorer -> weight; see facegen.ops.scoring.SCORERS."""
    agreement: float = Field(default=1.0, ge=0)
    """Weight of the agreement with the neighbours in the overlap, relative to the scores."""

    @field_validator("scorers")
    @classmethod
    def _scorers_exist(cls, scorers: dict[str, float]) -> dict[str, float]:
        for name in scorers:
            if name not in SCORERS:
                raise ValueError(f'unknown scorer "{name}"{suggest(name, sorted(SCORERS))}')
        return scorers


class PipelineRecipe(_Table):
    """The options of a pipeline: pipelines/*.toml."""

    kind: Literal["pipeline"]
    truncation: float = Field(default=1.0, gt=0)
    """Latents are normal, truncated at twice this many standard deviations; lower values give more typical and less
    varied faces."""
    rejection: float = Field(default=0.0, ge=0, le=0.9)
    """Share of the latents that are rejected: those that the generator's rating, if it has one, rates worst."""
    fidelity: float = Field(default=1.0, ge=0, le=1)
    """How closely the result, shrunk again, must agree with its input: 1 to about half an 8-bit step, 0 not at all."""
    strength: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = 0.0
    """Damage of photos, from 0 to 1, for weights that take it as input; "auto" estimates it for each picture. The
    result need not show the damage: the stronger it is, the coarser the colours and light that must agree."""
    drawn_strength: float = Field(default=0.0, ge=0, le=1)
    """The same for drawn faces, whose faults the network repairs as if they were damage. Weights that do not take a
    strength as input ignore it."""
    grain: float = Field(default=0.0, ge=0, le=1)
    """Share of the surrounding grain that is added to a cleaned head at its border; its middle gets less."""
    head_side: int = Field(default=256, ge=32)
    """Largest low-res side of a head in a photo; a larger head is shrunk to it first. The time grows with its square.
    """
    batch: int = Field(default=10, ge=1)
    """Tiles per network call, fewer if they are larger. More are faster and take more memory; the number may change the
    last bits of a picture. A GPU takes more."""
    precision: Precision = "auto"
    weights: WeightNames = WeightNames()
    tiles: TileOptions = TileOptions()
    candidates: CandidateOptions = CandidateOptions()
    choice: ChoiceOptions = ChoiceOptions()
