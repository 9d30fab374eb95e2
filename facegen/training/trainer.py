"""One trainer for every stage: it runs the phases in turn, keeps an average, and saves what resuming needs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.profiler import record_function

from facegen.errors import TrainingError
from facegen.training.callbacks import Callback
from facegen.training.checkpoints import BEST, checkpoints, drop_after, load_state, save_checkpoint, state_of
from facegen.training.config import RunConfig
from facegen.training.distributed import alone_in, average_gradients, interrupts_noted, make_fabric, mean_over_processes
from facegen.training.graphs import GraphedSteps
from facegen.training.objectives.base import Objective, Phase
from facegen.training.random import Draws

BEGIN = -1
"""Stands for a phase's number in the seed of the pictures that all phases share."""
SETBACK = 0.5
"""Factor on the learning rate for each time that a run went back to its best checkpoint."""


class Trainer:
    """Runs an objective's phases until the images are seen, the time is up, or the user interrupts.

    All randomness of a step comes from generators seeded by (seed, step). So there is no random state to save, a
    resumed run continues exactly like an unbroken one, and several processes that share the batch train like one.
    """

    def __init__(
        self,
        objective: Objective,
        config: RunConfig,
        folder: Path,
        callbacks: Sequence[Callback] = (),
        fabric: Fabric | None = None,
    ) -> None:
        self.objective, self.config, self.folder = objective, config, folder
        self.fabric = fabric or make_fabric(config.precision, device="cpu")
        if config.batch % self.fabric.world_size:
            raise TrainingError(
                f"run.batch is {config.batch}, which {self.fabric.world_size} processes cannot share equally."
            )
        self.callbacks = tuple(callbacks) if self.fabric.is_global_zero else ()
        self.step = 0
        self._started, self._seconds = time.monotonic(), float("inf")
        self._losses: dict[str, tuple[Tensor, int]] = {}
        self._waited = 0.0
        self.setbacks, self._going_back = 0, False
        self._graphs = self._new_graphs()

    @property
    def images_seen(self) -> int:
        return self.step * self.config.batch

    @property
    def course(self) -> float:
        """The share of the run that is done, 0..1: of its time limit if it has one, else of its images."""
        if math.isinf(self._seconds):
            return min(self.images_seen / self.config.images, 1.0)
        share = (time.monotonic() - self._started) / self._seconds
        return min(self._mean(torch.tensor(share)).item(), 1.0)  # clocks differ a little between processes

    def run(self, seconds: float = float("inf")) -> None:
        """Train, call the callbacks, and write checkpoints into the run folder.

        Args:
            seconds: time limit; a falling learning rate reaches its end there.
        Raises:
            TrainingError: if a loss is not finite (the last checkpoint stays unchanged), or another process trains in
                the folder.
            KeyboardInterrupt: after Ctrl-C or SIGTERM, once the step is finished and saved; a second one does not wait.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._started, self._seconds = time.monotonic(), seconds
        end = self._started + seconds
        lock = alone_in(self.folder) if self.fabric.is_global_zero else nullcontext()
        with lock, interrupts_noted() as interrupted:
            with ExitStack() as endings:
                for callback in self.callbacks:
                    callback.on_start(self)
                    endings.callback(callback.on_end, self)
                self._loop(lambda: self._agreed(interrupted() or time.monotonic() >= end))
            if self._agreed(interrupted()):
                raise KeyboardInterrupt

    def _loop(self, stopped: Callable[[], bool]) -> None:
        saved = logged = time.monotonic()
        since = self.images_seen
        while self.images_seen < self.config.images and not stopped():
            self.train_step()
            if self.config.due(self.images_seen, self.config.log_images):
                self._log(time.monotonic() - logged, self.images_seen - since)
                logged, since = time.monotonic(), self.images_seen
            if self.config.due(self.images_seen, self.config.preview_images):
                self._validate()
                if self._agreed(self._going_back):
                    self._return_to_best()
                    logged, since = time.monotonic(), self.images_seen
            if self._agreed(time.monotonic() - saved > 60 * self.config.checkpoint_minutes):
                self.save()
                saved = time.monotonic()
        self.save()

    def train_step(self) -> None:
        """Make a batch, run every phase that is due on it, then update the average."""
        started = time.monotonic()
        with record_function("train.data"):
            batch = self._batch()
        self._waited += time.monotonic() - started
        self.objective.before_step(self.images_seen)
        self._set_rates()
        phases = self.objective.phases
        due = [
            number for number, phase in enumerate(phases)
            if self.step % phase.interval == 0 and self.images_seen >= phase.first_image
        ]  # fmt: skip
        losses = (self._graphs or self._run_phases)(due, batch, self._draws)
        self._add(losses)
        self.objective.after_step()
        self._update_average()
        self.step += 1

    def _batch(self) -> Any:
        """This process's share of the step's batch."""
        share = self.config.batch // self.fabric.world_size
        return self.objective.batch(self.step * self.config.batch + self.fabric.global_rank * share, share)

    def _draws(self, number: int) -> Draws:
        seed = (self.config.seed, self.step, number)
        rank, world = self.fabric.global_rank, self.fabric.world_size
        return Draws(*seed, rank=rank, world=world, device=self.fabric.device)

    def _set_rates(self) -> None:
        course = self.course
        for phase in self.objective.phases:
            if phase.rate is None:
                continue
            rate = phase.rate(course) * SETBACK**self.setbacks
            for group in phase.optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate

    def _run_phases(self, due: Sequence[int], batch: Any, draws: Callable[[int], Draws]) -> dict[str, Tensor]:
        self._unfreeze(None)
        with self.fabric.autocast():
            pictures = self.objective.begin(batch, draws(BEGIN))
        losses: dict[str, Tensor] = {}
        for number in due:
            phase = self.objective.phases[number]
            losses |= {f"{phase.name}/{key}": loss for key, loss in self._take(phase, pictures, draws(number)).items()}
        return losses

    def _unfreeze(self, trained: nn.Module | None) -> None:
        """Compute gradients for one module only, or for all of them (None)."""
        for phase in self.objective.phases:
            phase.module.requires_grad_(trained is None or phase.module is trained)

    def _take(self, phase: Phase, pictures: Any, draws: Draws) -> dict[str, Tensor]:
        self._unfreeze(phase.module)
        with self.fabric.autocast(), record_function(f"train.{phase.name}.losses"):
            losses = self.objective.losses(phase.name, pictures, draws, self.images_seen)
        phase.optimizer.zero_grad(set_to_none=True)
        with record_function(f"train.{phase.name}.backward"):
            losses["total"].backward()  # type: ignore[no-untyped-call]
        average_gradients(phase.module)
        with record_function(f"train.{phase.name}.optimizer"):
            if phase.clip_norm:
                nn.utils.clip_grad_norm_(phase.module.parameters(), phase.clip_norm)
            phase.optimizer.step()
        return {name: value.detach().float() for name, value in losses.items()}

    def _add(self, losses: dict[str, Tensor]) -> None:
        """Add a step's losses to those since the last log, without waiting for a GPU."""
        for name, value in losses.items():
            total, count = self._losses.get(name, (torch.zeros_like(value), 0))
            self._losses[name] = total + value, count + 1
        if self.fabric.device.type == "cpu":
            self._check()

    def _check(self) -> None:
        """Refuse losses that are not finite; one such loss makes all later sums so too."""
        totals = {name: total for name, (total, _) in self._losses.items() if name.endswith("/total")}
        for name, total in self._means(totals).items():
            if not math.isfinite(total):
                raise TrainingError(
                    f"{self.folder}: the {name.removesuffix('/total')} loss is {total} at step {self.step}. "
                    "Resume from the last checkpoint with a lower optimizer.learning_rate."
                )

    @torch.no_grad()
    def _update_average(self) -> None:
        half_life = min(self.config.ema_images, max(self.images_seen * 0.05, self.config.batch))
        average, source = (_floats(module) for module in self.objective.ema)
        torch._foreach_lerp_(average, source, 1 - 0.5 ** (self.config.batch / half_life))

    def _log(self, seconds: float, images: int) -> None:
        """Average the losses since the last log, over all processes, for the callbacks."""
        self._check()
        stats: dict[str, Any] = {"step": self.step, "images": self.images_seen}
        stats["images_per_second"] = round(images / max(seconds, 1e-9), 2)
        stats["course"] = round(self.course, 4)
        if self.setbacks:
            stats["setbacks"] = self.setbacks
        if self.fabric.device.type == "cuda":
            stats["gpu_mib"] = torch.cuda.max_memory_allocated() >> 20
        else:  # unknown on a GPU, which computes while the next batch is made
            stats["data_share"] = round(self._waited / max(seconds, 1e-9), 4)
        means = self._means({name: total / count for name, (total, count) in self._losses.items()})
        stats |= {name: round(mean, 5) for name, mean in means.items()}
        self._losses, self._waited = {}, 0.0
        for callback in self.callbacks:
            callback.on_log(self, stats)

    def _validate(self) -> None:
        if not self.callbacks:
            return
        with self.fabric.autocast():
            sheet, figures = self.objective.validate()
        for callback in self.callbacks:
            callback.on_validation(self, sheet, figures)

    def _agreed(self, flag: bool) -> bool:
        """True if any process sets the flag, so that all of them act at the same step."""
        return bool(self._mean(torch.tensor(float(flag))) > 0)

    def _means(self, losses: Mapping[str, Tensor]) -> dict[str, float]:
        """The mean of each loss over all processes."""
        values = self._mean(torch.stack(list(losses.values()))).tolist() if losses else []
        return dict(zip(losses, values, strict=True))

    def _mean(self, value: Tensor) -> Tensor:
        """The mean over all processes, on the processor."""
        if self.fabric.world_size == 1:
            return value.cpu()
        return mean_over_processes(self.fabric.to_device(value)).cpu()

    def state(self) -> dict[str, Any]:
        return state_of(self.step, self.images_seen, self.objective.modules, self.objective.phases, self.setbacks)

    def save(self) -> None:
        """Write a checkpoint if the losses are finite; the first process writes, the others wait."""
        self._check()
        if self.fabric.is_global_zero:
            save_checkpoint(self.folder, self.state())
        self.fabric.barrier()

    def resume(self) -> None:
        """Load the newest checkpoint of the run folder, if there is one.

        The optimizers' settings and the batch come from the recipe, which may have changed since.
        """
        if found := checkpoints(self.folder):
            self._load(found[-1])

    def go_back(self) -> None:
        """Return to the best checkpoint after this validation, in all processes, at a lower learning rate."""
        self._going_back = True

    def _return_to_best(self) -> None:
        self.setbacks += 1
        self._load(self.folder / "checkpoints" / BEST)
        self._losses, self._going_back, self._graphs = {}, False, self._new_graphs()
        if self.fabric.is_global_zero:
            drop_after(self.folder, self.images_seen)
        for callback in self.callbacks:
            callback.on_return(self)
        self.save()

    def _load(self, path: Path) -> None:
        """Load a checkpoint; the best one may have been saved before some of the setbacks that are counted here."""
        images, setbacks = load_state(path, self.objective.modules, self.objective.phases)
        self.step = -(-images // self.config.batch)  # in steps of this batch, rounded up
        self.setbacks = max(self.setbacks, setbacks)

    def _new_graphs(self) -> GraphedSteps | None:
        """Replay steps as CUDA graphs, where the device and the objective allow it."""
        possible = self.fabric.device.type == "cuda" and self.fabric.world_size == 1 and self.objective.capturable
        return GraphedSteps(self._run_phases) if possible else None


def _floats(module: nn.Module) -> list[Tensor]:
    """Parameters and floating-point buffers, in a fixed order."""
    return [t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()]
