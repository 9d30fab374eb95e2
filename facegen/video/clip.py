"""Upscale a clip frame by frame: heads are tracked, and detail moves with the picture.

One thread decodes the clip and finds heads and motion, several upscale frames, and the caller's thread stores them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from facegen.arrays import RGB
from facegen.candidates import Upscaled
from facegen.canvas import back_project_photo, blank_canvas, fill_background
from facegen.errors import UsageError
from facegen.faces.align import HeadFrame, crop_head, frame_matrix, transform_points
from facegen.faces.detect import FoundHead, heads_in_photo
from facegen.faces.landmarks import CROP_SIDE, Landmarks, landmarks_in_head
from facegen.media.video_reader import Clip
from facegen.photo import PhotoOptions, paste_heads, wanted_heads
from facegen.pipeline import FacePipeline
from facegen.sizes import photo_scale
from facegen.threads import Submit, at_once, in_order, prefetched, threads
from facegen.video.carry import Kept, Motion, Plane, carried, motion
from facegen.video.sharing import Alone, Sharing
from facegen.video.store import FrameStore, State, joined, part
from facegen.video.temporal import film_candidates
from facegen.video.tracking import HeadTracker, TrackedHead, smooth_landmarks

OnFrame = Callable[[int, int | None], object]
"""Called at the beginning and after each frame with the number of finished frames, and of all if it is known."""

LARGEST = 35_651_584
"""Pixels of the largest frame: the limit of H.264's highest level, 6.2, which is 139,264 blocks of 16 x 16."""
SCALE_SECONDS, SCALE_FRAMES = 2, 8
"""The scale is chosen by this many frames of the first seconds."""
Sight = tuple[tuple[FoundHead, ...], Motion | None]
CUT = 0.1
"""Mean trust in the motion between frames below which the scene has changed."""


@dataclass(frozen=True)
class UpscaledClip:
    """An upscaled clip, whose frames are in the store."""

    times: tuple[Fraction, ...]  # of the frames, in seconds
    heads: int  # most heads upscaled in one frame
    fit: float
    """The worst frame's PSNR in dB between the area-downsampled result and the input; inf if all are equal."""


