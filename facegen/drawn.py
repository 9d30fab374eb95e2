"""Draw a face from a latent, upscale it, and write it with its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from facegen.arrays import RGB, to_rgb
from facegen.candidates import Upscaled
from facegen.media.images import resize, write_image
from facegen.media.record import record_text
from facegen.pipeline import FacePipeline


@dataclass(frozen=True)
class Drawn:
    """A face that was drawn and written."""

    path: Path
    picture: RGB
    """(size, size, 3), as written."""
    face: Tensor
    """(3, 128, 128) in [0, 1], as the generator drew it."""
    upscaled: Upscaled


def write_drawn(
    pipeline: FacePipeline,
    z: Tensor,
    path: Path,
    command: str,
    options: Mapping[str, Any],
    source: Path | None = None,
) -> Drawn:
    """Draw a face, upscale it to `options["size"]`, and write it; over `drawn_size` it is enlarged by Lanczos.

    Args:
        z: (z_dim,) latent.
        command: that makes the picture, with these options, for its record.
        source: the photo that the latent was found for.
    """
    size = options["size"]
    face = pipeline.draw(z)
    upscaled = pipeline(face, min(size, pipeline.drawn_size))
    picture = resize(to_rgb(upscaled.image), (size, size))
    text = record_text(pipeline, command, options, upscaled=[upscaled], source=source, z=z)
    text["fit"] = f"{upscaled.fit:.1f} dB"
    return Drawn(write_image(path, picture, text=text, label="generated"), picture, face, upscaled)
