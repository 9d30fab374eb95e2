"""One trainer for every model: phases take turns, an average is kept, everything needed to resume is saved."""

from __future__ import annotations

import json
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import nn

from facegen.errors import TrainingError
from facegen.images import write_image
from facegen.precision import autocast
from facegen.training.config import RunConfig
from facegen.training.objectives import Objective, Phase

CHECKPOINTS_KEPT = 2
Report = Callable[[dict[str, Any]], None]


class Trainer:
    """Runs an objective's phases until the images are seen, the time is up, or somebody interrupts.

    All randomness of a step is drawn from generators seeded by (seed, step), so a resumed run continues exactly as an
    unbroken one would: there is no random state to save.
    """

    def __init__(self, objective: Objective, config: RunConfig, folder: Path, report: Report = lambda _: None) -> None:
        self.objective, self.config, self.folder, self.report = objective, config, folder, report
        self.step = 0
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    @property
    def images_seen(self) -> int:
        return self.step * self.config.batch

    def run(self, seconds: float = float("inf")) -> None:
        """Train, writing stats, previews and checkpoints into the run folder.

        Raises:
            TrainingError: when a loss is not finite; the last checkpoint stays as it was. When another process trains
                in the folder.
            KeyboardInterrupt: after Ctrl-C or SIGTERM, once the step is finished and saved; a second one does not wait.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        started = saved = time.monotonic()
        logged = (started, self.images_seen)
        with _alone_in(self.folder), _interrupts_noted() as interrupted:
            while self.images_seen < self.config.images and time.monotonic() - started < seconds and not interrupted():
                self.train_step()
                if self._due(self.config.log_images):
                    logged = self._log(*logged)
                if self._due(self.config.preview_images):
                    self._preview()
                if time.monotonic() - saved > 60 * self.config.checkpoint_minutes:
                    self.save()
                    saved = time.monotonic()
            self.save()
        if interrupted():
            raise KeyboardInterrupt

    def train_step(self) -> None:
        """One batch through every phase that is due, then the average."""
        batch = self.objective.batch(self.step, self.config.batch)
        for number, phase in enumerate(self.objective.phases):
            if self.step % phase.interval == 0:
                self._take(phase, batch, number)
        self._update_average()
        self.step += 1

    def _take(self, phase: Phase, batch: Any, number: int) -> None:
        for other in self.objective.phases:
            other.module.requires_grad_(other is phase)
        rng = torch.Generator().manual_seed(hash((self.config.seed, self.step, number)) & (2**63 - 1))
        with autocast(self.config.precision):
            losses = self.objective.losses(phase.name, batch, rng)
        if not torch.isfinite(losses["total"]):
            raise TrainingError(
                f"{self.folder}: the {phase.name} loss is {losses['total'].item()} at step {self.step}. "
                "Resume from the last checkpoint with a lower optimizer.learning_rate."
            )
        phase.optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        if phase.clip_norm:
            nn.utils.clip_grad_norm_(phase.module.parameters(), phase.clip_norm)
        phase.optimizer.step()
        for name, value in losses.items():
            key = f"{phase.name}/{name}"
            self._sums[key] = self._sums.get(key, 0.0) + value.item()
            self._counts[key] = self._counts.get(key, 0) + 1

    def _update_average(self) -> None:
        half_life = min(self.config.ema_images, max(self.images_seen * 0.05, self.config.batch))
        keep = 0.5 ** (self.config.batch / half_life)
        average, source = self.objective.ema
        with torch.no_grad():
            for a, s in zip(_floats(average), _floats(source), strict=True):
                a.lerp_(s, 1 - keep)

    def _due(self, images: int) -> bool:
        return self.images_seen // images > (self.images_seen - self.config.batch) // images

    def _log(self, since: float, images: int) -> tuple[float, int]:
        now = time.monotonic()
        speed = (self.images_seen - images) / max(now - since, 1e-9)
        stats = {"step": self.step, "images": self.images_seen, "images_per_second": round(speed, 2)}
        stats |= {key: round(self._sums[key] / self._counts[key], 5) for key in self._sums}
        self._sums, self._counts = {}, {}
        with (self.folder / "stats.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(stats) + "\n")
        self.report(stats)
        return now, self.images_seen

    def _preview(self) -> None:
        with autocast(self.config.precision):
            sheet = self.objective.preview()
        write_image(self.folder / "samples" / f"{self.images_seen:09d}.png", sheet)

    def save(self) -> Path:
        """Write a checkpoint under a temporary name, rename it, and drop all but the last two."""
        state = {
            "step": self.step,
            "modules": {name: module.state_dict() for name, module in self.objective.modules.items()},
            "optimizers": {phase.name: phase.optimizer.state_dict() for phase in self.objective.phases},
        }
        path = self.folder / "checkpoints" / f"{self.images_seen:09d}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(path)
        for old in (*checkpoints(self.folder)[:-CHECKPOINTS_KEPT], *path.parent.glob("*.tmp")):
            old.unlink()  # a .tmp is what a killed run was writing
        return path

    def resume(self) -> bool:
        """Take up the newest checkpoint of the run folder; False if there is none.

        The optimizers' settings and the batch are the recipe's, which may have changed; the images seen go on.

        Raises:
            TrainingError: if the checkpoint is damaged, or does not fit the recipe.
        """
        found = checkpoints(self.folder)
        if not found:
            return False
        path = found[-1]
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
            raise TrainingError(
                f"{path}: cannot be read ({_one_line(error)}); delete it to go on from the checkpoint before."
            ) from None
        try:
            for name, module in self.objective.modules.items():
                module.load_state_dict(state["modules"][name])
            for phase in self.objective.phases:
                _load_optimizer(phase.optimizer, state["optimizers"][phase.name])
        except (RuntimeError, KeyError, ValueError) as error:
            raise TrainingError(
                f"{path}: made by another recipe ({_one_line(error)}); use the run's own, or another --out."
            ) from None
        self.step = -(-int(path.stem) // self.config.batch)  # images seen, in steps of this batch; rounded up
        return True


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run folder, oldest first; other files in it are let be."""
    return sorted((p for p in (folder / "checkpoints").glob("*.pt") if p.stem.isdecimal()), key=lambda p: int(p.stem))


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the run folder for this process; the lock goes with the process, however it ends.

    Raises:
        TrainingError: if another process trains in the folder.
    """
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise TrainingError(f"{folder}: another process is training here; choose another --out.") from None


@contextmanager
def _interrupts_noted() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM are noted inside, so that no step is cut in two; the second one acts as ever.

    Elsewhere than in the main thread, and where a program has its own way with a signal, nothing is changed.
    """
    noted = threading.Event()
    here = threading.current_thread() is threading.main_thread()
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    caught = {number: handler for number, handler in usual.items() if here and signal.getsignal(number) == handler}

    def note(number: int, frame: object) -> None:
        noted.set()
        signal.signal(number, caught[signal.Signals(number)])

    for number in caught:
        signal.signal(number, note)
    try:
        yield noted.is_set
    finally:
        for number, handler in caught.items():
            signal.signal(number, handler)


def _load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load moments and step counts; the learning rate and the like stay as the optimizer was made with."""
    settings = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)


def _one_line(error: Exception, length: int = 200) -> str:
    return " ".join(str(error).split())[:length]


def _floats(module: nn.Module) -> list[torch.Tensor]:
    """Parameters and floating-point buffers, in a fixed order."""
    return [t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()]
