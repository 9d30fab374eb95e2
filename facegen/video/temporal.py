"""Upscale the drawn faces of a film in order, so that what one frame shows stays in the next."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facegen.arrays import RGB, to_rgb
from facegen.candidates import Candidates, Upscaled, wanted_variants
from facegen.errors import UsageError
from facegen.faces.landmarks import Landmarks, landmarks_in_head
from facegen.ops.consistency import ROUNDING, back_project, finest_reference, resample
from facegen.pipeline import FacePipeline
from facegen.threads import Submit, at_once
from facegen.video.carry import Kept, Motion, Plane, carried, motion
from facegen.video.sharing import Alone, Sharing
from facegen.video.store import State, joined, part
from facegen.video.tracking import BETA, CUTOFF, OneEuroFilter, smooth_landmarks

BONUS = 1.0
"""Bonus for a tile's previous choice, in standard deviations of the scores."""
CAMERA_CUTOFF = 0.15
"""Hz: `stabilize` removes motion of the whole face that is faster than this."""


@dataclass(frozen=True)
class TemporalOptions:
    """The measures against flicker, each independent of the others."""

    landmarks: bool = True  # smooth landmarks over time, and keep them where the detector misses
    hysteresis: bool = True  # of several candidates, keep the chosen one of a tile unless another is clearly better
    carry: bool = True  # carry detail along the optical flow; see `facegen.video.carry`
    stabilize: float = 0.0  # share of the face's motion, rotation and size included, that a camera removes, 0..1


@dataclass(frozen=True)
class TemporalFrame:
    """A finished frame, and how it was made."""

    image: Tensor  # (3, S, S) in [0, 1]
    upscaled: Upscaled  # the pipeline's result, before detail was carried and the camera moved
    kept: Kept | None  # what the next frame carries; None if nothing is carried
    filters: State  # of landmarks and camera

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that the next frame needs."""
        kept = {} if self.kept is None else self.kept.state()
        chosen = self.upscaled.chosen.cpu().numpy()
        return joined({"filters": self.filters, "carrier": kept, "choice": {"chosen": chosen}})


@dataclass(frozen=True)
class Past:
    """The parts of a frame that the next one needs."""

    kept: Kept | None = None
    chosen: Tensor | None = None  # (T,), each tile's candidate

    @classmethod
    def of(cls, frame: Future[TemporalFrame]) -> Past:
        """Wait for a frame."""
        return cls(frame.result().kept, frame.result().upscaled.chosen)


@dataclass(frozen=True)
class Fresh:
    """A face upscaled independently of the frames before. Pickling moves it to the processor, without candidates."""

    upscaled: Upscaled
    moved: Motion | None  # from the frame before

    def __reduce__(self) -> Any:
        parts = ("image", "stack", "reference", "scores", "chosen")
        lean = {name: getattr(self.upscaled, name).cpu() for name in parts}
        return Fresh, (replace(self.upscaled, candidates=torch.empty(0), **lean), self.moved)


def upscale_fresh(
    pipeline: FacePipeline,
    face: Tensor,
    size: int,
    landmarks: Landmarks,
    count: int | None,
    chosen: Callable[[], Tensor | None] | None,
    pair: tuple[RGB, RGB] | None,
) -> Fresh:
    """Upscale a drawn face, and find the motion between a pair of low-res pictures, of the frame before and this one.

    Args:
        face, size, landmarks, count: see `FacePipeline.__call__`.
        chosen: waits for the candidates that the frame before chose; they get a bonus.
    """
    extend = None if chosen is None else partial(_with_bonus, chosen=chosen)
    moved = None if pair is None else motion(*pair)
    return Fresh(pipeline(face, size, landmarks=landmarks, drawn=True, count=count, extend=extend), moved)


@dataclass(frozen=True)
class _Located:
    """A face with its landmarks and the camera's view of it."""

    face: Tensor  # (3, s, s) in [0, 1]
    low_res: RGB  # the face at the finest size at which the result must agree with it
    before: RGB | None  # the previous frame's `low_res`
    landmarks: Landmarks
    camera: NDArray[np.float64] | None  # (2, 3), maps points to where the camera shows them, in shares of the side
    filters: State