def clip_scale(clip: Clip, options: PhotoOptions) -> int:
    """Choose the scale of all frames: the options' scale, or by the largest head in the first seconds.

    Raises:
        UsageError: if the frames would exceed `LARGEST` pixels.
    """
    width, height = clip.size
    most = max(math.isqrt(LARGEST // (width * height)), 1)
    if options.background == "keep":
        return 1
    if options.width is not None or (options.scale or 1) % 1:
        raise UsageError(f"{clip.path}: a clip's scale is a whole number; give --scale 2, for example.")
    if options.scale is None:
        found = (heads_in_photo(rgb, smallest=options.face_size_min) for rgb in _first_frames(clip))
        heads = [head.frame for seen in found for head in seen]
        heads = wanted_heads(sorted(heads, key=lambda frame: -frame.side), options)
        return min(photo_scale(heads, width * height), most)
    if options.scale > most:
        raise UsageError(
            f"{clip.path}: {width}x{height} at --scale {options.scale} would exceed {LARGEST / 1e6:.1f} megapixels, "
            f"the limit of H.264; choose --scale {most} or less."
        )
    return int(options.scale)


def upscale_clip(
    pipeline: FacePipeline,
    clip: Clip,
    scale: int,
    options: PhotoOptions,
    store: FrameStore,
    progress: OnFrame = lambda _done, _all: None,
    sharing: Sharing | None = None,
) -> UpscaledClip:
    """Upscale a clip into a store, from the first frame that it does not hold yet.

    Args:
        scale: see `clip_scale`; at most 8.
        store: its key must depend on all these arguments.
        sharing: does most of the work on each frame; None is this process.
    Raises:
        FileError: if the clip is damaged, or the frames cannot be written.
    """
    sharing = sharing or Alone(pipeline)
    upscaler = ClipUpscaler(pipeline, scale, options, fps=float(clip.fps), sharing=sharing)
    stored, latest = store.done, store.latest()
    times: list[Fraction] = []
    done: ClipFrame | None = None
    seen = prefetched(_seen(clip, stored, options, sharing))
    with closing(seen) as frames, threads(sharing.side_by_side) as submit:
        for frame in islice(frames, stored):
            times.append(frame.time)
            if latest is not None and len(times) == stored:
                done = upscaler.restore(frame.rgb, *latest)
        progress(len(times), clip.count)
        begun = (partial(_finished, frame, upscaler.begin(frame, submit)) for frame in frames)
        for frame, done in in_order(begun, sharing.side_by_side):
            times.append(frame.time)
            store.add(done.rgb, done.state())
            progress(len(times), clip.count)
    return UpscaledClip(tuple(times), *(0, math.inf) if done is None else (done.heads, done.fit))


def upscale_frame(
    pipeline: FacePipeline, rgb: RGB, heads: Sequence[tuple[HeadFrame, Landmarks]], scale: int, background: str
) -> tuple[RGB, int]:
    """Upscale a frame, (H, W, 3), independently of those before it.

    Args:
        heads: their places, and landmarks in shares of the head's side.
        background: see `facegen.photo.PhotoOptions`.
    Returns:
        the (s*H, s*W, 3) picture, and the number of heads that were upscaled.
    """
    canvas = blank_canvas(scale * rgb.shape[0], scale * rgb.shape[1], np.uint8)
    fill_background(canvas, pipeline, rgb, background)
    upscale_faces = [partial(_face, pipeline, landmarks) for _, landmarks in heads]
    upscaled = paste_heads(canvas, pipeline, rgb, [place for place, _ in heads], upscale_faces)
    return canvas, len(upscaled)


def _face(pipeline: FacePipeline, landmarks: Landmarks, face: Tensor, size: int) -> Upscaled:
    """Upscale an aligned head, (3, S, S)."""
    placed = landmarks.scaled(face.shape[-1])
    return pipeline(face, size, landmarks=placed, count=film_candidates(pipeline))


@dataclass(frozen=True)
class SeenFrame:
    """A frame of a clip, with its heads and motion."""

    time: Fraction
    rgb: RGB
    heads: tuple[FoundHead, ...] = ()
    moved: Motion | None = None  # from the frame before; None for the first


@dataclass(frozen=True)
class ClipFrame:
    """A finished frame, and what the next one needs."""

    rgb: RGB  # (s*H, s*W, 3)
    kept: Kept
    tracker: State
    heads: int  # most heads upscaled in one frame so far
    fit: float  # the worst so far, see `UpscaledClip`

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that the next frame needs besides this frame's input and result."""
        return {"heads": np.array(self.heads), "fit": np.array(self.fit)} | joined({"tracker": self.tracker})


@dataclass(frozen=True)
class _Located:
    """A frame whose heads are tracked."""

    rgb: RGB
    moved: Motion | None
    heads: list[tuple[HeadFrame, Landmarks]]  # landmarks in shares of the head's side
    tracker: State


class ClipUpscaler:
    """Upscales the frames of one clip in order."""

    def __init__(
        self, pipeline: FacePipeline, scale: int, options: PhotoOptions, *, fps: float, sharing: Sharing | None = None
    ) -> None:
        self.pipeline, self.scale, self.options = pipeline, scale, options
        self._sharing = sharing or Alone(pipeline)
        self._tracker = HeadTracker(fps)
        self._before: Callable[[], ClipFrame | None] = lambda: None

    def begin(self, frame: SeenFrame, submit: Submit = at_once) -> Future[ClipFrame]:
        """Follow the heads into the next frame, and submit the rest of the work, which waits for the frame before.

        The result is (s*H, s*W, 3), back-projected as by `restore_photo`.
        """
        future = submit(partial(self._upscale, self._located(frame), self._before))
        self._before = future.result
        return future

    def _located(self, frame: SeenFrame) -> _Located:
        """Do what must be done in order."""
        if frame.moved is not None and frame.moved.trust.mean() < CUT:
            self._tracker.forget()
        followed = self._tracker.follow(frame.heads)
        wanted = wanted_heads([head.frame for head in followed], self.options)
        heads = [(head.frame, _landmarks(head, frame.rgb)) for head in followed if head.frame in wanted]
        return _Located(frame.rgb, frame.moved, heads, self._tracker.state())

    def _upscale(self, frame: _Located, before: Callable[[], ClipFrame | None]) -> ClipFrame:
        """Upscale a frame; the frame before is waited for as late as possible."""
        rgb = frame.rgb
        given = (rgb, frame.heads, self.scale, self.options.background)
        made, upscaled = self._sharing.submit(upscale_frame, *given).result()
        canvas = np.require(made, requirements="W")  # arrays from other processes may be read-only
        past, base = before(), None
        if past is not None and frame.moved is not None:
            base = self._mix(canvas, rgb, past.kept, frame.moved)
        recipe = self.pipeline.recipe
        result, fit = back_project_photo(canvas, rgb, recipe.fidelity, damaged=bool(recipe.strength))
        heads, worst = (0, math.inf) if past is None else (past.heads, past.fit)
        kept = Kept.of(rgb, _plane(result), base)
        return ClipFrame(result, kept, frame.tracker, max(heads, upscaled), min(worst, fit))

    def _mix(self, canvas: RGB, rgb: RGB, kept: Kept, moved: Motion) -> Plane:
        """Mix the previous frame's detail into this one's, but leave a kept background unchanged.

        Returns:
            the enlarged frame `rgb`.
        """
        fresh, from_before = _plane(canvas), carried(kept, rgb, moved)
        mixed = from_before.mix(fresh)
        if self.options.background == "keep":
            mixed = np.where((canvas == rgb).all(-1, keepdims=True), fresh, mixed)
        canvas[:] = np.rint(mixed * 255)
        return from_before.base

    def restore(self, rgb: RGB, result: RGB, state: State) -> ClipFrame:
        """Go on after the frame `rgb`, which became `result` and `state`."""
        kept, tracker = Kept.of(rgb, _plane(result)), part(state, "tracker")
        self._tracker.restore(tracker)
        before = ClipFrame(result, kept, tracker, int(state["heads"]), float(state["fit"]))
        self._before = lambda: before
        return before


def _landmarks(head: TrackedHead, rgb: RGB) -> Landmarks:
    """Smooth a head's landmarks, in shares of its side; they are searched for if they were not found with the head."""
    if head.seen is None:
        found = landmarks_in_head(crop_head(rgb, head.frame, CROP_SIDE)).scaled(1 / CROP_SIDE)
    else:
        points = transform_points(head.seen, frame_matrix(head.frame, 1))
        found = Landmarks(points, detected=True)
    return smooth_landmarks(head.points, found, 1)


def _finished(frame: SeenFrame, made: Future[ClipFrame]) -> tuple[SeenFrame, ClipFrame]:
    return frame, made.result()


def _plane(rgb: RGB) -> Plane:
    """uint8 to float32 in [0, 1]."""
    return rgb.astype(np.float32) / np.float32(255)


def _seen(clip: Clip, skipped: int, options: PhotoOptions, sharing: Sharing) -> Generator[SeenFrame, None, None]:
    """Yield the frames of a clip; the first, `skipped` ones without heads and motion."""

    def begun() -> Iterator[Callable[[], SeenFrame]]:
        before: RGB | None = None
        for number, (time, rgb) in enumerate(frames):
            if number < skipped:
                yield partial(SeenFrame, time, rgb)
            else:
                yield partial(_with_sight, time, rgb, sharing.submit(look, rgb, before, options.face_size_min))
            before = rgb

    with closing(clip.frames()) as frames:
        yield from in_order(begun(), sharing.ahead)


def look(_pipeline: FacePipeline, rgb: RGB, before: RGB | None, smallest: int) -> Sight:
    """Find the heads in a frame, at least `smallest` pixels wide, and the motion from the frame before."""
    return tuple(heads_in_photo(rgb, smallest=smallest)), None if before is None else motion(before, rgb)


def _with_sight(time: Fraction, rgb: RGB, sight: Future[Sight]) -> SeenFrame:
    return SeenFrame(time, rgb, *sight.result())


def _first_frames(clip: Clip) -> Iterator[RGB]:
    """Read `SCALE_FRAMES` frames of the first `SCALE_SECONDS`."""
    step = max(round(clip.fps * SCALE_SECONDS / SCALE_FRAMES), 1)
    with closing(clip.frames()) as frames:
        for _, rgb in islice(frames, 0, step * SCALE_FRAMES, step):
            yield rgb
