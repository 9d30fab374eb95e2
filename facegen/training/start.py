"""From a recipe and a data folder to a trainer that is ready to run, or to an estimate of the run (dry run)."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from tomli_w import dumps as _toml
from torch import Tensor, nn
from torch.distributed import is_torchelastic_launched

from facegen.data.split import (
    RECIPE,
    Warn,
    count_sources,
    known_landmarks,
    load_square,
    split_files,
    training_files,
)
from facegen.errors import RecipeError, TrainingError, WeightsError, one_line
from facegen.faces.align import Points
from facegen.media.report import write_text
from facegen.models.jnet import JNet
from facegen.recipe import override, parse_recipe, read_toml
from facegen.training.callbacks import Callback, Run
from facegen.training.checkpoints import checkpoints
from facegen.training.config import DCGANRecipe, JNetRecipe, SRGANRecipe, UNetRecipe
from facegen.training.datasets import FaceDataset, PairDataset
from facegen.training.distributed import make_fabric, share_batchnorm
from facegen.training.objectives import DCGANObjective, JNetObjective, Objective, UpscalerObjective
from facegen.training.objectives.dcgan import VALIDATED
from facegen.training.tiles import TileDataset
from facegen.training.trainer import Trainer
from facegen.weights import companion, find_weights, load_network, read_card

AnyRecipe = DCGANRecipe | JNetRecipe | SRGANRecipe | UNetRecipe
RECIPES: dict[str, type[AnyRecipe]] = {
    "dcgan": DCGANRecipe,
    "jnet": JNetRecipe,
    "srgan": SRGANRecipe,
    "unet": UNetRecipe,
}
RESOLVED, SOURCES = RECIPE, "sources.toml"
UNSEEN_PORTRAITS = 24
"""Kept-out pictures that tiles and crops are cut from, for samples and figures, while training."""
PICTURES, STEPS = 8, 3
"""Pictures that a dry run reads; steps that it times, after one that it does not."""


def load_training_recipe(path: Path, overrides: Iterable[str] = (), *, on_gpu: bool = False) -> AnyRecipe:
    """Read a training recipe; its `kind` says which.

    The tables [gpu.run], [gpu.optimizer], ... hold what is different on a GPU; `overrides` come after them.
    """
    values = read_toml(path)
    kind, other = values.get("kind"), values.pop("gpu", {})
    if not isinstance(kind, str) or kind not in RECIPES:
        raise RecipeError(f"{path}: kind is {kind!r}, expected one of {', '.join(RECIPES)} in a training recipe.")
    if not isinstance(other, dict) or not all(isinstance(table, dict) for table in other.values()):
        raise RecipeError(f"{path}: gpu holds more than tables; expected [gpu.run], [gpu.optimizer] and the like.")
    for table, changes in other.items() if on_gpu else ():
        values[table] = {**values.get(table, {}), **changes}
    for text in overrides:
        override(values, text)
    return parse_recipe(values, RECIPES[kind], source=str(path))


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
    """Load the pictures, build the networks from the recipe's seed, and load the last checkpoint if asked.

    Args:
        resume: go on from the newest checkpoint in `out`; under torchrun, which gives the same command when it starts
            processes again, begin if there is none yet.
        begin_with: published weights (their name, or a folder) that a new run starts from.
        fabric: this process among others; a single one if omitted.
        warn: called with a message about pictures that are omitted.
    Raises:
        TrainingError: if there is nothing to train on, the run folder is in use, or there is nothing to resume.
        WeightsError: if the weights to begin with are missing, or do not fit the recipe's networks.
    """
    if checkpoints(out) and not resume:
        raise TrainingError(f"{out}: holds a run already; add --resume to go on with it, or choose another --out.")
    if resume and not checkpoints(out) and not is_torchelastic_launched():
        raise TrainingError(f"{out}: there is no checkpoint to resume from; leave --resume away to begin.")
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
    trainer = Trainer(objective, recipe.run, out, (Beginning(recipe, used), *callbacks), fabric)
    if resume:
        trainer.resume()
    elif begin_with is not None:
        trainer.step = begin_from(objective, begin_with) // recipe.run.batch
    return trainer


class Beginning(Callback):
    """recipe.toml and sources.toml, written once the folder is this run's alone."""

    def __init__(self, recipe: AnyRecipe, used: Sequence[Path]) -> None:
        self.recipe, self.used = recipe, used

    def on_start(self, run: Run) -> None:
        write_text(run.folder / RESOLVED, _toml(self.recipe.model_dump(mode="json", exclude_none=True)))
        write_text(run.folder / SOURCES, _toml(count_sources(self.used)))


