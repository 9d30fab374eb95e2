"""Callbacks of a run: figures, pictures, warnings, the line on the terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from facegen.arrays import RGB
from facegen.errors import printable
from facegen.files import replacing, write_text
from facegen.media.images import write_image
from facegen.training.checkpoints import best_note, save_if_best

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from facegen.training.trainer import Trainer

Stats = dict[str, Any]
Figures = dict[str, float]
Curve = list[tuple[int, float]]  # (images seen, value)
STATS = "stats.jsonl"
MOST_SETBACKS = 3
"""A run goes back to its best checkpoint this many times at most."""
SATURATED, COLLAPSED = 0.02, 0.5
"""Below this loss a discriminator teaches nothing; below this diversity, relative to real pictures, faces repeat."""
PANELS = {
    "adversarial": ("real", "fake", "adversarial", "projected", "projected_real", "projected_fake"),
    "content and penalties": (
        "pixel", "pooled_l1", "feature", "feature_matching", "historical", "gradient_penalty", "penalty"
    ),
    "total": ("total",),
    "validation": ("score", "bicubic", "diversity"),
}  # fmt: skip
"""Panel of losses.png -> figures in it, by the last part of their names."""
ZOOM = 0.2
"""The lower row of losses.png shows this last share of the run."""
INCHES, DPI = (16, 7), 100
MARGINS = {"left": 0.035, "right": 0.99, "bottom": 0.075, "top": 0.95, "wspace": 0.2, "hspace": 0.3}


class Callback:
    """Does nothing; override what is needed. Only the first process calls it."""

    def on_start(self, run: Trainer) -> None:
        """Before the first step, also of a resumed run."""

    def on_log(self, run: Trainer, stats: Stats) -> None:
        """Every `log_images`: mean losses, speed."""

    def on_validation(self, run: Trainer, sheet: RGB, figures: Figures) -> None:
        """Every `preview_images`: the result of `Objective.validate`."""

    def on_return(self, run: Trainer) -> None:
        """After the run went back to its best checkpoint."""

    def on_end(self, run: Trainer) -> None:
        """After the last step, also of a run that fails."""


class StatsFile(Callback):
    """stats.jsonl: one line per log and per validation. A run that is resumed or goes back drops the later ones."""

    def on_start(self, run: Trainer) -> None:
        path = run.folder / STATS
        if path.exists():
            kept = [line for line in read_stats(run.folder) if line["images"] <= run.images_seen]
            write_text(path, "".join(json.dumps(line) + "\n" for line in kept))

    def on_return(self, run: Trainer) -> None:
        self.on_start(run)

    def on_log(self, run: Trainer, stats: Stats) -> None:
        with (run.folder / STATS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(stats) + "\n")

    def on_validation(self, run: Trainer, sheet: RGB, figures: Figures) -> None:
        found = {f"validation/{name}": round(value, 5) for name, value in figures.items()}
        self.on_log(run, {"step": run.step, "images": run.images_seen, **found})


def read_stats(folder: Path) -> list[Stats]:
    """The lines of a run folder's stats.jsonl; a line that a killed run left incomplete is skipped."""
    lines = []
    for line in (folder / STATS).read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(json.JSONDecodeError, RecursionError):
            found = json.loads(line)
            if isinstance(found, dict) and isinstance(found.get("images"), int):
                lines.append(found)
    return lines


class Samples(Callback):
    """samples/IMAGES.png, a sheet of the same samples over time, and losses.png, the curves so far."""

    def on_validation(self, run: Trainer, sheet: RGB, figures: Figures) -> None:
        write_image(_sheet_path(run), sheet)

    def on_end(self, run: Trainer) -> None:
        self._draw_losses(run)
        if run.images_seen and not _sheet_path(run).exists():
            write_image(_sheet_path(run), run.objective.validate()[0])

    def on_log(self, run: Trainer, stats: Stats) -> None:
        if run.config.due(run.images_seen, 10 * run.config.log_images):
            self._draw_losses(run)

    def _draw_losses(self, run: Trainer) -> None:
        if (run.folder / STATS).exists():
            draw_curves(read_stats(run.folder), run.folder / "losses.png")


def _sheet_path(run: Trainer) -> Path:
    return run.folder / "samples" / f"{run.images_seen:09d}.png"


class TensorBoard(Callback):
    """tensorboard/: the same figures and sheets for `tensorboard --logdir RUN`."""

    def on_start(self, run: Trainer) -> None:
        from tensorboardX import SummaryWriter

        after = run.images_seen + 1  # hides what an interrupted run logged after its checkpoint
        self.writer = SummaryWriter(str(run.folder / "tensorboard"), purge_step=after)

    def on_return(self, run: Trainer) -> None:
        self.writer.close()
        self.on_start(run)

    def on_log(self, run: Trainer, stats: Stats) -> None:
        for name, value in stats.items():
            if name not in ("step", "images"):
                self.writer.add_scalar(name, value, run.images_seen)

    def on_validation(self, run: Trainer, sheet: RGB, figures: Figures) -> None:
        self.writer.add_image("samples", sheet, run.images_seen, dataformats="HWC")
        self.on_log(run, {f"validation/{name}": value for name, value in figures.items()})

    def on_end(self, run: Trainer) -> None:
        self.writer.close()


