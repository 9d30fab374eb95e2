"""Make a trainer, or estimate a run without making one (dry run), from a recipe and a data folder."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from tomli_w import dumps as _toml
from torch import Tensor, nn
from torch.distributed import is_torchelastic_launched

from facegen.arrays import Points
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
from facegen.files import write_text
from facegen.models.jnet import JNet
from facegen.recipe import override, parse_recipe, read_toml
from facegen.training.callbacks import Callback
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
"""Held-out pictures from which training cuts the tiles and crops for samples and figures."""
PICTURES, STEPS = 8, 3
"""Pictures that a dry run reads; steps that it times, at least, after a first one that does not count."""


def load_training_recipe(path: Path, overrides: Iterable[str] = (), *, on_gpu: bool = False) -> AnyRecipe:
    """Read a training recipe of the `kind` that it states.

    The tables [gpu.run], [gpu.optimizer], ... hold the values that differ on a GPU; `overrides` replace them too.
    """
    values = read_toml(path)
    kind, gpu = values.get("kind"), values.pop("gpu", {})
    if not isinstance(kind, str) or kind not in RECIPES:
        raise RecipeError(f"{path}: kind is {kind!r}, expected one of {', '.join(RECIPES)} in a training recipe.")
    if not isinstance(gpu, dict) or not all(isinstance(t, dict) for n in gpu for t in (gpu[n], values.get(n, {}))):
        raise RecipeError(f"{path}: gpu holds more than tables of the recipe; expected [gpu.run], for example.")
    for table, changes in gpu.items() if on_gpu else ():
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
    """Load the pictures, build the networks from the recipe's seed, and load a checkpoint to resume from.

    Args:
        resume: go on from the newest checkpoint in `out`. Under torchrun, which repeats the command when it restarts
            processes, begin if there is none yet.
        begin_with: published weights (their name, or a folder) that a new run starts from.
        fabric: this process among others; a single process if omitted.
        warn: receives messages about omitted pictures.
    Raises:
        TrainingError: if the pictures, the run folder, or the weights to begin with cannot be used for this run.
        WeightsError: if the weights to begin with are missing, or do not fit the recipe's networks.
    """
    _check_run_folder(out, resume)
    files, held_out = split_files(data, recipe.data)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{out}: cannot be made a run folder ({error.strerror}); choose another --out.") from None
    fabric = fabric or make_fabric(recipe.run.precision, device="cpu")
    files, landmarks = files[: recipe.data.limit], known_landmarks(data, warn)
    objective, used = make_objective(recipe, files, held_out, fabric.device, warn, landmarks)
    for phase in objective.phases if fabric.world_size > 1 else ():
        share_batchnorm(phase.module)
    trainer = Trainer(objective, recipe.run, out, (Beginning(recipe, used), *callbacks), fabric)
    if resume:
        trainer.resume()
    elif begin_with is not None:
        trainer.step = begin_from(objective, begin_with, recipe.run.images) // recipe.run.batch
    return trainer


def _check_run_folder(out: Path, resume: bool) -> None:
    """Refuse to begin in a folder with a run, or to resume in one without."""
    if checkpoints(out) and not resume:
        raise TrainingError(f"{out}: holds a run already; add --resume to go on with it, or choose another --out.")
    if resume and not checkpoints(out) and not is_torchelastic_launched():
        raise TrainingError(f"{out}: there is no checkpoint to resume from; omit --resume to begin.")


class Beginning(Callback):
    """Writes recipe.toml and sources.toml once the run has locked its folder."""

    def __init__(self, recipe: AnyRecipe, used: Sequence[Path]) -> None:
        self.recipe, self.used = recipe, used

    def on_start(self, run: Trainer) -> None:
        write_text(run.folder / RESOLVED, _toml(self.recipe.model_dump(mode="json", exclude_none=True)))
        write_text(run.folder / SOURCES, _toml(count_sources(self.used)))


def resolved_recipe(out: Path) -> AnyRecipe:
    """Read the recipe that a run folder was made with."""
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
    """Build the stage's networks from the recipe's seed; also return the `files` that could be read.

    Samples and figures use a few `unseen` pictures; if there are none, training pictures.
    """
    seed = recipe.run.seed
    torch.manual_seed(seed)
    if isinstance(recipe, DCGANRecipe):
        side = recipe.generator.side
        faces = FaceDataset(files, side, seed, device, warn)
        real = load_square(unseen[:VALIDATED], side, warn)[0] if unseen else faces.pictures[:VALIDATED].cpu().numpy()
        if len(real) < 2:
            raise TrainingError("There is 1 picture to compare samples with, expected at least 2; see data.held_out.")
        return DCGANObjective(recipe, faces, real, device), faces.files
    side, scale = recipe.side, recipe.generator.scale
    if isinstance(recipe, JNetRecipe):
        tile, strength = recipe.generator.tile, recipe.generator.strength
        cut_tiles = partial(
            TileDataset, side=side, tile=tile, scale=scale, guide=recipe.guide, config=recipe.tiles, device=device,
            strength=strength, landmarks=landmarks, warn=warn,
        )  # fmt: skip
        tiles = cut_tiles(files, seed=seed)
        other_tiles = cut_tiles((unseen or tiles.files)[:UNSEEN_PORTRAITS], seed=0)
        return JNetObjective(recipe, tiles, other_tiles, device), tiles.files
    cut_pairs = partial(PairDataset, side=side, scale=scale, config=recipe.pairs, device=device, warn=warn)
    pairs = cut_pairs(files, seed=seed)
    other_pairs = cut_pairs((unseen or pairs.files)[:UNSEEN_PORTRAITS], seed=0)
    return UpscalerObjective(recipe, pairs, other_pairs, device), pairs.files


def begin_from(objective: Objective, name: str, last: int) -> int:
    """Load published weights into a run's networks, and the discriminators published with them, if any.

    Args:
        last: images after which the run ends.
    Returns:
        the images that they have seen, from which the run counts on.
    """
    folder = find_weights(name)
    seen = read_card(folder).images_seen
    if seen >= last:
        raise TrainingError(f"{name}: has seen {seen:,} images, and they count: end later than at {last:,}.")
    for network in objective.ema:
        _load(network, folder)
    for suffix, network in objective.companions.items():
        published = companion(name, suffix)
        if published is not None:
            _load(network, published)
    return seen


def _load(network: nn.Module, folder: Path) -> None:
    """Load weights; a deeper trunk's additional blocks stay the identity, and an added plane of strength is ignored."""
    state = load_network(str(folder), type(network))[0].state_dict()
    initial = network.state_dict()
    if isinstance(network, JNet) and network.config.strength:
        state = {name: _widened(value, initial.get(name, value)) for name, value in state.items()}
    trunk = {name: value for name, value in initial.items() if name.startswith("trunk.")}
    try:
        network.load_state_dict(trunk | state)
    except RuntimeError as error:
        reason = one_line(error)
        raise WeightsError(f"{folder}: not of the shape that the recipe gives the network ({reason}).") from None


