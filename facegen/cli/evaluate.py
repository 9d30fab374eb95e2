"""`facegen evaluate`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facegen.cli.common import load_pipeline, make_folder, pipeline_options
from facegen.errors import UsageError

if TYPE_CHECKING:
    from facegen.weights import Card

ROLES = {"dcgan": "generator", "jnet": "upscaler"}
"""Kind of weights -> what they are in a pipeline recipe's [weights]."""


@click.command()
@click.argument("weights")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Folder of pictures, as in training.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("evaluation"),
    show_default=True,
    help="Folder for evaluation.json and evaluation.html.",
)
@click.option(
    "--samples", type=click.IntRange(min=1), default=1000, show_default=True, help="Stage 1: samples to draw."
)
@click.option(
    "--pictures", type=click.IntRange(min=2), default=60, show_default=True, help="Stage 2: portraits to raise."
)
@click.option(
    "--held-out",
    type=click.IntRange(min=0),
    default=None,
    help="Pictures kept out of training.  [default: as the recipe in the weight folder says]",
)
@click.option(
    "--include",
    multiple=True,
    metavar="PATTERN",
    help='Measure on those below --data that match: "studio/*".  [default: as the recipe]',
)
@pipeline_options
def evaluate(
    weights: str,
    data: Path,
    out: Path,
    samples: int,
    pictures: int,
    held_out: int | None,
    include: tuple[str, ...],
    recipe: str,
    overrides: tuple[str, ...],
    device: str,
) -> None:
    """Measure WEIGHTS, a shipped name or a folder, on pictures kept out of their training."""
    from rich.console import Console

    from facegen.evaluation.pictures import read_split, spread
    from facegen.evaluation.portraits import evaluate_portraits
    from facegen.evaluation.report import to_table, write_evaluation
    from facegen.evaluation.samples import evaluate_samples
    from facegen.weights import find_weights, read_card

    folder = find_weights(weights)
    card = read_card(folder)
    role = _role(folder, card)
    split = read_split(data, folder, held_out, include)
    make_folder(out)
    pipeline = load_pipeline(recipe, (*overrides, f"weights.{role}={json.dumps(str(folder))}"), device)
    if role == "generator":
        evaluation = evaluate_samples(pipeline, split, samples, _report)
    else:
        evaluation = evaluate_portraits(pipeline, spread(split.kept_out, pictures), split.text, _report)
    evaluation = replace(evaluation, facts=_facts(card, data, recipe, overrides))
    Console().print(to_table(evaluation))
    for path in write_evaluation(evaluation, out):
        click.echo(path)


def _role(folder: Path, card: Card) -> str:
    if card.kind not in ROLES:
        raise UsageError(f"{folder}: holds a {card.kind}, which makes no pictures; name a dcgan or a jnet.")
    return ROLES[card.kind]


def _facts(card: Card, data: Path, recipe: str, overrides: tuple[str, ...]) -> dict[str, str]:
    from facegen import __version__

    return {
        "weights": card.name,
        "kind": card.kind,
        "sha256": card.sha256,
        "images_seen": str(card.images_seen),
        "data": str(data),
        "pipeline": " ".join((recipe, *overrides)),
        "facegen": __version__,
    }


def _report(line: str) -> None:
    click.echo(line, err=True)
