"""What the commands share: options, seeds, and a batch that goes on when one item fails."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Collection, Iterable
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from facegen.errors import FacegenError, ImageError, MissingExtraError, UsageError, did_you_mean
from facegen.files import PIPELINES

if TYPE_CHECKING:
    from facegen.pipeline import FacePipeline

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
MAX_SEEDS = 100_000


class Seeds(click.ParamType[tuple[int, ...]]):
    """Comma-separated seeds and ranges: 0,3-7."""

    name = "seeds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        seeds: list[int] = []
        for part in str(value).split(","):
            found = re.fullmatch(r"\s*(\d{1,18})(?:-(\d{1,18}))?\s*", part)
            if not found:
                self.fail(f"{part!r} is neither a seed nor a range; write for example 0,3-7.", param, ctx)
            first, last = int(found[1]), int(found[2] or found[1])
            if last < first or last - first >= MAX_SEEDS:
                self.fail(f"{part!r} runs backwards or holds over {MAX_SEEDS:,} seeds.", param, ctx)
            seeds += range(first, last + 1)
        return tuple(dict.fromkeys(seeds))


class Size(click.ParamType[int]):
    """A side in pixels, 1 to 8192."""

    name = "pixels"
    largest = 8192

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if not re.fullmatch(r"\d{1,9}", str(value)) or not 1 <= int(value) <= self.largest:
            self.fail(f"{value!r} is not a side in pixels; expected 1 to {self.largest}, as in 768.", param, ctx)
        return int(value)


class Listed(click.ParamType[tuple[str, ...]]):
    """Comma-separated words out of those known: flip,contrast.

    Args:
        word: what messages call one of them.
        known: gives them, when the option is read.
        none: whether "none" stands for no word.
    """

    def __init__(self, word: str, known: Callable[[], Collection[str]], *, none: bool = True) -> None:
        self.name, self.known, self.none = f"{word}s", known, none
        self.word = word

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        known, nothing = self.known(), "; or none" if self.none else ""
        words = () if self.none and value == "none" else tuple(part.strip() for part in str(value).split(","))
        for word in words:
            if word not in known:
                hint = did_you_mean(word, known)
                self.fail(f"unknown {self.word} {word!r}{hint} Known: {', '.join(known)}{nothing}.", param, ctx)
        return tuple(dict.fromkeys(words))


def _variants() -> Collection[str]:
    from facegen.ops.variants import KINDS

    return KINDS


format_option = click.option(
    "--format",
    "file_format",
    type=click.Choice(["png", "jpg", "webp", "tif"]),
    default="png",
    show_default=True,
    help="Of the files written.",
)
"""--format, of commands that write pictures."""
_PIPELINE_OPTIONS = (
    click.option(
        "--recipe",
        default="portrait",
        show_default=True,
        help="Name of a shipped recipe (pipelines/), or a TOML file.",
    ),
    click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a recipe key: fidelity=0.5."),
    click.option(
        "--candidates", type=click.IntRange(min=1), help="Candidates per tile that compete, the first so many."
    ),
    click.option(
        "--variants",
        type=Listed("kind", _variants),
        metavar="KINDS",
        help="Looks of each tile, from flip,contrast,saturation,shift; or none.",
    ),
    click.option(
        "--fidelity", type=click.FloatRange(0, 1), help="How far the result must agree with its input: 1 fully."
    ),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps."),
)
"""Of `pipeline_options`, in the order of the help."""


def pipeline_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--recipe, --set, --device and shortcuts for some keys: what every command that runs the pipeline takes.

    The command gets `recipe`, `overrides` and `device`; the shortcuts are among the overrides, and so are recorded.
    """

    @wraps(command)
    def with_shortcuts(
        overrides: tuple[str, ...],
        candidates: int | None,
        variants: tuple[str, ...] | None,
        fidelity: float | None,
        **options: Any,
    ) -> Any:
        kinds = None if variants is None else json.dumps(variants)
        given = (
            ("--candidates", "candidates.count", candidates),
            ("--variants", "candidates.variants", kinds),
            ("--fidelity", "fidelity", fidelity),
        )
        shortcuts = [(option, key, value) for option, key, value in given if value is not None]
        return command(overrides=(*overrides, *_overrides(shortcuts, overrides)), **options)

    wrapped: Callable[..., Any] = with_shortcuts
    for option in reversed(_PIPELINE_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _overrides(shortcuts: Iterable[tuple[str, str, object]], overrides: tuple[str, ...]) -> list[str]:
    """The (option, key, value) shortcuts as recipe overrides.

    Raises:
        UsageError: if --set gives the key of one as well.
    """
    found = []
    for option, key, value in shortcuts:
        for override in overrides:
            set_key = override.partition("=")[0].strip()
            if set_key == key or key.startswith(f"{set_key}."):
                raise UsageError(f"{option} and --set {override} both give {key}; leave one of them out.")
        found.append(f"{key}={value}")
    return found


def load_pipeline(recipe: str, overrides: tuple[str, ...], device: str) -> FacePipeline:
    """The pipeline those options ask for."""
    from facegen.pipeline import FacePipeline
    from facegen.precision import resolve_device

    return FacePipeline.load(recipe_path(recipe), overrides, device=resolve_device(device))


def need_packages(*modules: str) -> None:
    """See that what the extra "train" brings is there, before it is imported.

    Raises:
        MissingExtraError: with the pip command that brings it.
    """
    absent = [module.replace("_", "-") for module in modules if find_spec(module) is None]
    if absent:
        raise MissingExtraError(f"Training packages are not installed: pip install {' '.join(absent)}")


def at_hand(load: Callable[[], Loaded], left_out: list[str], report: Callable[[str], None]) -> Loaded | None:
    """What `load` gives; None, reported and noted in `left_out`, where it says that something is not installed."""
    try:
        return load()
    except MissingExtraError as error:
        report(str(error))
        left_out.append(str(error))
        return None


def recipe_path(recipe: str) -> Path:
    """A shipped recipe by its name, or any file by its path."""
    shipped = PIPELINES / f"{recipe}.toml"
    if shipped.is_file():
        return shipped
    if recipe.endswith(".toml"):
        return Path(recipe)
    known = sorted(path.stem for path in PIPELINES.glob("*.toml"))
    hint = did_you_mean(recipe, known)
    raise UsageError(f"--recipe {recipe!r}: neither a .toml file nor a shipped recipe{hint} Known: {', '.join(known)}.")


def make_folder(out: Path) -> None:
    """Make the folder to write to, before any work is done for it.

    Raises:
        ImageError: if it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"--out {out}: cannot be made a folder ({error.strerror}); choose another.") from None


def for_each(items: Iterable[Item], work: Callable[[Item], object]) -> None:
    """Do `work` on every item; one that fails is reported by name and the others still get done.

    Exits with status 1 after a summary if any failed.
    """
    failed, done = [], 0
    for item in items:
        try:
            work(item)
            done += 1
        except FacegenError as error:
            name = str(item)
            click.echo(f"Error: {error}" if name in str(error) else f"Error: {name}: {error}", err=True)
            failed.append(name)
    if failed:
        click.echo(f"{done} done, {len(failed)} failed: {', '.join(failed)}", err=True)
        sys.exit(1)