def _widened(kernel: Tensor, wanted: Tensor) -> Tensor:
    """Add zeros for one more input plane if the wanted kernel has one more."""
    wider = kernel.ndim == wanted.ndim == 4 and wanted.shape[1] == kernel.shape[1] + 1
    return F.pad(kernel, (0, 0, 0, 0, 0, 1)) if wider else kernel


def trial_trainer(
    recipe: AnyRecipe, data: Path, files: list[Path], unseen: list[Path], *, device: str = "cpu", warn: Warn = print
) -> Trainer:
    """Make a trainer without a run folder, at the first step in which all networks train."""
    fabric = make_fabric(recipe.run.precision, device=device)
    objective, _ = make_objective(recipe, files, unseen, fabric.device, warn, known_landmarks(data, warn))
    trainer = Trainer(objective, recipe.run, Path(), fabric=fabric)
    trainer.step = -(-recipe.optimizer.generator_from // recipe.run.batch)
    return trainer


@dataclass(frozen=True)
class DryRun:
    """An estimate of a run; the pictures' memory is calculated, the rest measured."""

    parameters: dict[str, int]
    """Number of parameters of each saved network."""
    pictures: int
    picture_bytes: int
    peak_bytes: int | None
    """Peak memory of this process, or of the GPU; None on Windows, which does not report it."""
    images_per_second: float
    seconds: float
    """Time for all of run.images."""


def dry_run(recipe: AnyRecipe, data: Path, *, device: str = "cpu", warn: Warn = print) -> DryRun:
    """Build the networks and time a few steps, writing nothing."""
    files = training_files(data, recipe.data)
    trainer = trial_trainer(recipe, data, files[:PICTURES], files[:2], device=device, warn=warn)
    steps = max(STEPS, *(phase.interval for phase in trainer.objective.phases))
    trainer.train_step()
    started = time.perf_counter()
    for _ in range(steps):
        trainer.train_step()
    speed = steps * recipe.run.batch / (time.perf_counter() - started)
    side = recipe.generator.side if isinstance(recipe, DCGANRecipe) else recipe.side
    return DryRun(
        parameters={name: sum(p.numel() for p in m.parameters()) for name, m in trainer.objective.modules.items()},
        pictures=len(files),
        picture_bytes=len(files) * side * side * 3,
        peak_bytes=_peak(trainer.fabric.device),
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
