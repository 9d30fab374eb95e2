"""Upscale a clip frame by frame: heads are followed, and detail moves with what it is on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from facegen.arrays import RGB, to_rgb
from facegen.canvas import back_project_photo, blank_canvas, fill_background
from facegen.errors import UsageError
from facegen.faces.align import HeadFrame
from facegen.faces.detect import heads_in_photo
from facegen.faces.landmarks import landmarks_in_head
from facegen.media.video_reader import Clip
from facegen.photo import PhotoOptions, paste_heads, photo_scale, wanted_heads
from facegen.pipeline import FacePipeline, Upscaled
from facegen.video.carry import Carried, DetailCarrier, Plane
from facegen.video.store import FrameStore, State, joined, part
from facegen.video.tracking import HeadTracker, TrackedHead, smooth_landmarks

Progress = Callable[[int, int | None], object]
"""Called with the number of frames done, and the number of all, if that is known."""

LARGEST = 35_651_584
"""Pixels of the largest frame made: the most that H.264 has a level for (6.2), 139,264 blocks of 16 x 16."""
SCALE_SECONDS, SCALE_FRAMES = 2, 8
"""The scale is chosen by so many frames of the first seconds."""
CUT = 0.1
"""Mean trust in the motion from frame to frame below which the scene has changed."""


@dataclass(frozen=True)
class UpscaledClip:
    """An upscaled clip, whose frames lie in the store."""

    times: tuple[Fraction, ...]  # of the frames, in seconds
    heads: int  # most heads upscaled in one frame
    fit: float
    """The worst frame's PSNR in dB of the area-downsampled result to the clip's own frame; inf if all are equal."""


def clip_scale(clip: Clip, options: PhotoOptions) -> int:
    """Choose the enlargement of all frames: that of the options, or by the largest head of the first seconds.

    Raises:
        UsageError: if the frames would exceed `LARGEST` pixels.
    """
    width, height = clip.size
    most = math.isqrt(LARGEST // (width * height))
    if options.background == "keep":
        return 1
    if options.scale is None:
        heads = [frame for rgb in _first_frames(clip) for frame in _heads(rgb, options)]
        heads = wanted_heads(sorted(heads, key=lambda frame: -frame.side), options)
        return max(min(photo_scale(heads), most), 1)
    if options.scale > most:
        raise UsageError(
            f"{clip.path}: {width}x{height} at --scale {options.scale} would be over {LARGEST / 1e6:.1f} megapixels, "
            f"more than H.264 has a level for; choose --scale {most} or less."
        )
    return options.scale


def upscale_clip(
    pipeline: FacePipeline,
    clip: Clip,
    scale: int,
    options: PhotoOptions,
    store: FrameStore,
    progress: Progress = lambda _done, _all: None,
) -> UpscaledClip:
    """Upscale a clip into a store, from the first frame that is not there yet.

    Args:
        scale: see `clip_scale`; at most 8.
        store: its key must depend on all these arguments.
    Raises:
        FileError: if the clip is damaged, or the frames cannot be written.
    """
    upscaler = ClipUpscaler(pipeline, scale, options, fps=float(clip.fps))
    made_before, latest = store.done, store.latest()
    times: list[Fraction] = []
    with closing(clip.frames()) as frames:
        for time, rgb in frames:
            times.append(time)
            if len(times) > made_before:
                store.add(upscaler.upscale_frame(rgb), upscaler.state())
            elif latest is not None and len(times) == made_before:
                upscaler.restore(rgb, *latest)
            progress(len(times), clip.count)
    return UpscaledClip(tuple(times), upscaler.heads, upscaler.fit)


class ClipUpscaler:
    """Upscales the frames of one clip in order."""

    def __init__(self, pipeline: FacePipeline, scale: int, options: PhotoOptions, *, fps: float) -> None:
        self.pipeline, self.scale, self.options = pipeline, scale, options
        self._tracker, self._carrier = HeadTracker(fps), DetailCarrier()
        self.heads, self.fit = 0, math.inf

    def upscale_frame(self, rgb: RGB) -> RGB:
        """Upscale the next frame, (H, W, 3), to (s*H, s*W, 3), and back-project it as `restore_photo` does."""
        size = (self.scale * rgb.shape[0], self.scale * rgb.shape[1])
        carried = self._carrier.carried(rgb, size)
        if carried is not None and carried.trust.mean() < CUT:
            self._tracker.forget()
        canvas = blank_canvas(*size)
        fill_background(canvas, self.pipeline, rgb, self.options.background)
        self._paste_heads(canvas, rgb)
        if carried is not None:
            self._mix(canvas, rgb, carried)
        result, fit = back_project_photo(canvas, rgb, self.pipeline.recipe.fidelity)
        self.fit = min(self.fit, fit)
        self._carrier.keep(rgb, _plane(result))
        return result

    def _paste_heads(self, canvas: RGB, rgb: RGB) -> None:
        """Follow the heads into this frame, upscale those of the options, and paste them."""
        followed = self._tracker.follow(_heads(rgb, self.options))
        wanted = wanted_heads([head.frame for head in followed], self.options)
        heads = [head for head in followed if head.frame in wanted]
        upscale_faces = [partial(self._upscale_face, head) for head in heads]
        upscaled = paste_heads(canvas, self.pipeline, rgb, [head.frame for head in heads], upscale_faces)
        self.heads = max(self.heads, len(upscaled))

    def _upscale_face(self, head: TrackedHead, face: Tensor, size: int) -> Upscaled:
        """Upscale an aligned head, (3, S, S), with its landmarks smoothed over time."""
        landmarks = smooth_landmarks(head.points, landmarks_in_head(to_rgb(face)), face.shape[-1])
        return self.pipeline(face, size, landmarks=landmarks)

    def _mix(self, canvas: RGB, rgb: RGB, carried: Carried) -> None:
        """Mix the previous frame's detail into this one's; a background that is kept stays unchanged."""
        fresh = _plane(canvas)
        mixed = carried.mix(fresh)
        if self.options.background == "keep":
            mixed = np.where((canvas == rgb).all(-1, keepdims=True), fresh, mixed)
        canvas[:] = np.rint(mixed * 255)

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that the next frame needs besides this one and its result."""
        return {"heads": np.array(self.heads), "fit": np.array(self.fit)} | joined({"tracker": self._tracker.state()})

    def restore(self, rgb: RGB, result: RGB, state: State) -> None:
        """Go on after the frame `rgb`, which became `result` and `state`."""
        self.heads, self.fit = int(state["heads"]), float(state["fit"])
        self._tracker.restore(part(state, "tracker"))
        self._carrier.keep(rgb, _plane(result))


def _plane(rgb: RGB) -> Plane:
    """uint8 to float32 in [0, 1]."""
    return rgb.astype(np.float32) / np.float32(255)


def _heads(rgb: RGB, options: PhotoOptions) -> list[HeadFrame]:
    return [head.frame for head in heads_in_photo(rgb, smallest=options.face_size_min)]


def _first_frames(clip: Clip) -> Iterator[RGB]:
    """Read `SCALE_FRAMES` frames of the first `SCALE_SECONDS`."""
    step = max(round(clip.fps * SCALE_SECONDS / SCALE_FRAMES), 1)
    with closing(clip.frames()) as frames:
        for _, rgb in islice(frames, 0, step * SCALE_FRAMES, step):
            yield rgb
