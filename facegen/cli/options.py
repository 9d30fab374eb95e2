"""Options and helpers that several commands share."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Collection, Sequence
from functools import partial, reduce, wraps
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import click
from click.core import ParameterSource

from facegen.cli.printing import say, say_error
from facegen.errors import FacegenError, FileError, MissingExtraError, UsageError, did_you_mean, printable, suggest
from facegen.files import check_folder, shipped_recipes
from facegen.seeds import parse_seeds

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from facegen.cluster import Cluster
    from facegen.pipeline import FacePipeline

Item = TypeVar("Item")
Option: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]
PATH = click.Path(path_type=Path, readable=False)  # commands report unreadable files one by one
FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


class Seeds(click.ParamType[tuple[int, ...]]):
    """Comma-separated seeds and ranges: 0,3-7."""

    name = "seeds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return parse_seeds(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


class Size(click.ParamType[int]):
    """A side in pixels, from 1 to `largest`."""

    name = "pixels"

    def __init__(self, largest: int = 8192) -> None:
        self.largest = largest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if not re.fullmatch(r"\d{1,9}", str(value)) or not 1 <= int(value) <= self.largest:
            self.fail(f"{value!r} is not a side in pixels; expected 1 to {self.largest}, as in 768.", param, ctx)
        return int(value)


class Scale(click.ParamType[float]):
    """A factor from 1 to 8; an int if it is a whole number."""

    name = "times"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if not re.fullmatch(r"\d(\.\d{1,4})?", str(value)) or not 1 <= float(value) <= 8:
            self.fail(f"{value!r} is not a scale; expected 1 to 8, as in 2 or 1.5.", param, ctx)
        return int(float(value)) if float(value).is_integer() else float(value)


class Listed(click.ParamType[tuple[str, ...]]):
    """Comma-separated words, as in flip,contrast, of those that `known` returns when the option is read; or "none"."""

    def __init__(self, word: str, known: Callable[[], Collection[str]], *, none: bool = True) -> None:
        self.name, self.word, self.known, self.none = f"{word}s", word, known, none

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        if self.none and value == "none":
            return ()
        words = tuple(dict.fromkeys(part.strip() for part in str(value).split(",")))
        for word in words:
            if word not in (known := self.known()):
                names = [*known, "none"] if self.none else known
                self.fail(f"unknown {self.word} {word!r}" + suggest(word, names, "'"), param, ctx)
        return words


class Strength(click.ParamType[float | str]):
    """A number from 0 to 1, or auto."""

    name = "strength"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        if value == "auto":
            return "auto"
        return float(click.FloatRange(0, 1).convert(value, param, ctx))


def _variants() -> Collection[str]:
    from facegen.ops.variants import KINDS

    return KINDS


out_option = click.option("--out", type=PATH, default=Path("out"), help="Folder for the results.")
device_option = click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps.")
overwrite_option = click.option("--overwrite", is_flag=True, help="Also replace files that facegen did not write.")
_FORMATS = click.Choice(["png", "jpg", "webp", "avif", "jxl", "tif"])
format_option = click.option(
    "--format", "file_format", type=_FORMATS, default="png", help="File format of the results.",
)  # fmt: skip
photo_format_option = click.option(
    "--format", "file_format", type=_FORMATS,
    help="File format of the results.  [default: each photo's own; PNG where that cannot be written]",
)  # fmt: skip
cluster_option = click.option(
    "--cluster", metavar="auto|ADDRESS",
    help="Share the work among the machines of the Ray cluster at ADDRESS; auto takes the cluster that RAY_ADDRESS "
    "names or that runs on this machine, else a new one of this machine alone.",
)  # fmt: skip
DEFAULT_PRESET = "portrait"


_PRESET_HELP = f"A shipped recipe; fast takes a fifth of the time.  [default: {DEFAULT_PRESET}]"
_COUNT_HELP = "Number of candidates per tile; the best one is used."
_THREADS_HELP = "Processor threads; several --jobs share them.  [default: one for each core]"


def _read_settings(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Read options of the command from a TOML file; those on the command line override them.

    A list stands for a repeated option, or for values with commas between them.
    """
    if path is None:
        return
    from facegen.recipe import read_toml

    known = {option.lstrip("-").replace("-", "_"): param for param in context.command.params for option in param.opts}
    context.default_map = {}
    for key, value in read_toml(path).items():
        param = known.get(key.replace("-", "_"))
        if param is None or param.is_eager or not isinstance(param, click.Option):
            raise UsageError(f"{path}: unknown option {key!r}{did_you_mean(key, known)} Name options as in --help.")
        if isinstance(value, list) != param.multiple:
            value = [value] if param.multiple else ",".join(map(str, value))
        context.default_map[param.name] = value


_STRENGTH_OPTIONS = {
    "strength": click.option(
        "--strength", type=Strength(), help="How damaged the photos are, from 0 to 1; auto estimates it for each.",
    ),
    "drawn_strength": click.option(
        "--strength", type=click.FloatRange(0, 1),
        help="How strongly the faults of drawn faces are repaired, from 0 to 1.",
    ),
}  # fmt: skip
"""Key of the recipe -> the option that sets it: of commands that upscale photos, and of those that draw."""
_RECIPE_OPTIONS = (
    click.option(
        "--settings", type=PATH, metavar="FILE", is_eager=True, expose_value=False, callback=_read_settings,
        help='A TOML file with options of this command: scale = 2, format = "jpg". The command line overrides it.',
    ),
    click.option("--preset", type=click.Choice(shipped_recipes()), help=_PRESET_HELP),
    click.option("--recipe", metavar="FILE", help="Your own recipe, a TOML file, instead of --preset."),
    click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change the recipe: fidelity=0.5."),
    click.option("--candidates", type=click.IntRange(min=1), help=_COUNT_HELP),
    click.option(
        "--variants", type=Listed("kind", _variants), metavar="KINDS",
        help="Variants of a tile's input that give more candidates, from flip,contrast,saturation,shift; or none.",
    ),
    click.option(
        "--fidelity", type=click.FloatRange(0, 1),
        help="How closely the result, shrunk again, must match the input: from 0, not at all, to 1, exactly.",
    ),
)  # fmt: skip
SHORTCUTS = {"candidates.count": "candidates", "candidates.variants": "variants", "drawn_strength": "strength"}
"""Keys of the recipe -> the options that set them, where the names differ."""
_THREADS_OPTION = click.option("--threads", type=click.IntRange(min=1), help=_THREADS_HELP)


