"""The part of a frame's work that needs no other frame: done here, or by other processes for several frames at once.

The little that needs the frame before is always done here, in order, so that the bytes are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from facegen.jobs import Pool
from facegen.pipeline import FacePipeline
from facegen.runtime import resolve_device
from facegen.threads import at_once, workers

Result = TypeVar("Result")


class Sharing(Protocol):
    """Does the work that needs no other frame."""

    @property
    def side_by_side(self) -> int:
        """Number of frames to work on at a time."""

    @property
    def ahead(self) -> int:
        """Number of frames whose work to begin before they are needed."""

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Have function(pipeline, *arguments) called; `function` is a function of a module, not a nested one."""

    def late(self, value: Callable[[], Result]) -> Callable[[], Result]:
        """Turn a function that waits for a value into an argument for `submit`; other processes need the value now."""


@dataclass(frozen=True)
class Alone:
    """This process does the work, on the thread that submits it."""

    pipeline: FacePipeline
    ahead: int = 0

    @property
    def side_by_side(self) -> int:
        return workers(self.pipeline.device)

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        return at_once(partial(function, self.pipeline, *arguments))

    def late(self, value: Callable[[], Result]) -> Callable[[], Result]:
        return value


@dataclass(frozen=True)
class Shared:
    """The processes of a pool do the work; each has a `Holder`."""

    pool: Pool

    @property
    def side_by_side(self) -> int:
        return self.pool.in_flight

    @property
    def ahead(self) -> int:
        return self.pool.in_flight

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        return self.pool.submit(_on_pipeline, function, *arguments)

    def late(self, value: Callable[[], Result]) -> Callable[[], Result]:
        return partial(_same, value())


class Holder(Protocol):
    """Holds networks."""

    @property
    def pipeline(self) -> FacePipeline: ...


@dataclass
class LazyPipeline:
    """A pipeline that is loaded when it is first used, in any process."""

    recipe: Path
    overrides: tuple[str, ...]
    device: str

    @cached_property
    def pipeline(self) -> FacePipeline:
        return FacePipeline.load(self.recipe, self.overrides, device=resolve_device(self.device))


def _on_pipeline(holder: Holder, function: Callable[..., Result], *arguments: Any) -> Result:
    return function(holder.pipeline, *arguments)


def _same(value: Result) -> Result:
    return value
