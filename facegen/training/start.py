"""From a recipe and a data folder to a trainer that is ready to run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import torch
from tomli_w import dumps as _toml

from facegen.data.split import source_of
from facegen.errors import RecipeError, TrainingError
from facegen.recipe import load_recipe, read_toml
from facegen.training.config import DCGANRecipe, JNetRecipe
from facegen.training.datasets import FaceDataset, TileDataset, Warn, training_files
from facegen.training.objectives import DCGANObjective, JNetObjective, Objective
from facegen.training.trainer import Report, Trainer, checkpoints

AnyRecipe = DCGANRecipe | JNetRecipe
RECIPES: dict[str, type[DCGANRecipe] | type[JNetRecipe]] = {"dcgan": DCGANRecipe, "jnet": JNetRecipe}
RESOLVED, SOURCES = "recipe.toml", "sources.toml"


def load_training_recipe(path: Path, overrides: Iterable[str] = ()) -> AnyRecipe:
    """Read a training recipe; its `kind` says which.

    Raises:
        RecipeError: naming file and key.
    """
    kind = read_toml(path).get("kind")
    if not isinstance(kind, str) or kind not in RECIPES:
        raise RecipeError(f"{path}: kind is {kind!r}, expected one of {', '.join(RECIPES)} in a training recipe.")
    return load_recipe(path, RECIPES[kind], overrides)


def make_trainer(
    recipe: AnyRecipe, data: Path, out: Path, *, resume: bool, report: Report = lambda _: None, warn: Warn = print
) -> Trainer:
    """Load the pictures, build the networks from the recipe's seed, and take up the last checkpoint if asked.

    Raises:
        TrainingError: if there is nothing to train on, the run folder is in use, or there is nothing to resume.
    """
    if checkpoints(out) and not resume:
        raise TrainingError(f"{out}: holds a run already; add --resume to go on with it, or choose another --out.")
    if resume and not checkpoints(out):
        raise TrainingError(f"{out}: there is no checkpoint to resume from; leave --resume away to begin.")
    files = training_files(data, recipe.data)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{out}: cannot be made a run folder ({error.strerror}); choose another --out.") from None
    torch.manual_seed(recipe.run.seed)
    trainer = Trainer(_objective(recipe, files, warn), recipe.run, out, report)
    if resume:
        trainer.resume()
    (out / RESOLVED).write_text(_toml(recipe.model_dump(mode="json", exclude_none=True)), encoding="utf-8")
    (out / SOURCES).write_text(_toml(Counter(source_of(file) for file in files)), encoding="utf-8")
    return trainer


def resolved_recipe(out: Path) -> AnyRecipe:
    """The recipe a run folder was made with.

    Raises:
        TrainingError: if the folder is not a run's.
    """
    if not (out / RESOLVED).is_file():
        raise TrainingError(f"{out}: not a run folder, it has no {RESOLVED}.")
    return load_training_recipe(out / RESOLVED)


def _objective(recipe: AnyRecipe, files: list[Path], warn: Warn) -> Objective:
    if isinstance(recipe, DCGANRecipe):
        return DCGANObjective(recipe, FaceDataset(files, recipe.generator.side, recipe.run.seed, warn))
    data = TileDataset(
        files,
        side=recipe.side,
        tile=recipe.generator.tile,
        scale=recipe.generator.scale,
        guide=recipe.guide,
        config=recipe.tiles,
        seed=recipe.run.seed,
        warn=warn,
    )
    return JNetObjective(recipe, data)
