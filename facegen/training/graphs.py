"""Steps that a GPU replays as CUDA graphs: hundreds of small kernels are then launched at once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from facegen.errors import one_line
from facegen.training.random import Draws, FixedDraws

Losses = dict[str, Tensor]
Numbered = Callable[[int], Draws]
"""The random numbers of a phase, by its number."""
Step = Callable[[Sequence[int], Any, Numbered], Losses]
"""Runs phases, given by their numbers, on a batch."""
WARM_UP = 3
"""Steps that run as usual before a graph is captured, so that every buffer and choice of algorithm exists."""


@dataclass
class _Variant:
    """The steps in which the same phases are due."""

    draws: dict[int, FixedDraws] = field(default_factory=dict)
    seen: int = 0
    graph: torch.cuda.CUDAGraph | None = None
    batch: tuple[Tensor, ...] = ()
    losses: Losses = field(default_factory=dict)


class GraphedSteps:
    """Runs a step as it is a few times, captures it, and replays it from then on, with each step's own numbers."""

    def __init__(self, run: Step) -> None:
        self.run = run
        self.refused = False
        """True once a capture has failed."""
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._variants: dict[tuple[int, ...], _Variant] = {}

    def __call__(self, due: Sequence[int], batch: Tensor | Sequence[Tensor], numbers: Numbered) -> Losses:
        """The losses of a step, which stay in place until the next."""
        variant = self._variants.setdefault(tuple(due), _Variant())
        for number, draws in variant.draws.items():
            draws.refill(numbers(number))
        whole = isinstance(batch, Tensor)
        pictures = (batch,) if isinstance(batch, Tensor) else tuple(batch)

        def fixed(number: int) -> Draws:
            return variant.draws.setdefault(number, FixedDraws(numbers(number)))

        def run() -> Losses:
            return self.run(due, variant.batch[0] if whole else variant.batch, fixed)

        if not variant.batch:
            variant.batch = tuple(torch.empty_like(picture) for picture in pictures)
        for place, picture in zip(variant.batch, pictures, strict=True):
            place.copy_(picture)
        variant.seen += 1
        if variant.seen > WARM_UP and variant.graph is None and not self.refused:
            self._capture(variant, run)
            for draws in variant.draws.values():
                draws.rewind()
        if variant.graph is None:
            return self._aside(run)
        variant.graph.replay()
        return variant.losses

    def _capture(self, variant: _Variant, run: Callable[[], Losses]) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self.stream):
                variant.losses = run()
        except RuntimeError as error:
            self.refused = True
            warnings.warn(
                f"This GPU or version of PyTorch cannot replay a training step as a graph ({one_line(error)}); steps "
                "take longer.",
                stacklevel=2,
            )
        else:
            variant.graph = graph

    def _aside(self, run: Callable[[], Losses]) -> Losses:
        """Run on the stream that graphs are captured on, whose memory and backward passes are kept apart."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            losses = run()
        torch.cuda.current_stream().wait_stream(self.stream)
        return losses
