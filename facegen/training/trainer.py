"""One trainer for every stage: it runs the phases in turn, keeps an average, and saves what resuming needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from facegen.errors import TrainingError
from facegen.training.callbacks import Callback
from facegen.training.checkpoints import checkpoints, load_state, save_checkpoint, state_of
from facegen.training.config import RunConfig
from facegen.training.distributed import alone_in, average_gradients, interrupts_noted, make_fabric, mean_over_processes
from facegen.training.objectives.base import Objective, Phase
from facegen.training.random import Draws

BEGIN = -1
"""Takes the place of a phase's number in the seed of the pictures that all phases share."""


class Trainer:
    """Runs an objective's phases until the images are seen, the time is up, or somebody interrupts.

    All randomness of a step comes from generators seeded by (seed, step). So there is no random state to save, a
    resumed run continues exactly as an unbroken one, and several processes that share the batch train as a single one.
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
        self._losses: dict[str, list[Tensor]] = {}
        self._waited = 0.0

    @property
    def images_seen(self) -> int:
        return self.step * self.config.batch

    def run(self, seconds: float = float("inf")) -> None:
        """Train, call the callbacks, and write checkpoints into the run folder.

        Raises:
            TrainingError: if a loss is not finite (the last checkpoint stays unchanged), or another process trains in
                the folder.
            KeyboardInterrupt: after Ctrl-C or SIGTERM, once the step is finished and saved; a second one does not wait.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        end = time.monotonic() + seconds
        lock = alone_in(self.folder) if self.fabric.is_global_zero else nullcontext()
        with lock, interrupts_noted() as interrupted, Prefetch(self._batch, self.config.workers) as batches:
            with ExitStack() as endings:
                for callback in self.callbacks:
                    callback.on_start(self)
                    endings.callback(callback.on_end, self)
                self._loop(batches, lambda: self._agreed(interrupted() or time.monotonic() >= end))
            if self._agreed(interrupted()):
                raise KeyboardInterrupt

    def _loop(self, batches: Prefetch, stopped: Callable[[], bool]) -> None:
        saved = logged = time.monotonic()
        since = self.images_seen
        while self.images_seen < self.config.images and not stopped():
            asked = time.monotonic()
            batch = batches.take(self.step)
            self._waited += time.monotonic() - asked
            self.train_step(batch)
            if self.config.due(self.images_seen, self.config.log_images):
                self._log(time.monotonic() - logged, self.images_seen - since)
                logged, since = time.monotonic(), self.images_seen
            if self.config.due(self.images_seen, self.config.preview_images):
                self._validate()
            if self._agreed(time.monotonic() - saved > 60 * self.config.checkpoint_minutes):
                self.save()
                saved = time.monotonic()
        self.save()

    def train_step(self, batch: Any = None) -> None:
        """Run every phase that is due on one batch, then update the average."""
        batch = self._batch(self.step) if batch is None else batch
        self._free(None)
        with self.fabric.autocast():
            pictures = self.objective.begin(batch, self._draws(BEGIN))
        for number, phase in enumerate(self.objective.phases):
            if self.step % phase.interval == 0 and self.images_seen >= phase.first_image:
                self._take(phase, pictures, number)
        self._update_average()
        self.step += 1

    def _batch(self, step: int) -> Any:
        """This process's share of a step's batch."""
        share = self.config.batch // self.fabric.world_size
        return self.objective.batch(step * self.config.batch + self.fabric.global_rank * share, share)

    def _draws(self, number: int) -> Draws:
        seed = (self.config.seed, self.step, number)
        return Draws(*seed, rank=self.fabric.global_rank, world=self.fabric.world_size)

    def _free(self, trained: nn.Module | None) -> None:
        """Let gradients reach one module only, or all of them (None)."""
        for phase in self.objective.phases:
            phase.module.requires_grad_(trained is None or phase.module is trained)

    def _take(self, phase: Phase, pictures: Any, number: int) -> None:
        self._free(phase.module)
        with self.fabric.autocast():
            losses = self.objective.losses(phase.name, pictures, self._draws(number), self.images_seen)
        total = self._mean(losses["total"].detach())
        if not torch.isfinite(total):
            raise TrainingError(
                f"{self.folder}: the {phase.name} loss is {total.item()} at step {self.step}. "
                "Resume from the last checkpoint with a lower optimizer.learning_rate."
            )
        phase.optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        average_gradients(phase.module)
        if phase.clip_norm:
            nn.utils.clip_grad_norm_(phase.module.parameters(), phase.clip_norm)
        phase.optimizer.step()
        for name, value in losses.items():
            self._losses.setdefault(f"{phase.name}/{name}", []).append(value.detach().float().cpu())

    def _update_average(self) -> None:
        half_life = min(self.config.ema_images, max(self.images_seen * 0.05, self.config.batch))
        keep = 0.5 ** (self.config.batch / half_life)
        average, source = self.objective.ema
        with torch.no_grad():
            for a, s in zip(_floats(average), _floats(source), strict=True):
                a.lerp_(s, 1 - keep)

    def _log(self, seconds: float, images: int) -> None:
        """Average the losses since the last time, over all processes, for the callbacks."""
        stats: dict[str, Any] = {"step": self.step, "images": self.images_seen}
        stats["images_per_second"] = round(images / max(seconds, 1e-9), 2)
        stats["data_share"] = round(self._waited / max(seconds, 1e-9), 4)
        means = self._mean(torch.stack([torch.stack(values).mean() for values in self._losses.values()]))
        stats |= {key: round(mean, 5) for key, mean in zip(self._losses, means.tolist(), strict=True)}
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
        """True if any process sets the flag: all of them stop, and save, at the same step."""
        return bool(self._mean(torch.tensor(float(flag))) > 0)

    def _mean(self, value: Tensor) -> Tensor:
        return mean_over_processes(self.fabric.to_device(value)).cpu()

    def state(self) -> dict[str, Any]:
        return state_of(self.step, self.images_seen, self.objective.modules, self.objective.phases)

    def save(self) -> None:
        """Write a checkpoint; the first process does, the others wait."""
        if self.fabric.is_global_zero:
            save_checkpoint(self.folder, self.state())
        self.fabric.barrier()

    def resume(self) -> bool:
        """Load the newest checkpoint of the run folder; False if there is none.

        The optimizers' settings and the batch are the recipe's, which may have changed; the images seen go on.
        """
        found = checkpoints(self.folder)
        if not found:
            return False
        load_state(found[-1], self.objective.modules, self.objective.phases)
        self.step = -(-int(found[-1].stem) // self.config.batch)  # images seen, in steps of this batch; rounded up
        return True


def _floats(module: nn.Module) -> list[Tensor]:
    """Parameters and floating-point buffers, in a fixed order."""
    return [t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()]


class Prefetch(AbstractContextManager["Prefetch"]):
    """Makes the batches of the next steps in threads, so that each is ready when its step begins.

    Threads suffice, since OpenCV and NumPy release Python's lock in their loops; a batch is known from its step, so
    their order does not matter.
    """

    def __init__(self, make: Callable[[int], Any], workers: int) -> None:
        self.make, self.workers = make, workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="batch") if workers else None
        self._coming: dict[int, Future[Any]] = {}

    def take(self, step: int) -> Any:
        """The batch of a step; starts on those after it."""
        if self._pool is None:
            return self.make(step)
        for ahead in range(step, step + self.workers + 1):
            if ahead not in self._coming:
                self._coming[ahead] = self._pool.submit(self.make, ahead)
        return self._coming.pop(step).result()

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
