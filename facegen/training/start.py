"""From a recipe and a data folder to a trainer that is ready to run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from tomli_w import dumps as _toml
from torch import nn

from facegen.data.split import RECIPE, Warn, known_landmarks, load_square, source_of, split_files
from facegen.errors import RecipeError, TrainingError, WeightsError, one_line
from facegen.faces.align import Points
from facegen.recipe import load_recipe, read_toml
from facegen.training.callbacks import Callback
from facegen.training.checkpoints import checkpoints
from facegen.training.config import DCGANRecipe, JNetRecipe
from facegen.training.datasets import FaceDataset, TileDataset
from facegen.training.objectives import DCGANObjective, JNetObjective, Objective, UpscalerObjective
from facegen.training.objectives.dcgan import VALIDATED
from facegen.training.pairs import PairDataset
from facegen.training.parallel import make_fabric, share_batchnorm
from facegen.training.trainer import Trainer
from facegen.training.upscaler_config import SRGANRecipe, UNetRecipe
from facegen.weights import CARD_FILE, find_weights, load_network, read_card

AnyRecipe = DCGANRecipe | JNetRecipe | SRGANRecipe | UNetRecipe
RECIPES: dict[str, type[AnyRecipe]] = {
    "dcgan": DCGANRecipe,
    "jnet": JNetRecipe,
    "srgan": SRGANRecipe,
    "unet": UNetRecipe,
}
RESOLVED, SOURCES = RECIPE, "sources.toml"
UNSEEN_PORTRAITS = 24
"""Pictures that tiles and crops are cut from, for samples and figures, while training."""


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
    recipe: AnyRecipe,
    data: Path,
    out: Path,
    *,
    resume: bool = False,
    begin_with: str | None = None,
    callbacks: Sequence[Callback] = (),
    fabric: Fabric | None = None,
    warn: Warn = print,
) -> Trainer:
    """Load the pictures, build the networks from the recipe's seed, and take up the last checkpoint if asked.

    Args:
        resume: go on from the newest checkpoint in `out`.
        begin_with: published weights (their name, or a folder) that a new run starts from.
        callbacks: what is told of the training.
        fabric: the process among others that this one is; the only one if left away.
        warn: told of pictures that are left out.
    Raises:
        TrainingError: if there is nothing to train on, the run folder is in use, or there is nothing to resume.
        WeightsError: if the weights to begin with are missing, or another network's than the recipe's.
    """
    _check_folder(out, resume)
    files, kept_out = split_files(data, recipe.data)
    files = files[: recipe.data.limit]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{out}: cannot be made a run folder ({error.strerror}); choose another --out.") from None
    fabric = fabric or make_fabric(recipe.run.precision, device="cpu")
    objective, used = make_objective(recipe, files, kept_out, fabric.device, warn, known_landmarks(data, warn))
    if fabric.world_size > 1:
        for phase in objective.phases:
            share_batchnorm(phase.module)
    trainer = Trainer(objective, recipe.run, out, callbacks, fabric)
    if resume:
        trainer.resume()
    elif begin_with is not None:
        trainer.step = begin_from(objective, begin_with) // recipe.run.batch
    if fabric.is_global_zero:
        (out / RESOLVED).write_text(_toml(recipe.model_dump(mode="json", exclude_none=True)), encoding="utf-8")
        (out / SOURCES).write_text(_toml(Counter(source_of(file) for file in used)), encoding="utf-8")
    return trainer


def _check_folder(out: Path, resume: bool) -> None:
    """A run is begun in a folder without checkpoints, and gone on with in one that has some."""
    if checkpoints(out) and not resume:
        raise TrainingError(f"{out}: holds a run already; add --resume to go on with it, or choose another --out.")
    if resume and not checkpoints(out):
        raise TrainingError(f"{out}: there is no checkpoint to resume from; leave --resume away to begin.")


def resolved_recipe(out: Path) -> AnyRecipe:
    """The recipe a run folder was made with.

    Raises:
        TrainingError: if the folder is not a run's.
    """
    if not (out / RESOLVED).is_file():
        raise TrainingError(f"{out}: not a run folder, it has no {RESOLVED}.")
    return load_training_recipe(out / RESOLVED)


def make_objective(
    recipe: AnyRecipe,
    files: list[Path],
    unseen: list[Path],
    device: torch.device,
    warn: Warn,
    landmarks: Mapping[Path, Points],
) -> tuple[Objective, list[Path]]:
    """The stage's networks, from the recipe's seed, and its pictures.

    Args:
        files: pictures to train on.
        unseen: pictures for samples and figures, of which a few are used; if there are none, those trained on.
        landmarks: of files of which they are known, as `known_landmarks` gives them.
    Returns:
        the objective, and those of `files` that could be read.
    """
    torch.manual_seed(recipe.run.seed)
    seed = recipe.run.seed
    if isinstance(recipe, DCGANRecipe):
        side = recipe.generator.side
        faces = FaceDataset(files, side, seed, warn)
        known = load_square(unseen[:VALIDATED], side, warn)[0] if unseen else faces.pictures
        return DCGANObjective(recipe, faces, known, device), faces.files
    if isinstance(recipe, JNetRecipe):
        tiles, other_tiles = _tiles(recipe, files, unseen, landmarks, warn)
        return JNetObjective(recipe, tiles, other_tiles, device), tiles.files
    pairs, other_pairs = _pairs(recipe, files, unseen, warn)
    return UpscalerObjective(recipe, pairs, other_pairs, device), pairs.files


def _tiles(
    recipe: JNetRecipe, files: list[Path], unseen: list[Path], landmarks: Mapping[Path, Points], warn: Warn
) -> tuple[TileDataset, TileDataset]:
    """Tiles to train on, and others for samples and figures."""
    options: dict[str, Any] = {
        "side": recipe.side,
        "tile": recipe.generator.tile,
        "scale": recipe.generator.scale,
        "guide": recipe.guide,
        "config": recipe.tiles,
        "landmarks": landmarks,
        "warn": warn,
    }
    tiles = TileDataset(files, seed=recipe.run.seed, **options)
    return tiles, TileDataset((unseen or tiles.files)[:UNSEEN_PORTRAITS], seed=0, **options)


def _pairs(
    recipe: SRGANRecipe | UNetRecipe, files: list[Path], unseen: list[Path], warn: Warn
) -> tuple[PairDataset, PairDataset]:
    """Crops to train on, and others for samples and figures."""
    options: dict[str, Any] = {
        "side": recipe.side, "scale": recipe.generator.scale, "config": recipe.pairs, "warn": warn
    }  # fmt: skip
    pairs = PairDataset(files, seed=recipe.run.seed, **options)
    return pairs, PairDataset((unseen or pairs.files)[:UNSEEN_PORTRAITS], seed=0, **options)


def begin_from(objective: Objective, name: str) -> int:
    """Start a run's networks from published weights, and from the discriminators published beside them, where any are.

    Returns:
        the images that the weights have seen already; the run counts on from there.
    Raises:
        WeightsError: if there are none, or they are another network's than the recipe's.
    """
    folder = find_weights(name)
    card = read_card(folder)
    for network in objective.ema:
        _take_over(network, folder)
    for suffix, judge in objective.companions.items():
        beside = folder.with_name(folder.name + suffix)
        if (beside / CARD_FILE).is_file():
            _take_over(judge, beside)
    return card.images_seen


def _take_over(network: nn.Module, folder: Path) -> None:
    """Load weights; a trunk that they lack, or have less of, stays the identity that it begins as."""
    trained, _ = load_network(str(folder), type(network))
    begun = {name: value for name, value in network.state_dict().items() if name.startswith("trunk.")}
    try:
        network.load_state_dict(begun | trained.state_dict())
    except RuntimeError as error:
        reason = one_line(error)
        raise WeightsError(f"{folder}: not of the shape that the recipe gives the network ({reason}).") from None