class Watchdog(Callback):
    """Keeps the checkpoint with the best score as checkpoints/best.pt, warns of a collapse, and sends a collapsed run
    back to that checkpoint unless it had collapsed too.
    """

    def __init__(self, warn: Callable[[str], None], *, bounded: bool = True) -> None:
        """`bounded`: the discriminator's loss cannot fall below 0, as Wasserstein's can."""
        self.warn, self.bounded = warn, bounded

    def on_start(self, run: Trainer) -> None:
        best_note(run.folder)  # refuses a damaged note now rather than after hours

    def on_log(self, run: Trainer, stats: Stats) -> None:
        loss = stats.get("discriminator/total", math.inf)
        if self.bounded and loss < SATURATED:
            self.warn(
                f"{run.images_seen} images: the discriminator's loss is {loss:.3g}: it recognises every picture and "
                "teaches nothing. A lower learning rate, or loss.r1, helps."
            )

    def on_validation(self, run: Trainer, sheet: RGB, figures: Figures) -> None:
        diversity = figures.get("diversity", math.inf)
        sound = best_note(run.folder).get("diversity", 0) >= COLLAPSED
        if diversity < COLLAPSED:
            self.warn(
                f"{run.images_seen} images: samples differ {diversity:.2f} times as much as real pictures: the "
                f"generator collapses. {self._remedy(run, sound)}"
            )
        if math.isfinite(figures["score"]) and not (sound and diversity < COLLAPSED):
            noted = diversity if math.isfinite(diversity) else None
            save_if_best(run.folder, run.state(), figures["score"], noted)

    def _remedy(self, run: Trainer, sound: bool) -> str:
        """Send the run back if its best checkpoint is sound, but not too often; say what happens, or what to do."""
        if not sound:
            return "No checkpoint before was better; a lower optimizer.learning_rate, or loss.r1, helps."
        if run.setbacks >= MOST_SETBACKS:
            return f"It went back {run.setbacks} times already: stop it, and publish checkpoints/best.pt with --best."
        run.go_back()
        return "The run goes back to checkpoints/best.pt, and learns at half the rate from there on."


class TrainingProgress(Callback):
    """On a terminal, one line that is redrawn; in a file, a line of figures for each log."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self.progress = Progress(
            BarColumn(10), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn(),
            TextColumn("left"), TextColumn("{task.fields[speed]}", table_column=Column(no_wrap=True, ratio=1)),
            console=self.console, expand=True, disable=not self.console.is_interactive,
        )  # fmt: skip
        self.task = self.progress.add_task("images", total=None, speed="")

    def on_start(self, run: Trainer) -> None:
        self.progress.update(self.task, total=run.config.images, completed=run.images_seen)
        self.progress.start()

    def on_log(self, run: Trainer, stats: Stats) -> None:
        speed = f"{stats['images_per_second']:g}/s"
        losses = "  ".join(f"{key.removesuffix('/total')} {stats[key]:.4g}" for key in stats if key.endswith("/total"))
        self.progress.update(self.task, completed=run.images_seen, speed=f"{speed}  {losses}")
        if not self.console.is_interactive:
            self.warn("  ".join(f"{k} {v if isinstance(v, int) else f'{v:g}'}" for k, v in stats.items()))

    def on_return(self, run: Trainer) -> None:
        self.progress.update(self.task, completed=run.images_seen)

    def warn(self, text: str) -> None:
        """Print a message literally, without breaking the line."""
        self.console.print(printable(text), markup=False, emoji=False, highlight=False, soft_wrap=True)

    def on_end(self, run: Trainer) -> None:
        self.progress.update(self.task, completed=run.images_seen)
        self.progress.stop()


def draw_curves(stats: Sequence[Stats], path: Path) -> None:
    """Draw every loss of stats.jsonl over the images seen: the whole run above, its last fifth below.

    Each curve is divided by its largest magnitude, which the legend states, as losses differ by powers of ten.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, dpi=DPI)
    FigureCanvasAgg(figure)
    rows = figure.subplots(2, len(PANELS), gridspec_kw=MARGINS)
    for row, since, note in zip(rows, (0, zoom_from(stats)), ("", ", last fifth"), strict=True):
        for axis, (title, parts) in zip(row, PANELS.items(), strict=True):
            axis.set_title(title + note)
            _draw(axis, curves_of(stats, parts, since))
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def curves_of(stats: Sequence[Stats], parts: Sequence[str], since: float = 0) -> dict[str, Curve]:
    """The curves of the finite figures whose names end in one of `parts`, from `since` images on, sorted by name."""
    names = sorted({name for line in stats for name in line if "/" in name and name.rpartition("/")[2] in parts})
    recent = [line for line in stats if line["images"] >= since]
    found = {
        name: [(line["images"], line[name]) for line in recent if math.isfinite(line.get(name, math.nan))]
        for name in names
    }
    return {name: curve for name, curve in found.items() if curve}


def zoom_from(stats: Sequence[Stats]) -> float:
    """The images seen at which the lower row begins."""
    return stats[-1]["images"] * (1 - ZOOM) if stats else 0.0


def _draw(axis: Axes, curves: dict[str, Curve]) -> None:
    from matplotlib.ticker import EngFormatter

    for name, curve in curves.items():
        largest = max(abs(value) for _, value in curve) or 1.0
        images, values = zip(*curve, strict=True)
        dot = "." if len(curve) == 1 else ""
        axis.plot(images, [value / largest for value in values], marker=dot, label=f"{name} / {largest:.3g}")
    axis.set_xlabel("images")
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))  # 20k
    if curves:
        axis.legend(fontsize="x-small")