class TemporalUpscaler:
    """Upscales the frames of one film in order. The same frames always give the same bytes.

    With all options off, each frame is the pipeline's result. Carried detail matters more than the choice among
    candidates, so each tile then has only one, unless the recipe states a number.
    """

    def __init__(
        self, pipeline: FacePipeline, options: TemporalOptions, *, fps: float, sharing: Sharing | None = None
    ) -> None:
        if not 0 <= options.stabilize <= 1:
            raise UsageError(f"stabilize is {options.stabilize}, expected 0 (off) to 1.")
        self.pipeline, self.options = pipeline, options
        self._sharing = sharing or Alone(pipeline)
        self._count = film_candidates(pipeline) if options.carry else None
        several = len(wanted_variants(pipeline.recipe.candidates)[: self._count]) > 1
        self._keeps_choice = options.hysteresis and several
        self._points = OneEuroFilter(fps, cutoff=CUTOFF, beta=BETA)
        self._camera = OneEuroFilter(fps, cutoff=CAMERA_CUTOFF)
        self._low_res: RGB | None = None
        self._past: Callable[[], Past] = Past

    def upscale_face(self, face: Tensor, size: int) -> TemporalFrame:
        """Upscale the next frame, a drawn face, (3, s, s) in [0, 1]; `size` is as for `FacePipeline.__call__`."""
        return self.begin(face, size).result()

    def begin(self, face: Tensor, size: int, submit: Submit = at_once) -> Future[TemporalFrame]:
        """Locate the next frame's face, and submit the rest of the work, which waits for the frame before."""
        future = submit(partial(self._upscale, self._next(face, size), size, self._past))
        self._past = partial(Past.of, future)
        return future

    def locate(self, face: Tensor) -> Landmarks:
        """Find the landmarks of the next frame's face, (3, s, s), in its pixels; smoothed if the options say so."""
        found = landmarks_in_head(to_rgb(face))
        return smooth_landmarks(self._points, found, face.shape[-1]) if self.options.landmarks else found

    def follow(self, face: Tensor) -> None:
        """Show a face, (3, s, s), to the landmarks' filter and the camera without upscaling it."""
        self._camera(_anchors(self.locate(face).points / face.shape[-1]))

    def _next(self, face: Tensor, size: int) -> _Located:
        """Do what must be done in order."""
        landmarks, side = self.locate(face), self.pipeline.low_res_side(size)
        low_res = to_rgb(finest_reference(face, resample(face, (side, side)), self.pipeline.scale))
        before, self._low_res = self._low_res, low_res
        camera = self._camera_for(landmarks.points / face.shape[-1]) if self.options.stabilize else None
        filters = joined({"points": self._points.state(), "camera": self._camera.state()})
        return _Located(face, low_res, before, landmarks, camera, filters)

    def _upscale(self, located: _Located, size: int, past: Callable[[], Past]) -> TemporalFrame:
        """Upscale a face; the frame before is waited for as late as possible."""
        chosen = self._sharing.late(lambda: past().chosen) if self._keeps_choice else None
        pair = (located.before, located.low_res) if self.options.carry and located.before is not None else None
        fresh = self._sharing.submit(
            upscale_fresh, located.face, size, located.landmarks, self._count, chosen, pair
        ).result()  # fmt: skip
        upscaled, kept = fresh.upscaled, None
        image, reference = (part.to(self.pipeline.device) for part in (upscaled.image, upscaled.reference))
        if self.options.carry:
            image, kept = self._with_detail(image, reference, located.low_res, past().kept, fresh.moved)
        shown = image if located.camera is None else _filmed(image, located.camera)
        return TemporalFrame(shown, upscaled, kept, located.filters)

    def _with_detail(
        self, fresh: Tensor, reference: Tensor, low_res: RGB, kept: Kept | None, moved: Motion | None
    ) -> tuple[Tensor, Kept]:
        """Carry detail from the previous frame into the fresh picture, and back-project it again."""
        if kept is None or moved is None:
            return fresh, Kept.of(low_res, _plane(fresh))
        from_before = carried(kept, low_res, moved)
        mixed = _image(from_before.mix(_plane(fresh))).to(fresh)
        with torch.inference_mode():
            image = back_project(mixed, reference, self.pipeline.recipe.fidelity, slack=ROUNDING)
        return image, Kept.of(low_res, _plane(image), from_before.base)

    def _camera_for(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Find how the camera that follows the face moves the picture; points are (68, 2), in shares of its side."""
        here = _anchors(points)
        return similarity(here, here + self.options.stabilize * (self._camera(here) - here))

    def restore(self, state: State) -> None:
        """Go on after the frame with this state."""
        filters, choice = part(state, "filters"), part(state, "choice")
        self._points.restore(part(filters, "points"))
        self._camera.restore(part(filters, "camera"))
        kept = Kept.restored(part(state, "carrier"))
        past = Past(kept, torch.from_numpy(choice["chosen"]) if choice else None)
        self._low_res, self._past = None if kept is None else kept.low_res, lambda: past


def film_candidates(pipeline: FacePipeline) -> int:
    """Number of candidates of each tile where detail is carried."""
    return pipeline.recipe.candidates.count or 1


def _with_bonus(candidates: Candidates, *, chosen: Callable[[], Tensor | None]) -> Candidates:
    """Give a bonus to the candidate that the frame before chose for each tile."""
    if (before := chosen()) is None:
        return candidates
    bonus = torch.zeros(candidates.images.shape[:2], device=candidates.images.device)
    return replace(candidates, bonus=bonus.scatter_(1, before.to(bonus.device)[:, None], BONUS))


def _filmed(image: Tensor, camera: NDArray[np.float64]) -> Tensor:
    """Move a frame, (3, S, S), as a camera does."""
    matrix, side = camera.copy(), image.shape[-1]
    matrix[:, 2] = matrix[:, 2] * side + (matrix[:, :2].sum(1) - 1) / 2  # in pixel indexes, half a pixel less
    moved = cv2.warpAffine(
        _plane(image), matrix, (side, side), flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT_101
    )
    return _image(moved.clip(0, 1)).to(image)


def _anchors(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The points that the camera follows, (3, 2): the centres of both eyes, and of the mouth's corners."""
    return np.stack([points[part].mean(axis=0) for part in (slice(36, 42), slice(42, 48), [48, 54])])


def similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the translation, rotation and scale that bring points nearest to others: (2, 3) (S. Umeyama, 1991).

    Points are (N, 2), N at least 2, not all in one place.
    """
    points = [array[:, 0] + 1j * array[:, 1] for array in (source, target)]
    here, there = (z - z.mean() for z in points)
    turn = np.vdot(here, there) / np.vdot(here, here)
    shift = points[1].mean() - turn * points[0].mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _plane(image: Tensor) -> Plane:
    """(3, H, W) tensor to (H, W, 3) array."""
    return np.ascontiguousarray(image.float().permute(1, 2, 0).cpu().numpy())


def _image(plane: Plane) -> Tensor:
    """(H, W, 3) array to (3, H, W) tensor."""
    return torch.from_numpy(np.ascontiguousarray(plane.transpose(2, 0, 1)))
