"""Upscale a clip: its frames go into a folder next to the result, where a stopped run goes on, then into one film."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facegen.media.record import RECORD_KEY, record_text
from facegen.media.video_reader import Clip
from facegen.media.video_writer import write_video
from facegen.photo import PhotoOptions
from facegen.pipeline import FacePipeline
from facegen.results import Upscaling
from facegen.video.clip import Progress, upscale_clip
from facegen.video.store import JSON, FrameStore


def write_upscaled(
    pipeline: FacePipeline,
    clip: Clip,
    scale: int,
    options: PhotoOptions,
    recorded: Mapping[str, Any],
    path: Path,
    progress: Progress,
) -> Upscaling:
    """Upscale a clip and write it, its sound and times unchanged.

    Args:
        scale: see `clip_scale`.
        recorded: the options of `facegen upres` that shape the result.
        path: the result; its frames lie in a hidden folder next to it until all are there.
        progress: called after each frame.
    Raises:
        FileError: if the clip is damaged or its result cannot be written.
    """
    warnings: list[str] = []
    record = record_text(pipeline, "upres", recorded, source=clip.path)[RECORD_KEY]
    key: dict[str, JSON] = {"record": record, "scale": scale}
    with FrameStore(path.with_name(f".{path.name}.frames"), key, warn=warnings.append) as store:
        done = upscale_clip(pipeline, clip, scale, options, store, progress)
        text = record_text(pipeline, "upres", recorded, source=clip.path, fit=done.fit)
        sound = clip.path if clip.has_audio else None
        write_video(path, store.frames(), clip.fps, audio=sound, times=done.times, text=text, label="composite")
        store.remove()
    notes = [f"{len(done.times)} frames", *([] if done.heads else ["no face found"]), *warnings]
    width, height = (scale * side for side in clip.size)
    return Upscaling(
        clip.path, (path,), before=clip.size, after=(width, height), faces=done.heads, fit=done.fit,
        note="; ".join(notes),
    )  # fmt: skip
