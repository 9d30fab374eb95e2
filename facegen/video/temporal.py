"""Upscaling the frames of a film one after the other, so that what one frame shows stays on in the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.profiler import record_function as step

from facegen.arrays import to_picture
from facegen.candidates import Candidates
from facegen.errors import UsageError
from facegen.faces.landmarks import Landmarks, landmarks_in_head
from facegen.ops.blending import blend
from facegen.ops.choice import gather
from facegen.ops.consistency import ROUNDING, back_project, finest_reference, resample
from facegen.ops.tiling import split
from facegen.pipeline import FacePipeline, Upscaled
from facegen.video.carry import Carried, DetailCarrier, Plane, enlarge, mix
from facegen.video.tracking import OneEuroFilter

PREVIOUS = "previous"
"""Name of the candidate that the previous frame enters as."""
HOLD = 1.0
"""What a standing winner is ahead of the others, in standard deviations of the scores."""
LANDMARK_CUTOFF, LANDMARK_BETA = 1.0, 20.0
"""Of the landmarks' filter: Hz, and Hz per picture side and second."""
CAMERA_CUTOFF = 0.15
"""Hz: motion of the whole face that is faster than this is what `stabilize` takes out."""
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class TemporalOptions:
    """What keeps a film steady; each by itself."""

    landmarks: bool = True
    """Landmarks are smoothed over time, and kept where the detector misses."""
    hysteresis: bool = True
    """The winning candidate of a tile stays unless another is clearly better."""
    previous: bool = True
    """What stood in the previous frame, moved along the flow as far as that is to be trusted, is one more candidate."""
    carry: bool = True
    """Detail is carried along the flow; see `facegen.video.carry`."""
    stabilize: float = 0.0
    """Share of the face's motion in the picture, turns and size included, that a camera following it takes out, 0..1.
    """


@dataclass(frozen=True)
class TemporalFrame:
    """A finished frame and how it came about."""

    image: Tensor
    """(3, S, S) in [0, 1]."""
    upscaled: Upscaled
    """What the pipeline made, before detail was carried and the camera moved."""


