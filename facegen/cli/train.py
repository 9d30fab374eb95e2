"""`facegen train`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class Duration(click.ParamType[float]):
    """90s, 30m, 2h or 1.5h; in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", str(value))
        if not found:
            self.fail(f"{value!r} is not a duration; write 90s, 30m or 2h.", param, ctx)
        return float(found[1]) * UNITS[found[2]]


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Folder of aligned pictures.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Run folder: stats, samples, checkpoints.")
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint in --out.")
@click.option("--time", "seconds", type=Duration(), default=None, help="Stop after this long: 90s, 30m, 2h.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, as in run.batch=8.")
@click.option("--threads", type=click.IntRange(min=1), default=None, help="Processor threads to use.")
def train(
    recipe: Path,
    data: Path,
    out: Path,
    resume: bool,
    seconds: float | None,
    overrides: tuple[str, ...],
    threads: int | None,
) -> None:
    """Train a stage by RECIPE (see pipelines/train/); Ctrl-C saves, --resume goes on."""
    import torch

    from facegen.training.start import load_training_recipe, make_trainer

    if threads is not None:
        torch.set_num_threads(threads)
    trainer = make_trainer(load_training_recipe(recipe, overrides), data, out, resume=resume, report=_print_stats)
    click.echo(f"Training from {trainer.images_seen} images seen, into {out}.")
    try:
        trainer.run(float("inf") if seconds is None else seconds)
    except KeyboardInterrupt:
        click.echo(f"\nSaved at {trainer.images_seen} images. To go on, add --resume to the same command.")
        raise SystemExit(130) from None
    click.echo(f"Done at {trainer.images_seen} images. Publish with: facegen publish {out} NAME")


def _print_stats(stats: dict[str, Any]) -> None:
    click.echo("  ".join(f"{key} {value if isinstance(value, int) else f'{value:g}'}" for key, value in stats.items()))
