"""`facegen evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from facegen import __version__
from facegen.cli.film_options import Rate
from facegen.cli.options import FILE, PATH, given_options, load_pipeline, make_folder, pipeline_options
from facegen.cli.printing import console, print_path, say
from facegen.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from facegen.data.split import Split
    from facegen.evaluation.groups import Grouping
    from facegen.evaluation.report import Evaluation
    from facegen.pipeline import FacePipeline
    from facegen.weights import Card
Loaded = TypeVar("Loaded")
MEASURED = {"dcgan": {"samples", "inception"}, "jnet": {"pictures", "damage", "groups"}}
"""Kinds of weights that can be measured -> their own options, which change nothing for the other kind."""
FOR_FILMS = {"out", "fps", "threads", "settings"}
"""Options for films."""


@click.command()
@click.argument("measured", nargs=-1, required=True, metavar="WEIGHTS... | FILMS...")
@click.option("--data", type=PATH, help="For weights: folder of pictures, as in training.")
@click.option("--out", type=PATH, default=Path("evaluation"), help="Folder for evaluation.json and evaluation.html.")
@click.option("--samples", type=click.IntRange(min=1), default=1000, help="Stage 1: samples to draw.")
@click.option("--pictures", type=click.IntRange(min=2), default=60, help="Stage 2: portraits to upscale.")
@click.option(
    "--held-out", type=click.IntRange(min=0),
    help="Number of pictures held out of training.  [default: from the recipe in the weight folder]",
)
@click.option(
    "--include", multiple=True, metavar="PATTERN",
    help='Measure only on pictures below --data that match: "studio/*".  [default: from the recipe]',
)
@click.option(
    "--inception", type=FILE, metavar="FILE",
    help="Stage 1: torch-fidelity's Inception weights, for the FID.  [default: torch.hub's copy, if there is one]",
)
@click.option(
    "--damage", type=click.Choice(["mild", "medium", "strong"]),
    help="Stage 2: first damage the reduced portraits by blur, noise and JPEG, as docs/upscaling.md describes.",
)
@click.option(
    "--groups", metavar="[skin|FILE]",
    help="Stage 2: also compare groups of people: skin, by the estimated tone of their cheeks, or the columns of a CSV "
    "file with a column named file.",
)
@click.option("--fps", type=Rate(), default=Fraction(30), help="Frame rate of films that are folders of frames.")
@pipeline_options
def evaluate(
    measured: tuple[str, ...], data: Path | None, out: Path, samples: int, pictures: int, held_out: int | None,
    include: tuple[str, ...], inception: Path | None, damage: str | None, groups: str | None, fps: Fraction,
    recipe: str, overrides: tuple[str, ...], device: str,
) -> None:  # fmt: skip
    """Measure WEIGHTS, shipped names or folders, on pictures held out of their training. Or measure FILMS, files or
    folders of frames: flicker, warping error, landmark jitter, sharpness.

    Several generators are measured side by side, on the same pictures; so are several films.
    """
    from facegen.data.split import shared_split
    from facegen.networks import role_overrides
    from facegen.weights import find_weights, read_card

    if films := _films(measured):
        refuse_options(given_options().keys() - FOR_FILMS, f"{films[0]}, a film")
        _evaluate_films(films, fps, out)
        return
    if data is None:
        names = ", ".join(measured)
        raise UsageError(f"{names}: not a film; to measure weights, name a folder of pictures with --data.")
    folders = [find_weights(name) for name in measured]
    cards = [read_card(folder) for folder in folders]
    _check_kinds(folders, cards)
    draws = cards[0].kind == "dcgan"
    refuse_options({"fps", *MEASURED["jnet" if draws else "dcgan"]}, f"{measured[0]}, a {cards[0].kind}")
    grouping, columns = None if groups is None else _grouping(groups), _columns(measured, cards)
    split = shared_split(data, folders, held_out, include)
    make_folder(out)
    changes = [(*overrides, *role_overrides([str(folder)])) for folder in folders]
    pipelines = {column: load_pipeline(recipe, change, device) for column, change in zip(columns, changes, strict=True)}
    facts = _facts(cards, data, recipe, overrides)
    if draws:
        evaluations: Sequence[Evaluation] = [_stage_1(pipelines, split, samples, inception, facts)]
    else:
        evaluations = _stage_2(pipelines, split, pictures, damage, grouping, facts)
    for evaluation, name in zip(evaluations, ("evaluation", "groups"), strict=False):
        show(replace(evaluation, facts=facts), out, name)


def _evaluate_films(films: Sequence[Path], fps: Fraction, out: Path) -> None:
    from facegen.evaluation.temporal import evaluate_films

    make_folder(out)
    evaluation = evaluate_films(films, fps, say)
    show(replace(evaluation, facts={**evaluation.facts, "facegen": __version__}), out, "evaluation")


def show(evaluation: Evaluation, out: Path, name: str) -> None:
    """Print the figures as a table, if there are any; write NAME.json and NAME.html and print their paths."""
    from facegen.evaluation.report import least_width, to_table, write_evaluation

    if evaluation.figures:
        wide = console()
        wide.width = max(wide.width, least_width(evaluation))
        wide.print(to_table(evaluation))
    for path in write_evaluation(evaluation, out, name):
        print_path(path)


def load_optional(load: Callable[[], Loaded], facts: dict[str, str]) -> Loaded | None:
    """Load the network of a figure; where it is not installed, print and note that in `facts`, and return None."""
    try:
        return load()
    except MissingExtraError as error:
        say(error)
        facts["note"] = str(error)
        return None


def refuse_options(names: Collection[str], measured: str) -> None:
    """Refuse options that were given, but have no effect on what is measured."""
    for name, option in given_options().items():
        if name in names:
            raise UsageError(f"{option} has no effect on {measured}; omit it.")


def _films(measured: Sequence[str]) -> list[Path]:
    """Return the films; none if all arguments name weights. Films and weights together are an error."""
    from facegen.evaluation.temporal import is_film

    films = [Path(name) for name in measured if is_film(Path(name))]
    if films and len(films) < len(measured):
        (other, *_) = (name for name in measured if not is_film(Path(name)))
        raise UsageError(f"{films[0]} is a film, {other} is not; measure weights and films separately.")
    return films


def _stage_1(
    pipelines: dict[str, FacePipeline], split: Split, count: int, inception: Path | None, facts: dict[str, str]
) -> Evaluation:
    from facegen.evaluation.features import load_inception
    from facegen.evaluation.samples import evaluate_samples

    device = next(iter(pipelines.values())).device
    extractor = load_optional(partial(load_inception, inception, device), facts)
    return evaluate_samples(pipelines, split, count, say, extractor)


def _stage_2(
    pipelines: dict[str, FacePipeline],
    split: Split,
    count: int,
    damage: str | None,
    grouping: Grouping | None,
    facts: dict[str, str],
) -> Sequence[Evaluation]:
    from facegen.data.split import spread
    from facegen.evaluation.compare import evaluate_portraits
    from facegen.evaluation.features import load_lpips

    (pipeline,) = pipelines.values()
    lpips = load_optional(partial(load_lpips, pipeline.device), facts)
    return evaluate_portraits(pipeline, spread(split.held_out, count), split.text, say, lpips, damage, grouping)


def _grouping(groups: str) -> Grouping:
    from facegen.evaluation.groups import SKIN, by_labels, by_skin

    return by_skin if groups == SKIN else by_labels(Path(groups))


def _check_kinds(folders: Sequence[Path], cards: Sequence[Card]) -> None:
    """Refuse weights that make no pictures, and several that do not fit in one table."""
    for folder, card in zip(folders, cards, strict=True):
        if card.kind not in MEASURED:
            raise UsageError(f"{folder}: holds a {card.kind}, which makes no pictures; name a dcgan or a jnet.")
        if len(cards) > 1 and card.kind != "dcgan":
            reason = "only generators (dcgan) are measured side by side, so measure it alone."
            raise UsageError(f"{folder}: holds a {card.kind}; {reason}")


def _columns(weights: Sequence[str], cards: Sequence[Card]) -> list[str]:
    """Name the columns of the table as the cards do, or, if two cards have the same name, as the user did."""
    from facegen.evaluation.samples import SAMPLES

    if len(cards) == 1:
        return [SAMPLES]
    names = [card.name for card in cards]
    if len(set(names)) == len(names):
        return names
    if len(set(weights)) < len(weights):
        raise UsageError(f"{' '.join(weights)}: names the same weights twice; name each once.")
    return list(weights)


def _facts(cards: Sequence[Card], data: Path, recipe: str, overrides: tuple[str, ...]) -> dict[str, str]:
    return {
        "weights": ", ".join(card.name for card in cards),
        "kind": cards[0].kind,
        "sha256": ", ".join(card.sha256 for card in cards),
        "images_seen": ", ".join(str(card.images_seen) for card in cards),
        "data": str(data),
        "pipeline": " ".join((recipe, *overrides)),
        "facegen": __version__,
    }
