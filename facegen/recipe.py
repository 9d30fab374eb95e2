"""Recipes: TOML files, read into a validated config; a typo is refused with the key that was meant."""

from __future__ import annotations

import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from facegen.errors import RecipeError, did_you_mean

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
    for override in overrides:
        _override(values, override)
    return parse_recipe(values, schema, source=str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file, unchecked.

    Raises:
        RecipeError: if it is missing or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such recipe file.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path}: not a readable TOML file: {error}.") from None


def parse_recipe(values: Mapping[str, Any], schema: type[Config], *, source: str) -> Config:
    """Check values that were read from `source` (named in errors) against `schema`.

    Raises:
        RecipeError: as `load_recipe`.
    """
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise RecipeError("\n".join(f"{source}: {_explain(e, schema)}" for e in error.errors())) from None


def _override(values: dict[str, Any], text: str) -> None:
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
