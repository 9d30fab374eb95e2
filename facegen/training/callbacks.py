"""What happens beside the training: logs, pictures, a watch over it. Called in the first process alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facegen.files import replacing
from facegen.media.images import write_image
from facegen.training.checkpoints import save_if_best
from facegen.training.curves import draw_curves

if TYPE_CHECKING:
    from facegen.training.trainer import Trainer

Stats = dict[str, Any]
STATS = "stats.jsonl"
SATURATED, COLLAPSED = 0.02, 0.5
"""Discriminator loss under which it teaches nothing; diversity, relative to real pictures, under which faces repeat."""


class Callback:
    """Does nothing; override what is wanted."""

    def on_start(self, trainer: Trainer) -> None:
        """Before the first step, a resumed run's too."""

    def on_log(self, trainer: Trainer, stats: Stats) -> None:
        """Every `log_images`: mean losses, speed."""

    def on_validation(self, trainer: Trainer, sheet: NDArray[np.uint8], figures: dict[str, float]) -> None:
        """Every `preview_images`: what `Objective.validate` found."""

    def on_end(self, trainer: Trainer) -> None:
        """After the last step, also of a run that fails."""


class StatsFile(Callback):
    """stats.jsonl: a line for each log, and for each validation. Lines after the point resumed from are dropped."""

    def on_start(self, trainer: Trainer) -> None:
        path = trainer.folder / STATS
        if path.exists():
            kept = [line for line in read_stats(trainer.folder) if line["images"] <= trainer.images_seen]
            with replacing(path) as temporary:
                temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def on_log(self, trainer: Trainer, stats: Stats) -> None:
        with (trainer.folder / STATS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(stats) + "\n")

    def on_validation(self, trainer: Trainer, sheet: NDArray[np.uint8], figures: dict[str, float]) -> None:
        found = {f"validation/{name}": round(value, 5) for name, value in figures.items()}
        self.on_log(trainer, {"step": trainer.step, "images": trainer.images_seen, **found})


def read_stats(folder: Path) -> list[Stats]:
    """The lines of a run folder's stats.jsonl; one that a killed run was writing is passed over."""
    lines = []
    for line in (folder / STATS).read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines


class Samples(Callback):
    """samples/IMAGES.png, the fixed sheet over time, and losses.png, the curves up to now."""

    def on_validation(self, trainer: Trainer, sheet: NDArray[np.uint8], figures: dict[str, float]) -> None:
        write_image(trainer.folder / "samples" / f"{trainer.images_seen:09d}.png", sheet)

    def on_end(self, trainer: Trainer) -> None:
        self._draw(trainer)

    def on_log(self, trainer: Trainer, stats: Stats) -> None:
        if trainer.config.due(trainer.images_seen, 10 * trainer.config.log_images):
            self._draw(trainer)

    def _draw(self, trainer: Trainer) -> None:
        if (trainer.folder / STATS).exists():
            draw_curves(read_stats(trainer.folder), trainer.folder / "losses.png")


class TensorBoard(Callback):
    """tensorboard/: the same figures and sheets for `tensorboard --logdir RUN`."""

    def on_start(self, trainer: Trainer) -> None:
        from tensorboardX import SummaryWriter

        after = trainer.images_seen + 1  # what an interrupted run logged from there on is hidden
        self.writer = SummaryWriter(str(trainer.folder / "tensorboard"), purge_step=after)

    def on_log(self, trainer: Trainer, stats: Stats) -> None:
        for name, value in stats.items():
            if name not in ("step", "images"):
                self.writer.add_scalar(name, value, trainer.images_seen)

    def on_validation(self, trainer: Trainer, sheet: NDArray[np.uint8], figures: dict[str, float]) -> None:
        self.writer.add_image("samples", sheet, trainer.images_seen, dataformats="HWC")
        self.on_log(trainer, {f"validation/{name}": value for name, value in figures.items()})

    def on_end(self, trainer: Trainer) -> None:
        self.writer.close()


class Watchdog(Callback):
    """Warns of a collapse, and keeps the checkpoint with the best score as checkpoints/best.pt."""

    def __init__(self, warn: Callable[[str], None], *, bounded: bool = True) -> None:
        """`bounded`: whether the discriminator's loss is at its least at 0; Wasserstein's runs through it."""
        self.warn, self.bounded = warn, bounded

    def on_log(self, trainer: Trainer, stats: Stats) -> None:
        loss = stats.get("discriminator/total", math.inf)
        if self.bounded and loss < SATURATED:
            self.warn(
                f"{trainer.images_seen} images: the discriminator's loss is {loss:.3g}: it tells every picture and "
                "teaches nothing. A lower learning rate, or loss.r1, helps."
            )

    def on_validation(self, trainer: Trainer, sheet: NDArray[np.uint8], figures: dict[str, float]) -> None:
        diversity = figures.get("diversity", math.inf)
        if diversity < COLLAPSED:
            self.warn(
                f"{trainer.images_seen} images: samples differ {diversity:.2f} times as much as real pictures: the "
                "generator collapses. checkpoints/best.pt holds the best so far."
            )
        if math.isfinite(figures["score"]):
            save_if_best(trainer.folder, trainer.state(), figures["score"])