def pipeline_options(command: Callable[..., Any], strength_key: str = "strength") -> Callable[..., Any]:
    """Add the options of every command that runs the pipeline: preset or recipe, overrides, shortcuts, device.

    The command gets `recipe`, the name of a preset or a file, `overrides` and `device`. Shortcuts become overrides, so
    that records contain them.

    Args:
        strength_key: the key of the recipe that --strength sets.
    """

    @wraps(command)
    def with_shortcuts(
        preset: str | None, recipe: str | None, overrides: tuple[str, ...], candidates: int | None,
        variants: tuple[str, ...] | None, fidelity: float | None, strength: float | str | None, threads: int | None,
        **options: Any,
    ) -> Any:  # fmt: skip
        if preset and recipe:
            raise UsageError(f"--preset {preset} and --recipe {recipe} both name a recipe; leave one of them out.")
        shortcuts: dict[str, Any] = {"candidates.count": candidates, "candidates.variants": variants}
        shortcuts |= {"fidelity": fidelity, strength_key: strength}
        given = {key: value for key, value in shortcuts.items() if value is not None}
        for key, override in product(given, overrides):
            set_key = override.partition("=")[0].strip()
            if set_key == key or key.startswith(f"{set_key}."):
                option = SHORTCUTS.get(key, key)
                raise UsageError(f"--{option} and --set {override} both give {key}; leave one of them out.")
        if threads is not None:
            import cv2
            import torch

            torch.set_num_threads(threads)
            cv2.setNumThreads(threads)
        added = (f"{key}={json.dumps(value)}" for key, value in given.items())
        return command(recipe=preset or recipe or DEFAULT_PRESET, overrides=(*overrides, *added), **options)

    options = (*_RECIPE_OPTIONS, _STRENGTH_OPTIONS[strength_key], device_option, _THREADS_OPTION)
    return add_options(options, with_shortcuts)


drawing_options = partial(pipeline_options, strength_key="drawn_strength")
"""`pipeline_options` of the commands that draw faces."""


def add_options(options: Sequence[Option], command: Callable[..., Any]) -> Callable[..., Any]:
    """Add options to a command; its help lists them in this order."""
    return reduce(lambda wrapped, option: option(wrapped), reversed(options), command)


def server_options(port: int) -> Option:
    """Add the options of a command that serves a web page, with this default port."""
    options = (
        click.option("--host", default="127.0.0.1", help="Address to listen on; any other needs --token."),
        click.option("--port", type=click.IntRange(0, 65535), default=port, help="Port; 0 takes a free one."),
        click.option("--token", envvar="FACEGEN_TOKEN", show_envvar=True, help="Password that visitors must give."),
    )
    return partial(add_options, options)


def connect_cluster(address: str) -> AbstractContextManager[Cluster]:
    """Connect to the cluster that --cluster names; its processes use --device and --threads (default: one)."""
    from facegen.cluster import connect

    given = click.get_current_context().params
    threads = given["threads"] or 1
    return connect(address, device=given["device"], threads=threads, say=say)


def load_pipeline(recipe: str, overrides: tuple[str, ...], device: str, cluster: str | None = None) -> FacePipeline:
    """Load the pipeline that `pipeline_options` describe; with a cluster, CUDA is not needed on this machine."""
    from facegen.golden import choose_device
    from facegen.pipeline import FacePipeline

    device = "auto" if cluster and device == "cuda" else device
    return FacePipeline.load(recipe, overrides, device=choose_device(device))


def need_packages(extra: str, *modules: str) -> None:
    """Check that packages of an optional extra are installed, before they are imported."""
    absent = [module.replace("_", "-") for module in modules if find_spec(module) is None]
    if absent:
        raise MissingExtraError(f"{', '.join(absent)}: not installed; pip install 'facegen[{extra}]'")


def given_options() -> dict[str, str]:
    """Return the options given on the command line or in a file of settings: parameter -> its option, as in --out."""
    context = click.get_current_context()
    chosen = (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP)
    options = {param.name: param.opts[0] for param in context.command.params if isinstance(param, click.Option)}
    return {name: option for name, option in options.items() if context.get_parameter_source(name) in chosen}


def make_folder(out: Path) -> None:
    """Make the folder for the results, and check that files can be written there, before any work is done."""
    try:
        check_folder(out)
    except OSError as error:
        raise FileError(f"--out {out}: cannot be a folder for results ({error.strerror}); choose another.") from None


def for_each(items: Sequence[Item], work: Callable[[Item], object]) -> None:
    """Call `work` on every item, even after failures; then print a summary and exit with status 1 if any failed."""
    failed = []
    for item in items:
        try:
            work(item)
        except FacegenError as error:
            name = printable(item)
            say_error(error if name in str(error) else f"{name}: {error}")
            failed.append(name)
    if failed:
        say(f"{len(items) - len(failed)} done, {len(failed)} failed: {', '.join(failed)}")
        sys.exit(1)