class TemporalUpscaler:
    """Upscales the frames of one film in order. The same frames always become the same bytes.

    Args:
        pipeline: upscales each frame.
        options: what keeps them steady; with everything off a frame is what the pipeline makes of it.
        fps: frames per second.
    Raises:
        UsageError: if `stabilize` is outside 0..1, or the frame rate is not positive.
    """

    def __init__(self, pipeline: FacePipeline, options: TemporalOptions, *, fps: float) -> None:
        if not 0 <= options.stabilize <= 1:
            raise UsageError(f"stabilize is {options.stabilize}, expected 0 (off) to 1.")
        self.pipeline, self.options = pipeline, options
        self._points = OneEuroFilter(fps, cutoff=LANDMARK_CUTOFF, beta=LANDMARK_BETA)
        self._camera = OneEuroFilter(fps, cutoff=CAMERA_CUTOFF)
        self._carrier = DetailCarrier()
        self._winners: NDArray[np.int64] | None = None

    def reset(self) -> None:
        """Forget the previous frames, as at a cut."""
        self._points.reset()
        self._camera.reset()
        self._carrier.reset()
        self._winners = None

    def upscale_face(self, face: Tensor, size: int) -> TemporalFrame:
        """Upscale the next frame.

        Args:
            face: (3, s, s) in [0, 1], an aligned head.
            size: side wanted, as of `FacePipeline.__call__`; the same for all frames.
        """
        landmarks = self.locate(face)
        side = self.pipeline.low_res_side(size)
        low_res = to_picture(finest_reference(face, resample(face, (side, side)), self.pipeline.scale))
        shape = 2 * (self.pipeline.scale * side,)
        base = enlarge(low_res, shape)
        with step("facegen.flow"):
            carried = self._carrier.carried(low_res, shape) if self.options.previous or self.options.carry else None
        with_previous = partial(self._with_previous, base=base, carried=carried)
        upscaled = self.pipeline(face, size, landmarks=landmarks, extend=with_previous)
        with step("facegen.carry"):
            image = self._mixed(upscaled, base, carried)
            self._carrier.keep(low_res, _plane(image))
            self._winners = self._standing(upscaled)
        return TemporalFrame(self._filmed(image, landmarks.points / face.shape[-1]), upscaled)

    def locate(self, face: Tensor) -> Landmarks:
        """Landmarks of the next frame's face, (3, s, s), in its pixels; smoothed over time if the options say so."""
        with step("facegen.landmarks"):
            found = landmarks_in_head(to_picture(face))
        if not self.options.landmarks:
            return found
        side = face.shape[-1]
        if found.detected or self._points.values is None:
            return Landmarks(self._points(found.points / side) * side, found.detected)
        return Landmarks(self._points.values * side, detected=False)

    def follow(self, face: Tensor) -> None:
        """Let the landmarks' filter and the camera see a face, (3, s, s), without upscaling it."""
        self._camera(_marks(self.locate(face).points / face.shape[-1]))

    def _with_previous(self, candidates: Candidates, *, base: Plane, carried: Carried | None) -> Candidates:
        """Add the previous frame as one more candidate, and a bonus for what was chosen then."""
        if self._winners is None:
            return candidates
        images, names = candidates.images, candidates.names
        winners = torch.from_numpy(self._winners).to(images.device)
        bonus = torch.zeros(images.shape[:2], device=images.device)
        if self.options.hysteresis:
            bonus.scatter_(1, winners[:, None], HOLD)
        if self.options.previous and carried is not None:
            standing = blend(gather(images, winners).float(), candidates.plan)
            moved = _image(mix(carried, _plane(standing), base, self._carrier.strength)).to(images)
            images = torch.cat([images, split(moved, candidates.plan)[:, None]], dim=1)
            names = (*names, PREVIOUS)
            bonus = torch.cat([bonus, bonus.amax(1, keepdim=True)], dim=1)
        return replace(candidates, images=images, names=names, bonus=bonus)

    def _standing(self, upscaled: Upscaled) -> NDArray[np.int64]:
        """The chosen candidate of each tile; where that is the previous frame, the one chosen before stays."""
        chosen = upscaled.chosen.cpu().numpy()
        fresh = len(upscaled.names) - (PREVIOUS in upscaled.names)
        return chosen if self._winners is None else np.where(chosen < fresh, chosen, self._winners)

    def _mixed(self, upscaled: Upscaled, base: Plane, carried: Carried | None) -> Tensor:
        """The upscaled picture with detail carried from the previous frame, back-projected again."""
        if not self.options.carry or carried is None:
            return upscaled.image
        mixed = _image(mix(carried, _plane(upscaled.image), base, self._carrier.strength)).to(upscaled.image)
        with torch.inference_mode():
            return back_project(mixed, upscaled.reference, self.pipeline.recipe.fidelity, slack=ROUNDING)

    def _filmed(self, image: Tensor, points: NDArray[np.float64]) -> Tensor:
        """The frame as a camera that follows the face sees it; (68, 2) landmarks are shares of the picture's side."""
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
        """All that the next frame needs of those before, by name."""
        parts: dict[str, Arrays] = {
            "points": self._points.state(),
            "camera": self._camera.state(),
            "carrier": self._carrier.state(),
            "choice": {} if self._winners is None else {"winners": self._winners},
        }
        return {f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}

    def restore(self, state: Arrays) -> None:
        """Go on where `state` was taken: the next frames become what they would have become there."""

        def part(name: str) -> dict[str, NDArray[Any]]:
            return {key.removeprefix(f"{name}."): array for key, array in state.items() if key.startswith(f"{name}.")}

        self._points.restore(part("points"))
        self._camera.restore(part("camera"))
        self._carrier.restore(part("carrier"))
        self._winners = part("choice").get("winners")


def _marks(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the camera follows: the middles of both eyes and of the mouth's corners, (3, 2), of 68 landmarks."""
    return np.stack([points[part].mean(axis=0) for part in (slice(36, 42), slice(42, 48), [48, 54])])


def similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shift, turn and growth that brings points nearest to others, in least squares (S. Umeyama, 1991).

    Args:
        source, target: (N, 2) points (x, y), N at least 2, not all of one place.
    Returns:
        (2, 3) affine matrix.
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
