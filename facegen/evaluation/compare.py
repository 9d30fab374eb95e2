"""Compare upscalers on the same pictures: upscale, measure where there is an original, and show side by side.

To evaluate stage 2 is to compare the pipeline with bicubic and Lanczos interpolation.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from facegen.arrays import RGB, to_rgb, to_tensor
from facegen.errors import ImageError, UsageError
from facegen.evaluation.album import Album
from facegen.evaluation.features import PairDistance
from facegen.evaluation.groups import Grouping, evaluate_groups
from facegen.evaluation.portraits import NAMES, PortraitMeter, read_portrait
from facegen.evaluation.report import BASELINE, ORIGINAL, Evaluation, Figure, Protocol, Sheet, ratio
from facegen.evaluation.upscalers import Setting, Upscaler, from_pipeline, load_upscalers
from facegen.media.images import read_image
from facegen.media.report import need_charts
from facegen.ops.consistency import downsample_area
from facegen.ops.damage import LEVELS, of_item
from facegen.ops.tiling import TilePlan
from facegen.pipeline import FacePipeline

TITLE = "Ways to upscale a face, side by side"
LARGEST = 512
"""Longest side, in pixels, of the user's own pictures: each is upscaled as a whole, all results stay in memory."""
LOW = 96
"""Side, in pixels, that portraits are reduced to for stage 2."""
OURS, LANCZOS, RATIO = "facegen", "lanczos", "to bicubic"
"""Columns of stage 2, besides `BASELINE` and `ORIGINAL`."""
RELATIVE = tuple(NAMES[key][0] for key in ("features", "lpips", "patches", "identity", "landmarks"))
"""Names of the figures that get a ratio to bicubic's value."""
Track = Callable[[Sequence[Path], str], Iterable[Path]]
"""Yields files while it shows the progress under a title."""


@dataclass(frozen=True)
class Sides:
    """Portraits are reduced to `low` px a side and upscaled to `high`, a multiple of `low`, at least twice."""

    low: int
    high: int
    damage: str | None = None
    """How much the reduced portraits are damaged: a key of `facegen.ops.damage.LEVELS`, or None for not at all."""

    def __post_init__(self) -> None:
        if self.high % self.low or self.scale < 2:
            near = self.low * max(round(self.high / self.low), 2)
            raise UsageError(
                f"--size {self.high}: expected a multiple of --low {self.low}, at least twice it: {near} for example."
            )

    @property
    def scale(self) -> int:
        """The upscaling factor."""
        return self.high // self.low

    def __str__(self) -> str:
        damaged = "" if self.damage is None else f", damaged ({self.damage}, strength {LEVELS[self.damage]:g}, seed 0)"
        return f"{self.low} px by area mean, 8 bits{damaged}, upscaled to {self.high} px"

    def reduce(self, original: RGB, item: int) -> RGB:
        """Make a portrait's low-res picture, (low, low, 3); `item` seeds its damage."""
        low = to_rgb(downsample_area(to_tensor(original), (self.low, self.low)))
        return low if self.damage is None else of_item(low, LEVELS[self.damage], item)


