"""What a training shows on the terminal: a line with the time left, or lines of figures where there is no terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from facegen.training.callbacks import Callback
from facegen.training.trainer import Trainer


class TrainingProgress(Callback):
    """On a terminal one line that is redrawn; in a file, a line of figures for each log."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self.progress = Progress(
            BarColumn(10), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn(),
            TextColumn("left"), TextColumn("{task.fields[speed]}", table_column=Column(no_wrap=True, ratio=1)),
            console=self.console, expand=True, disable=not self.console.is_interactive,
        )  # fmt: skip
        self.task = self.progress.add_task("images", total=None, speed="")

    def on_start(self, trainer: Trainer) -> None:
        self.progress.update(self.task, total=trainer.config.images, completed=trainer.images_seen)
        self.progress.start()

    def on_log(self, trainer: Trainer, stats: dict[str, Any]) -> None:
        speed = f"{stats['images_per_second']:g}/s"
        losses = "  ".join(f"{key.removesuffix('/total')} {stats[key]:.4g}" for key in stats if key.endswith("/total"))
        self.progress.update(self.task, completed=trainer.images_seen, speed=f"{speed}  {losses}")
        if not self.console.is_interactive:
            figures = (f"{k} {v if isinstance(v, int) else f'{v:g}'}" for k, v in stats.items())
            self.warn("  ".join(figures))

    def warn(self, text: str) -> None:
        """Say something as it is, without breaking the line."""
        self.console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def on_end(self, trainer: Trainer) -> None:
        self.progress.update(self.task, completed=trainer.images_seen)
        self.progress.stop()
