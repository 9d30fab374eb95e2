"""Upscale the frames of a film in order, so that what one frame shows stays in the next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facegen.arrays import to_rgb
from facegen.candidates import Candidates
from facegen.errors import UsageError
from facegen.faces.landmarks import Landmarks, landmarks_in_head
from facegen.ops.blending import blend
from facegen.ops.choice import gather
from facegen.ops.consistency import ROUNDING, back_project, finest_reference, resample
from facegen.ops.tiling import split
from facegen.pipeline import FacePipeline, Upscaled
from facegen.video.carry import Carried, DetailCarrier, Plane
from facegen.video.store import State, joined, nonempty, part
from facegen.video.tracking import BETA, CUTOFF, OneEuroFilter, smooth_landmarks

PREVIOUS = "previous"
"""Name of the candidate that the previous frame becomes."""
BONUS = 1.0
"""Bonus of a tile's previous choice, in standard deviations of the scores."""
CAMERA_CUTOFF = 0.15
"""Hz: `stabilize` takes out motion of the whole face that is faster than this."""


@dataclass(frozen=True)
class TemporalOptions:
    """The measures against flicker; each works by itself."""

    landmarks: bool = True  # smooth landmarks over time, and keep them where the detector misses
    hysteresis: bool = True  # keep the chosen candidate of a tile unless another is clearly better
    previous: bool = True  # add the previous frame, moved along the optical flow, as one more candidate
    carry: bool = True  # carry detail along the optical flow; see `facegen.video.carry`
    stabilize: float = 0.0  # share of the face's motion, turns and size included, that a camera takes out, 0..1


@dataclass(frozen=True)
class TemporalFrame:
    """A finished frame and how it was made."""

    image: Tensor  # (3, S, S) in [0, 1]
    upscaled: Upscaled  # the pipeline's result, before detail was carried and the camera moved


class TemporalUpscaler:
    """Upscales the frames of one film in order. The same frames always become the same bytes.

    With all options off, each frame is the pipeline's own result.
    """

    def __init__(self, pipeline: FacePipeline, options: TemporalOptions, *, fps: float) -> None:
        if not 0 <= options.stabilize <= 1:
            raise UsageError(f"stabilize is {options.stabilize}, expected 0 (off) to 1.")
        self.pipeline, self.options = pipeline, options
        self._points = OneEuroFilter(fps, cutoff=CUTOFF, beta=BETA)
        self._camera = OneEuroFilter(fps, cutoff=CAMERA_CUTOFF)
        self._carrier = DetailCarrier()
        self._chosen: NDArray[np.int64] | None = None
        """Each tile's latest choice among the network's own candidates."""

    def upscale_face(self, face: Tensor, size: int) -> TemporalFrame:
        """Upscale the next frame, an aligned head, (3, s, s) in [0, 1]; `size` is as for `FacePipeline.__call__`."""
        landmarks = self.locate(face)
        side = self.pipeline.low_res_side(size)
        low_res = to_rgb(finest_reference(face, resample(face, (side, side)), self.pipeline.scale))
        needed = self.options.previous or self.options.carry
        carried = self._carrier.carried(low_res, (self.pipeline.scale * side,) * 2) if needed else None
        extend = partial(self._with_previous, carried=carried)
        upscaled = self.pipeline(face, size, landmarks=landmarks, extend=extend)
        image = self._with_detail(upscaled, carried)
        self._carrier.keep(low_res, _plane(image))
        self._chosen = self._own_choice(upscaled)
        return TemporalFrame(self._filmed(image, landmarks.points / face.shape[-1]), upscaled)

    def locate(self, face: Tensor) -> Landmarks:
        """Find the landmarks of the next frame's face, (3, s, s), in its pixels; smoothed if the options say so."""
        found = landmarks_in_head(to_rgb(face))
        return smooth_landmarks(self._points, found, face.shape[-1]) if self.options.landmarks else found

    def follow(self, face: Tensor) -> None:
        """Show a face, (3, s, s), to the landmarks' filter and the camera without upscaling it."""
        self._camera(_marks(self.locate(face).points / face.shape[-1]))

    def _with_previous(self, candidates: Candidates, *, carried: Carried | None) -> Candidates:
        """Add the previous frame as one more candidate, and a bonus for each tile's previous choice."""
        if self._chosen is None:
            return candidates
        images, names = candidates.images, candidates.names
        chosen = torch.from_numpy(self._chosen).to(images.device)
        bonus = torch.zeros(images.shape[:2], device=images.device)
        if self.options.hysteresis:
            bonus.scatter_(1, chosen[:, None], BONUS)
        if self.options.previous and carried is not None:
            standing = blend(gather(images, chosen).float(), candidates.plan)
            moved = _image(carried.mix(_plane(standing))).to(images)
            images = torch.cat([images, split(moved, candidates.plan)[:, None]], dim=1)
            names = (*names, PREVIOUS)
            bonus = torch.cat([bonus, bonus.amax(1, keepdim=True)], dim=1)
        return replace(candidates, images=images, names=names, bonus=bonus)

    def _own_choice(self, upscaled: Upscaled) -> NDArray[np.int64]:
        """The chosen candidate of each tile; where that is the previous frame, the choice before stays."""
        chosen = upscaled.chosen.cpu().numpy()
        fresh = len(upscaled.names) - (PREVIOUS in upscaled.names)
        return chosen if self._chosen is None else np.where(chosen < fresh, chosen, self._chosen)

    def _with_detail(self, upscaled: Upscaled, carried: Carried | None) -> Tensor:
        """The upscaled picture with detail carried from the previous frame, back-projected again."""
        if not self.options.carry or carried is None:
            return upscaled.image
        mixed = _image(carried.mix(_plane(upscaled.image))).to(upscaled.image)
        with torch.inference_mode():
            return back_project(mixed, upscaled.reference, self.pipeline.recipe.fidelity, slack=ROUNDING)

    def _filmed(self, image: Tensor, points: NDArray[np.float64]) -> Tensor:
        """Move the frame as a camera that follows the face; (68, 2) landmarks are shares of the picture's side."""
        if not self.options.stabilize:
            return image
        here = _marks(points)
        there = here + self.options.stabilize * (self._camera(here) - here)
        matrix = similarity(here, there)
        side = image.shape[-1]
        matrix[:, 2] = matrix[:, 2] * side + (matrix[:, :2].sum(1) - 1) / 2  # in pixel indexes, half a pixel less
        moved = cv2.warpAffine(
            _plane(image), matrix, (side, side), flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT_101
        )
        return _image(moved.clip(0, 1)).to(image)

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that the next frame needs of those before."""
        parts = {"points": self._points.state(), "camera": self._camera.state(), "carrier": self._carrier.state()}
        return joined(parts | {"choice": nonempty({"winners": self._chosen})})

    def restore(self, state: State) -> None:
        self._points.restore(part(state, "points"))
        self._camera.restore(part(state, "camera"))
        self._carrier.restore(part(state, "carrier"))
        self._chosen = part(state, "choice").get("winners")


def _marks(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The marks that the camera follows, (3, 2): the middles of both eyes and of the mouth's corners."""
    return np.stack([points[part].mean(axis=0) for part in (slice(36, 42), slice(42, 48), [48, 54])])


def similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the shift, turn and growth, a (2, 3) matrix, that bring points nearest to others (S. Umeyama, 1991).

    Points are (N, 2), N at least 2, not all of one place.
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