class Comparison:
    """Compares models on portraits and on the user's own pictures, in one evaluation.

    Args:
        sides: of the portraits; the user's own pictures are upscaled by the same factor.
        device: for the networks that measure.
        report: receives a line on each picture that is left out.
        out: folder for the pictures that are written; for the user's own, out/inputs.
        kinds: the pictures to write, of `facegen.evaluation.album.KINDS`.
    """

    def __init__(
        self,
        models: Sequence[Upscaler],
        sides: Sides,
        *,
        device: str,
        report: Callable[[str], None],
        track: Track,
        out: Path = Path(),
        kinds: Collection[str] = (),
    ) -> None:
        self.models, self.sides, self.out, self.kinds = models, sides, out, kinds
        self.device, self.report, self.track = device, report, track
        self._figures: tuple[Figure, ...] = ()
        self._sheets: tuple[Sheet, ...] = ()
        self.measured: dict[str, dict[str, list[float]]] = {}
        """Key of `NAMES` -> column -> value of each portrait in `portraits`."""
        self.portraits: list[Path] = []

    def add_portraits(
        self,
        files: Sequence[Path],
        split: str,
        *,
        root: Path | None = None,
        lpips: PairDistance | None = None,
        plan: TilePlan | None = None,
    ) -> None:
        """Reduce aligned portraits, upscale them, and measure the results.

        Args:
            files: square heads of at least `sides.high` px; others are reported and left out.
            split: how they were chosen, for the protocol.
            root: folder above all files; their paths below it name the pictures that are written.
            plan: tiles whose seams are measured in every result.
        Raises:
            UsageError: if fewer than two can be used.
            MissingExtraError: if EfficientNet-Lite2 or matplotlib is not installed.
        """
        need_charts()
        meter = PortraitMeter(self.device, lpips)
        album, seconds = Album(self.out, self.kinds, f"Portraits, {self.sides}"), []
        for file, original in self._read(files, "portraits", lambda file: read_portrait(file, self.sides.high)):
            low = self.sides.reduce(original, meter.count)
            results, times = self._upscale(low)
            name = file.relative_to(root or file.parent).with_suffix("")
            album.add("-".join(name.parts), low, results, original)
            meter.add(to_tensor(low), original, results, plan)
            self.portraits.append(file)
            seconds.append(times)
        if meter.count < 2:
            raise UsageError(f"{meter.count} of {len(files)} portraits could be used, expected at least 2; give more.")
        self._figures += (*meter.figures(str(self.sides), split), self._seconds(seconds, split))
        self._sheets += album.sheets()
        self.measured = meter.values

    def add_inputs(self, files: Sequence[Path]) -> None:
        """Upscale small pictures that have no original; larger ones are reported and left out.

        Raises:
            ImageError: if none can be used, or a picture cannot be written.
        """
        album = Album(self.out / "inputs", self.kinds, f"Pictures of your own, upscaled {self.sides.scale}x")
        for file, low in self._read(files, "pictures", read_small):
            album.add(file.stem, low, self._upscale(low)[0])
        sheets = album.sheets()
        if not sheets:
            raise ImageError(f"--inputs: none of {len(files)} pictures could be used; the lines above say why.")
        self._sheets += sheets

    def result(self, facts: Mapping[str, str]) -> Evaluation:
        """Collect everything so far; the models' descriptions come before the other facts."""
        models = {f"model {model.name}": f"{model.about}; {model.steps(self.sides.scale)}" for model in self.models}
        names = tuple(model.name for model in self.models)
        columns = (*names, ORIGINAL) if self._figures else names
        legend = f"Values are means over the portraits; {ORIGINAL}: the portraits before they were reduced."
        return Evaluation(TITLE, columns, self._figures, self._sheets, {**models, **facts}, legend, names)

    def _read(self, files: Sequence[Path], what: str, read: Callable[[Path], RGB]) -> Iterator[tuple[Path, RGB]]:
        """Yield the files that can be used, with their pictures; report why the others cannot."""
        for file in self.track(files, what):
            try:
                rgb = read(file)
            except ImageError as error:
                self.report(str(error))
                continue
            yield file, rgb

    def _upscale(self, low: RGB) -> tuple[dict[str, RGB], dict[str, float]]:
        """Upscale (h, w, 3) by every model; return model -> (s*h, s*w, 3), and model -> seconds."""
        results, seconds = {}, {}
        for model in self.models:
            started = time.perf_counter()
            results[model.name] = to_rgb(model.upscale_to(to_tensor(low), self.sides.scale))
            seconds[model.name] = time.perf_counter() - started
        return results, seconds

    def _seconds(self, seconds: Sequence[Mapping[str, float]], split: str) -> Figure:
        """Take each model's median over all pictures but the first, which includes some loading."""
        times = seconds[1:]
        values: dict[str, float | None] = {m.name: statistics.median(x[m.name] for x in times) for m in self.models}
        method = f"wall clock, median, {self.device}, threads: {torch.get_num_threads()}, the first picture left out"
        return Figure("Seconds a picture", values, Protocol(method, len(times), str(self.sides), split), "lower")


def evaluate_portraits(
    pipeline: FacePipeline,
    files: Sequence[Path],
    split: str,
    report: Callable[[str], None],
    lpips: PairDistance | None = None,
    damage: str | None = None,
    grouping: Grouping | None = None,
) -> tuple[Evaluation, ...]:
    """Compare the pipeline with bicubic and Lanczos interpolation on aligned portraits, reduced to 96 px.

    Arguments and errors are as in `Comparison.add_portraits` and `Sides`; `report` receives a line on each portrait.

    Returns:
        The evaluation; with a grouping, also an evaluation of the groups.
    """

    def track(files: Sequence[Path], what: str) -> Iterator[Path]:
        for number, file in enumerate(files, start=1):
            report(f"portrait {number} of {len(files)}: {file.name}")
            yield file

    sides = Sides(LOW, LOW * pipeline.scale, damage)
    models = [from_pipeline(OURS, pipeline, "the pipeline"), *load_upscalers((BASELINE, LANCZOS), Setting(sides.scale))]
    comparison = Comparison(models, sides, device=pipeline.device, report=report, track=track)
    comparison.add_portraits(files, split, lpips=lpips, plan=pipeline.plan(LOW, LOW))
    found = comparison.result({})
    whole = replace(
        found,
        title="Portraits upscaled by stage 2",
        columns=(*found.columns, RATIO),
        figures=tuple(_with_ratio(figure) for figure in found.figures[:-1]),  # the last are seconds
        facts={},
        legend=f"Columns: what {OURS} made of the reduced portraits; {BASELINE} and {LANCZOS}: the same enlarged by "
        f"interpolation; {ORIGINAL}: the portraits before reduction; {RATIO}: {OURS} over {BASELINE}.",
    )
    if grouping is None:
        return (whole,)
    groups = [grouping(file) for file in comparison.portraits]
    return whole, evaluate_groups(comparison.measured, groups, OURS, str(sides), split)


def _with_ratio(figure: Figure) -> Figure:
    """Add facegen's value over bicubic's to a figure of `RELATIVE`."""
    ours, bicubic = figure.values[OURS], figure.values[BASELINE]
    if figure.name not in RELATIVE or ours is None or bicubic is None:
        return figure
    return replace(figure, values={**figure.values, RATIO: ratio(ours, bicubic)})


def read_small(file: Path) -> RGB:
    """Read a picture of any shape, (h, w, 3); ImageError if a side is longer than `LARGEST`."""
    rgb = read_image(file).rgb
    if max(rgb.shape[:2]) > LARGEST:
        raise ImageError(
            f"{file}: {rgb.shape[1]}x{rgb.shape[0]}, expected at most {LARGEST} px a side; left out. Whole photos are "
            "upscaled by facegen upres."
        )
    return rgb
