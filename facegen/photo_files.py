"""Upscale one picture file or clip, and write the result with the source's metadata."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from facegen.arrays import RGB, Pixels, eight_bits
from facegen.candidates import Progress, Upscaled
from facegen.errors import FileError, ImageError, UsageError
from facegen.explain import check_explanation, write_explanation
from facegen.faces.align import crop_head
from facegen.faces.detect import heads_in_photo
from facegen.faces.dlib_models import begin_to_load
from facegen.faces.identity import CHANGED, TOO_SMALL
from facegen.files import resolved
from facegen.jobs import Task
from facegen.masks import read_mask
from facegen.media.images import Picture, find_pictures, read_image, write_image
from facegen.media.metadata import Origin
from facegen.media.record import COMMAND_KEY, RECORD_KEY, Workshop, check_target, record_text
from facegen.media.sheets import before_after
from facegen.media.signatures import omitted_from
from facegen.media.video_reader import Clip, is_clip
from facegen.media.video_writer import write_video
from facegen.ops.seams import SeamGauge, seam_gauge
from facegen.photo import FACES, Restored, restore_photo, upscale_aligned
from facegen.pipeline import FacePipeline
from facegen.results import UpresOptions, Upscaling, before_after_path, ending_for, vote_stem
from facegen.runtime import resolve_device
from facegen.threads import prefetched
from facegen.video.clip import clip_scale, upscale_clip
from facegen.video.sharing import Sharing
from facegen.video.store import JSON, FrameStore

SMALLEST_HEAD = 16
"""Smallest side of a picture accepted as a head, in pixels."""

OnPart = Callable[[Path, str, int, int | None], object]
"""Called with the source, a part of it ("frames", "background", "face 2"), how many of its frames, blocks or tiles are
done, and how many there are, if known."""


def _ignore(*_: object) -> None:
    """Report no progress; unlike a lambda, this can be pickled."""


class FileUpscaler:
    """Upscales files, one per call.

    Args:
        inputs: resolved paths of the run's sources, which are never overwritten, nor is the mask.
        on_part: called after each frame of a clip, each batch of a face's tiles, and each block of a background
            upscaled in tiles.
        sharing: shares the work on a clip's frames with other processes; None is this process alone.
    """

    def __init__(
        self, options: UpresOptions, inputs: Iterable[Path], on_part: OnPart = _ignore, sharing: Sharing | None = None
    ) -> None:
        self.options, self.sharing = options, sharing
        self.inputs = frozenset(inputs) | ({resolved(options.mask)} if options.mask else set())
        self.on_part = on_part

    @cached_property
    def pipeline(self) -> FacePipeline:
        """The networks, loaded when first used."""
        options, device = self.options, self.options.device
        if self.sharing is not None and not torch.cuda.is_available():
            device = "cpu"  # the other processes have the GPUs
        begin_to_load()
        return FacePipeline.load(options.recipe_path, options.overrides, device=resolve_device(device))

    def __call__(self, task: Task) -> Upscaling:
        """Upscale a picture or clip and write the results, the main one last."""
        find_pictures([task.source])  # raises a clear error if the path is not a file
        if is_clip(task.source):
            return self._clip(task)
        picture = read_image(task.source, keep_profile=True, keep_depth=True, smooth=self._smooths)
        if self.options.strip:
            picture = replace(picture, origin=Origin(profile=picture.origin.profile))
        upscale_kind = {"photo": self._photo, "crop": self._crop, "aligned": self._aligned}[self.options.kind]
        height, width = picture.rgb.shape[:2]
        try:
            done = upscale_kind(task, picture)
            omitted = [f"left out: {', '.join(names)}"] if (names := omitted_from(task.source)) else []
            note = "; ".join(filter(None, (done.note, *omitted)))
            return replace(done, before=(width, height), note=note)
        finally:
            self.pipeline.progress = None

    @property
    def _smooths(self) -> bool:
        """True if the blocks of JPEGs are smoothed: not if the photo keeps its size, or the network removes damage."""
        keeps = self.options.kind == "photo" and self.options.photo.keeps_size
        return not keeps and not self.pipeline.recipe.strength

    def _photo(self, task: Task, picture: Picture) -> Upscaling:
        mask, size = self.options.mask, (picture.rgb.shape[1], picture.rgb.shape[0])

        def begin(scale: float, heads: int) -> None:
            self._path(task, ending_for(self.options.photo, scale), heads)

        done = restore_photo(
            self.pipeline, picture.pixels, self.options.photo, self._parts_of(task.source),
            None if mask is None else read_mask(mask, size), begin,
        )  # fmt: skip
        height, width = done.rgb.shape[:2]
        path = self._target(task, ending_for(self.options.photo, done.scale))
        written = self._write(task, path, done.rgb, picture, done.heads, picture.alpha, done.fit, done.seams)
        return Upscaling(
            task.source, written, after=(width, height), faces=done.upscaled, seams=done.seams, fit=done.fit,
            identity=_identity_change(done.heads), note=_note(done.heads, done.smallest, _left(done)),
        )  # fmt: skip

    def _parts_of(self, source: Path) -> Progress:
        """Report the tiles of each face of a photo from now on; return a function that reports its background's blocks.
        """
        face, background = 1, self.options.kind == "photo" and self.options.photo.background == "tiles"

        def tiles(done: int, of: int) -> None:
            nonlocal face
            if not background:
                self.on_part(source, f"face {face}", done, of)
                face += done == of

        def blocks(done: int, of: int) -> None:
            nonlocal background
            self.on_part(source, "background", done, of)
            background = done < of

        self.pipeline.progress = tiles
        return blocks

    def _clip(self, task: Task) -> Upscaling:
        """Upscale a clip; sound and frame times stay, and the frames of a stopped run, next to the result, are reused.
        """
        clip, pipeline, photo = Clip(task.source), self.pipeline, self.options.photo
        if photo.faces not in FACES:
            raise UsageError(f"{task.source}: faces have no numbers in a clip; expected --faces all or largest.")
        if self.options.mask is not None:
            raise UsageError(f"{task.source}: a mask is for photos, and this is a clip; omit --mask.")
        scale = clip_scale(clip, photo)
        path = self._path(task, f"-x{scale}")
        maker = pipeline if self.sharing is None else Workshop(pipeline.recipe, self.options.device)
        record = partial(record_text, maker, "upres", self.options.recorded(clip.path), source=clip.path)
        made_by = json.loads(record()[RECORD_KEY]) | {"threads": None}  # a run may continue with other threads
        key: dict[str, JSON] = {"record": made_by, "scale": scale}
        warnings: list[str] = []
        with FrameStore(path.with_name(f".{path.name}.frames"), key, warn=warnings.append) as store:
            on_frame = partial(self.on_part, task.source, "frames")
            done = upscale_clip(pipeline, clip, scale, photo, store, on_frame, self.sharing)
            sound, text = clip.path if clip.has_audio else None, record(fit=done.fit)
            with closing(prefetched(store.frames())) as frames:
                write_video(path, frames, clip.fps, audio=sound, times=done.times, text=text, label="composite")
            store.remove()
        if missing := clip.missing(done.times):
            warnings.append(
                f"Warning: the last {missing} frames or so are missing, so the file seems cut off; get it again, and "
                "add --overwrite"
            )
        notes = [f"{len(done.times)} frames", *([] if done.heads else ["no face found"]), *warnings]
        width, height = (scale * side for side in clip.size)
        return Upscaling(
            clip.path, (path,), note="; ".join(notes), before=clip.size, after=(width, height), faces=done.heads,
            fit=done.fit,
        )  # fmt: skip

    def _crop(self, task: Task, picture: Picture) -> Upscaling:
        self._parts_of(task.source)
        frames = [head.frame for head in heads_in_photo(picture.rgb)]
        paths = self._crop_paths(task, len(frames))
        crops = [crop_head(picture.pixels, frame, round(frame.side)) for frame in frames]
        heads = [upscale_aligned(self.pipeline, crop, self.options.size) for crop in crops]
        written: tuple[Path, ...] = ()
        for path, crop, head in reversed(list(zip(paths, crops, heads, strict=True))):  # the first is the main result
            before = replace(picture, rgb=eight_bits(crop), alpha=None, smoothed=False)
            written += self._write(task, path, head.rgb, before, [head.upscaled])
        upscaled, smallest = [head.upscaled for head in heads], min(map(len, crops))
        return Upscaling(
            task.source, written, after=(self.options.size,) * 2, faces=len(heads), identity=_identity_change(upscaled),
            note=_note(upscaled, smallest),
        )  # fmt: skip

    def _crop_paths(self, task: Task, heads: int) -> list[Path]:
        """Return the paths for the heads of a photo, the largest first."""
        if not heads:
            reason = "no face found, so there is no head to crop; omit --crop to upscale the whole photo."
            raise ImageError(f"{task.source}: {reason}")
        if task.result and heads > 1:
            reason = f"has {heads} heads, but --out {task.result} names one file; name a folder instead."
            raise ImageError(f"{task.source}: {reason}")
        endings = [f"-head-{number}" for number in range(1, heads + 1)] if heads > 1 else ["-head"]
        return [self._path(task, ending, heads=1) for ending in endings]

    def _aligned(self, task: Task, picture: Picture) -> Upscaling:
        height, width = picture.rgb.shape[:2]
        if height != width or height < SMALLEST_HEAD:
            wanted = f"--aligned expects a square head crop of {SMALLEST_HEAD} px and up."
            raise ImageError(f"{task.source}: {width}x{height}; {wanted}")
        size = self.options.size
        path = self._path(task, f"-{size}", heads=1)
        self._parts_of(task.source)
        head = upscale_aligned(self.pipeline, picture.pixels, size)
        written = self._write(task, path, head.rgb, picture, [head.upscaled])
        return Upscaling(
            task.source, written, after=(size, size), faces=1, fit=head.upscaled.fit,
            seams=seam_gauge(head.upscaled.image, head.upscaled.plan), note=_note([head.upscaled], height),
            identity=head.upscaled.identity,
        )  # fmt: skip

    def _target(self, task: Task, ending: str) -> Path:
        suffix = self.options.suffix_for(task.source)
        return task.result or task.target.with_name(f"{task.target.name}{ending}{suffix}")

    def _path(self, task: Task, ending: str, heads: int = 0) -> Path:
        """Return the path of a result; raise a FileError if writing it and its extra files would replace others."""
        path, options = self._target(task, ending), self.options
        for taken in (path, before_after_path(path)) if options.before_after else (path,):
            if resolved(taken) in self.inputs:
                other = "" if resolved(taken) == resolved(task.source) else ", another input"
                reason = f"its result would replace {taken}{other}; choose another --out."
                raise FileError(f"{task.source}: {reason}")
            check_target(taken, options.overwrite)
        for number in range(1, heads + 1) if options.explain else ():
            check_explanation(vote_stem(path, number), options.overwrite)
        return path

    def _write(
        self,
        task: Task,
        path: Path,
        rgb: Pixels,
        picture: Picture,
        heads: Sequence[Upscaled],
        alpha: RGB | None = None,
        fit: float | None = None,
        seams: SeamGauge | None = None,
    ) -> tuple[Path, ...]:
        """Write the additional files, then the result; `alpha` is resized, `fit` and `seams` are recorded."""
        if alpha is not None and alpha.shape != rgb.shape[:2]:
            size = (rgb.shape[1], rgb.shape[0])
            alpha = np.array(Image.fromarray(alpha).resize(size, Image.Resampling.LANCZOS))
        options = self.options.recorded(task.source)
        text = record_text(
            self.pipeline, "upres", options, upscaled=heads, source=task.source, mask=self.options.mask, fit=fit,
            seams=seams,
        )  # fmt: skip
        others: list[Path] = []
        if self.options.explain:
            for number, head in enumerate(heads, start=1):
                others += write_explanation(head, vote_stem(path, number))
        if self.options.before_after:
            command = {COMMAND_KEY: text[COMMAND_KEY]}  # without the record, which describes the result
            before = read_image(task.source, keep_profile=True).rgb if picture.smoothed else picture.rgb
            sheet, where = before_after(before, eight_bits(rgb)), before_after_path(path)
            others.append(write_image(where, sheet, text=command, origin=picture.origin, label="composite"))
        return *others, write_image(path, rgb, alpha, text, origin=picture.origin, label="composite")


def _identity_change(heads: Sequence[Upscaled]) -> float | None:
    """Return the largest identity distance of a face to its input."""
    return max((head.identity for head in heads if head.identity is not None), default=None)


def _left(done: Restored[Any]) -> list[str]:
    """Report the heads that were not upscaled."""
    counts = {
        "sharp already": done.sharp,
        "too large for the network to add detail": done.large,
        "left out, as your options ask": done.left - done.sharp - done.large,
    }
    left = [f"{count} {'head is' if count == 1 else 'heads are'} {state}" for state, count in counts.items() if count]
    return left if left or done.upscaled else ["no face found"]


def _note(heads: Sequence[Upscaled], smallest: float | None, left: Sequence[str] = ()) -> str:
    """Report what `left` says, the damage of upscaled heads, and faces that may look like another person; `smallest` is
    the side of the smallest head in the photo.
    """
    notes = [*left]
    if any(head.strength for head in heads):
        notes.append(f"damage {', '.join(f'{head.strength:.2f}' for head in heads)} of 1")
    change = _identity_change(heads)
    if change is not None and change > CHANGED:
        notes.append(f"identity distance {change:.2f}: may look like another person")
    if smallest is not None and smallest < TOO_SMALL:
        notes.append(f"a head of {smallest:.0f} px is too small to know the person by; the result is one of many")
    return "; ".join(notes)
