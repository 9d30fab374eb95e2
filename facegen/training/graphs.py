"""Training steps that a GPU replays as CUDA graphs, which launch hundreds of small kernels at once."""

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
PhaseDraws = Callable[[int], Draws]
"""The random numbers of a phase, by its number."""
Step = Callable[[Sequence[int], Any, PhaseDraws], Losses]
"""Runs phases, given by their numbers, on a batch."""
WARM_UP = 3
"""Steps that run as usual before a graph is captured, until all buffers exist and all algorithms are chosen."""


@dataclass
class _Variant:
    """A kind of step, in which certain phases are due."""

    draws: dict[int, FixedDraws] = field(default_factory=dict)
    seen: int = 0
    graph: torch.cuda.CUDAGraph | None = None
    batch: tuple[Tensor, ...] = ()
    losses: Losses = field(default_factory=dict)


class GraphedSteps:
    """Runs the first steps as usual, then captures one, and replays it with each further step's random numbers."""

    def __init__(self, run: Step) -> None:
        self.run = run
        self.refused = False
        """True once a capture has failed."""
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._variants: dict[tuple[int, ...], _Variant] = {}

    def __call__(self, due: Sequence[int], batch: Tensor | Sequence[Tensor], draws_of: PhaseDraws) -> Losses:
        """Run a step; its losses are valid until the next one."""
        variant = self._variants.setdefault(tuple(due), _Variant())
        for number, draws in variant.draws.items():
            draws.refill(draws_of(number))
        single = isinstance(batch, Tensor)
        pictures = (batch,) if isinstance(batch, Tensor) else tuple(batch)

        def fixed(number: int) -> Draws:
            return variant.draws.setdefault(number, FixedDraws(draws_of(number)))

        def run() -> Losses:
            return self.run(due, variant.batch[0] if single else variant.batch, fixed)

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
            return self._run_on_stream(run)
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
                f"This GPU or version of PyTorch cannot replay training steps as graphs ({one_line(error)}), so they "
                "take longer.",
                stacklevel=2,
            )
        else:
            variant.graph = graph

    def _run_on_stream(self, run: Callable[[], Losses]) -> Losses:
        """Run on the stream that graphs are captured on, which has separate memory and backward passes."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            losses = run()
        torch.cuda.current_stream().wait_stream(self.stream)
        return losses
