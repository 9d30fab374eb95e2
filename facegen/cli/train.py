"""`facegen train`."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facegen.cli.options import PATH, need_packages
from facegen.cli.printing import say
from facegen.errors import TrainingError, UsageError, suggest
from facegen.files import PIPELINES, is_plain

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from facegen.training.start import AnyRecipe

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
COUNTS = {"": 1, "k": 1_000, "M": 1_000_000}


class Duration(click.ParamType[float]):
    """A duration, as in 90s, 30m, 2h or 1.5h, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", str(value))
        if not found:
            self.fail(f"{value!r} is not a duration; write 90s, 30m or 2h.", param, ctx)
        return float(found[1]) * UNITS[found[2]]


class Count(click.ParamType[int]):
    """A number of images, as in 800, 500k or 1.5M."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)([kM]?)", str(value))
        number = Decimal(found[1]) * COUNTS[found[2]] if found else Decimal(0)
        if number < 1 or number % 1:
            self.fail(f"{value!r} is not a number of images; write 800, 500k or 1.5M.", param, ctx)
        return int(number)


class TrainingRecipe(click.ParamType[Path]):
    """A shipped training recipe by its name, or any training recipe by its path."""

    name = "recipe"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        text, folder = str(value), PIPELINES / "train"
        if text.endswith(".toml") or is_plain(Path(text)):
            return Path(text)
        known = sorted(path.stem for path in folder.glob("*.toml"))
        if text not in known:
            raise UsageError(f"{text}: neither a .toml file nor a shipped recipe" + suggest(text, known, "'"))
        return folder / f"{text}.toml"


@click.command()
@click.argument("recipe", type=TrainingRecipe())
@click.option("--data", required=True, type=PATH, help="Folder of aligned pictures.")
@click.option("--out", type=PATH, help="Run folder: stats, samples, checkpoints.")
@click.option("--resume", is_flag=True, help="Continue from the newest checkpoint in --out.")
@click.option("--from", "begin_with", metavar="WEIGHTS", help="Start from published weights, by name or folder.")
@click.option(
    "--time", "seconds", type=Duration(),
    help="End after this time, with the learning rate at the recipe's final value: 90s, 30m, 2h.",
)
@click.option("--images", type=Count(), help="End at this number of images in total: 800, 500k.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a value of RECIPE: run.batch=8.")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto",
    help="Device to train on; auto takes a GPU if there is one.",
)
@click.option("--devices", type=click.IntRange(min=1), default=1, help="Number of processes, one for each device.")
@click.option("--threads", type=click.IntRange(min=1), help="Processor threads of each process.")
@click.option("--dry-run", is_flag=True, help="Print the recipe, parameters, memory and speed; do not train.")
def train(
    recipe: Path,
    data: Path,
    out: Path | None,
    resume: bool,
    begin_with: str | None,
    seconds: float | None,
    images: int | None,
    overrides: tuple[str, ...],
    device: str,
    devices: int,
    threads: int | None,
    dry_run: bool,
) -> None:
    """Train a network by RECIPE, a shipped one as dcgan-128 or a file; Ctrl-C saves the run, --resume continues it."""
    need_packages("train", "lightning_fabric", "matplotlib", "tensorboardX")
    import torch

    from facegen.training.distributed import end_processes, make_fabric
    from facegen.training.start import load_training_recipe

    if threads is not None:
        torch.set_num_threads(threads)
    if images is not None:
        overrides = (*overrides, f"run.images={images}")
    on_gpu = device != "cpu" and torch.cuda.is_available()
    resolved = load_training_recipe(recipe, overrides, on_gpu=on_gpu)
    if dry_run:
        _print_dry_run(resolved, data, device)
        return
    if out is None:
        raise click.UsageError("Missing option '--out': the run folder to write to.")
    if resume and begin_with is not None:
        raise click.UsageError("--from begins a run and --resume continues one; give only one of them.")
    fabric = make_fabric(resolved.run.precision, device=device, devices=devices)
    try:
        _train(resolved, data, out, seconds, fabric, resume=resume, begin_with=begin_with)
    finally:
        end_processes()


def _train(recipe: AnyRecipe, data: Path, out: Path, seconds: float | None, fabric: Fabric, **beginning: Any) -> None:
    from facegen.training.callbacks import Samples, StatsFile, TensorBoard, TrainingProgress, Watchdog
    from facegen.training.checkpoints import checkpoints
    from facegen.training.start import make_trainer

    fabric.launch()
    progress = TrainingProgress()
    watchdog = Watchdog(progress.warn, bounded=recipe.loss.kind != "wasserstein")
    callbacks = (StatsFile(), Samples(), TensorBoard(), watchdog, progress)
    report, warn = (partial(say, err=False), progress.warn) if fabric.is_global_zero else (_ignore, _ignore)
    trainer = make_trainer(recipe, data, out, callbacks=callbacks, fabric=fabric, warn=warn, **beginning)
    report(f"Training from {trainer.images_seen} images seen, into {out}.")
    try:
        trainer.run(float("inf") if seconds is None else seconds)
    except OSError as error:
        reason = f"{error.strerror or error}; free some space, or change the permissions, and continue with --resume"
        raise TrainingError(f"{out}: cannot be written ({reason}).") from None
    except KeyboardInterrupt:
        saved = [int(path.stem) for path in checkpoints(out)]
        state = f"Saved at {saved[-1]} images" if saved else "Nothing is saved yet"
        report("", f"{state}." + (" To continue, add --resume to the same command." if saved else ""))
        raise SystemExit(130) from None
    report(f"Done at {trainer.images_seen} images. Publish with: facegen publish {out} NAME")


def _ignore(*lines: object) -> None:
    """Drop the messages of every process but the first."""


def _print_dry_run(recipe: AnyRecipe, data: Path, device: str) -> None:
    from tomli_w import dumps

    from facegen.training.start import dry_run

    found = dry_run(recipe, data, device=device, warn=say)
    lines = [*dumps(recipe.model_dump(mode="json", exclude_none=True)).splitlines(), ""]
    lines += [f"{name:<14} {count:>12,} parameters" for name, count in found.parameters.items()]
    lines += [f"{'pictures':<14} {found.pictures:>12,} to train on, {found.picture_bytes / 2**20:,.0f} MiB in memory"]
    if found.peak_bytes is not None:
        lines += [f"{'memory':<14} {found.peak_bytes / 2**20:>12,.0f} MiB at the peak of a step, without the pictures"]
    lines += [f"{'speed':<14} {found.images_per_second:>12,.1f} images/s here"]
    lines += [f"{'time':<14} {found.seconds / 3600:>12,.1f} h for {recipe.run.images:,} images"]
    say(*lines, err=False)
