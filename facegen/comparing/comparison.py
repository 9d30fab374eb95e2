"""Several upscalers on the same pictures: upscaled, measured where there is an original, and put side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

import torch

from facegen.arrays import to_picture, to_tensor
from facegen.comparing.album import Album
from facegen.comparing.inputs import Sides, name_below, read_small
from facegen.comparing.upscaler import Upscaler
from facegen.errors import ImageError, UsageError
from facegen.evaluation.measuring import ORIGINAL, Picture, Portrait, PortraitMeter, read_portrait
from facegen.evaluation.result import Evaluation, Report, Sheet
from facegen.metrics.protocol import Figure, Protocol
from facegen.metrics.published import PairDistance
from facegen.ops.consistency import downsample_area

TITLE = "Ways to upscale a face, side by side"
LEGEND = f"Values are means over the portraits; {ORIGINAL}: the portraits before they were reduced."
Track = Callable[[Sequence[Path], str], Iterable[Path]]
"""Takes files and what they are, and gives them one after the other while it shows how far it is."""


class Comparison:
    """Takes portraits and pictures of the caller's own, and gives what was found as one evaluation.

    Args:
        models: with different names.
        sides: of the portraits; other pictures are upscaled by the same scale.
        out: folder to write pictures to; those of the caller's own go into out/inputs.
        kinds: of `facegen.comparing.album.KINDS`, which pictures are written.
        device: where the networks that measure run.
        report: is told of pictures that are left out.
        track: shows the progress.
    """

    def __init__(
        self,
        models: Sequence[Upscaler],
        sides: Sides,
        out: Path,
        kinds: Collection[str],
        *,
        device: str,
        report: Report,
        track: Track,
    ) -> None:
        self.models, self.sides, self.out, self.kinds = models, sides, out, kinds
        self.device, self.report, self.track = device, report, track
        self._figures: tuple[Figure, ...] = ()
        self._sheets: tuple[Sheet, ...] = ()
        self._clock: dict[str, list[float]] = {model.name: [] for model in models}

    def add_portraits(self, files: Sequence[Path], root: Path, split: str, lpips: PairDistance | None = None) -> None:
        """Reduce aligned portraits, upscale them, and measure what comes of it.

        Args:
            files: square heads of at least `sides.high` px; others are passed over and reported.
            root: the folder that they lie below; the names of written files follow their places in it.
            split: how they were chosen, for the protocol.
            lpips: measures LPIPS; without it there is none.
        Raises:
            UsageError: if fewer than two can be used.
            ImageError: if a picture cannot be written.
        """
        meter, low_size = PortraitMeter(self.device, lpips), (self.sides.low, self.sides.low)
        album = Album(self.out, self.kinds, f"Portraits, {self.sides}")
        for file, original in self._read(files, "portraits", lambda file: read_portrait(file, self.sides.high)):
            low = to_picture(downsample_area(to_tensor(original), low_size))
            results = self._upscale(low, self._clock)
            album.add(name_below(file, root), low, results, original)
            meter.add(Portrait(to_tensor(low), original, results))
        if meter.count < 2:
            raise UsageError(f"{meter.count} of {len(files)} portraits could be used, expected at least 2; give more.")
        self._figures += (*meter.figures(str(self.sides), split), self._seconds(meter.count - 1, split))
        self._sheets += album.sheets()

    def add_inputs(self, files: Sequence[Path]) -> None:
        """Upscale small pictures that have no original; those too large are passed over and reported.

        Raises:
            ImageError: if none can be used, or a picture cannot be written.
        """
        album = Album(self.out / "inputs", self.kinds, f"Pictures of your own, upscaled {self.sides.scale}x")
        for file, low in self._read(files, "pictures", read_small):
            album.add(file.stem, low, self._upscale(low, {}))
        sheets = album.sheets()
        if not sheets:
            raise ImageError(f"--inputs: none of {len(files)} pictures could be used; the lines above say why.")
        self._sheets += sheets

    def result(self, facts: Mapping[str, str]) -> Evaluation:
        """Everything so far.

        Args:
            facts: what was compared, beside what the models are.
        """
        models = {f"model {model.name}": f"{model.about}; {model.steps(self.sides.scale)}" for model in self.models}
        names = tuple(model.name for model in self.models)
        columns = (*names, ORIGINAL) if self._figures else names
        return Evaluation(TITLE, columns, self._figures, self._sheets, {**models, **facts}, LEGEND)

    def _read(
        self, files: Sequence[Path], what: str, read: Callable[[Path], Picture]
    ) -> Iterable[tuple[Path, Picture]]:
        """The files that can be used; of the others, the reason is reported."""
        for file in self.track(files, what):
            try:
                rgb = read(file)
            except ImageError as error:
                self.report(str(error))
                continue
            yield file, rgb

    def _upscale(self, low: Picture, clock: dict[str, list[float]]) -> dict[str, Picture]:
        """Model -> (s*h, s*w, 3); `clock` gets the seconds that each took."""
        results = {}
        for model in self.models:
            began = time.perf_counter()
            results[model.name] = to_picture(model.upscale_to(to_tensor(low), self.sides.scale))
            clock.setdefault(model.name, []).append(time.perf_counter() - began)
        return results

    def _seconds(self, count: int, split: str) -> Figure:
        """The medians; the first picture is left out, as some of it is spent on loading."""
        values: dict[str, float | None] = {name: statistics.median(x[1:]) for name, x in self._clock.items()}
        looked = f"wall clock, median, {self.device}, threads: {torch.get_num_threads()}, the first picture left out"
        return Figure("Seconds a picture", values, Protocol(looked, count, str(self.sides), split), "lower")
