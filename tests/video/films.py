"""Small films and sounds to test with."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.audio.stream import AudioStream

from facegen.arrays import RGB

RATE = 44_100


def moving(rgb: RGB, frames: int, size: tuple[int, int], step: int = 3) -> list[RGB]:
    """A camera of `size` = (width, height) that moves along the diagonal of a picture."""
    width, height = size
    return [np.ascontiguousarray(rgb[n * step :][:height, n * step :][:, :width]) for n in range(frames)]


def beep(path: Path, seconds: float) -> Path:
    """A tone of 440 Hz, in one channel; the suffix chooses its codec."""
    codec = {".wav": "pcm_s16le", ".mp3": "libmp3lame", ".mp4": "aac"}[path.suffix]
    samples = (10_000 * np.sin(2 * np.pi * 440 / RATE * np.arange(int(RATE * seconds)))).astype(np.int16)
    with av.open(str(path), "w") as file:
        stream = cast(AudioStream, file.add_stream(codec, rate=RATE, layout="mono"))
        for start in range(0, len(samples), 4096):
            frame: Any = av.AudioFrame.from_ndarray(samples[None, start : start + 4096], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path