def resolved_recipe(out: Path) -> AnyRecipe:
    """The recipe a run folder was made with."""
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
    """The stage's networks, from the recipe's seed, and those of `files` that could be read.

    Samples and figures are made of a few `unseen` pictures; if there are none, of those trained on.
    """
    seed = recipe.run.seed
    torch.manual_seed(seed)
    if isinstance(recipe, DCGANRecipe):
        side = recipe.generator.side
        faces = FaceDataset(files, side, seed, device, warn)
        known = load_square(unseen[:VALIDATED], side, warn)[0] if unseen else faces.pictures[:VALIDATED].cpu().numpy()
        return DCGANObjective(recipe, faces, known, device), faces.files
    shared: dict[str, Any] = {"side": recipe.side, "scale": recipe.generator.scale, "device": device, "warn": warn}
    if isinstance(recipe, JNetRecipe):
        network = recipe.generator
        shared |= {"tile": network.tile, "guide": recipe.guide, "config": recipe.tiles, "strength": network.strength}
        shared["landmarks"] = landmarks
        tiles = TileDataset(files, seed=seed, **shared)
        other_tiles = TileDataset((unseen or tiles.files)[:UNSEEN_PORTRAITS], seed=0, **shared)
        return JNetObjective(recipe, tiles, other_tiles, device), tiles.files
    pairs = PairDataset(files, seed=seed, config=recipe.pairs, **shared)
    other_pairs = PairDataset((unseen or pairs.files)[:UNSEEN_PORTRAITS], seed=0, config=recipe.pairs, **shared)
    return UpscalerObjective(recipe, pairs, other_pairs, device), pairs.files


def begin_from(objective: Objective, name: str) -> int:
    """Start a run's networks from published weights, and from the discriminators published with them, if any.

    The run counts on from the images that they have seen already, which are returned.
    """
    folder = find_weights(name)
    for network in objective.ema:
        _load(network, folder)
    for suffix, network in objective.companions.items():
        published = companion(name, suffix)
        if published is not None:
            _load(network, published)
    return read_card(folder).images_seen


def _load(network: nn.Module, folder: Path) -> None:
    """Load weights; blocks of the trunk that they lack stay the identity that they begin as, and a plane of strength
    that they lack has no effect at first."""
    trained, _ = load_network(str(folder), type(network))
    state = trained.state_dict()
    if isinstance(network, JNet) and isinstance(trained, JNet) and network.config.strength:
        state = _told_strength(state, network.state_dict())
    begun = {name: value for name, value in network.state_dict().items() if name.startswith("trunk.")}
    try:
        network.load_state_dict(begun | state)
    except RuntimeError as error:
        reason = one_line(error)
        raise WeightsError(f"{folder}: not of the shape that the recipe gives the network ({reason}).") from None


def _told_strength(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give kernels one more plane of the input, with no effect, where the network's own have one more."""
    wider = {
        name for name, value in state.items()
        if value.ndim == 4 and name in own and own[name].shape[1] == value.shape[1] + 1
    }  # fmt: skip
    return {name: F.pad(value, (0, 0, 0, 0, 0, 1)) if name in wider else value for name, value in state.items()}


@dataclass(frozen=True)
class DryRun:
    """An estimate; the pictures' memory is calculated, the rest measured."""

    parameters: dict[str, int]
    """Number for each network that is saved."""
    pictures: int
    picture_bytes: int
    peak_bytes: int | None
    """Of this process, or of the GPU, in the steps; None on Windows, which does not tell."""
    images_per_second: float
    """Without waiting for pictures."""
    seconds: float
    """For all of run.images at that speed."""


def dry_run(recipe: AnyRecipe, data: Path, *, device: str = "cpu", warn: Warn = print) -> DryRun:
    """Build the networks and time a few steps, writing nothing."""
    files = training_files(data, recipe.data)
    fabric = make_fabric(recipe.run.precision, device=device)
    landmarks = known_landmarks(data, warn)
    objective, _ = make_objective(recipe, files[:PICTURES], files[:1], fabric.device, warn, landmarks)
    trainer = Trainer(objective, recipe.run, Path(), fabric=fabric)
    trainer.step = -(-recipe.optimizer.generator_from // recipe.run.batch)  # both networks train from there on
    trainer.train_step()
    started = time.perf_counter()
    for _ in range(STEPS):
        trainer.train_step()
    speed = STEPS * recipe.run.batch / (time.perf_counter() - started)
    side = recipe.generator.side if isinstance(recipe, DCGANRecipe) else recipe.side
    return DryRun(
        parameters={name: sum(p.numel() for p in m.parameters()) for name, m in objective.modules.items()},
        pictures=len(files),
        picture_bytes=len(files) * side * side * 3,
        peak_bytes=_peak(fabric.device),
        images_per_second=speed,
        seconds=recipe.run.images / speed,
    )


def _peak(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None
    else:  # noqa: RET505 - the form that mypy understands
        import resource

        unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kilobytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
