"""Latents as text: kept in the record of a picture that no seed draws again."""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facegen.errors import ImageError


def latent_sha256(z: Tensor) -> str:
    """The hash of a (z_dim,) latent's float32 values."""
    return hashlib.sha256(_bytes(z)).hexdigest()


def latent_text(z: Tensor) -> str:
    """A (z_dim,) latent's float32 values, little-endian, in base64."""
    return base64.b64encode(_bytes(z)).decode("ascii")


def read_latent(text: str, source: Path) -> Tensor:
    """The (z_dim,) float32 latent that `latent_text` wrote.

    Args:
        source: the picture whose record it stands in, for the message.
    Raises:
        ImageError: if the text is damaged.
    """
    try:
        values = np.frombuffer(base64.b64decode(text, validate=True), "<f4")
    except (binascii.Error, ValueError):
        raise ImageError(f"{source}: the latent in its record is damaged; get the picture again.") from None
    return torch.from_numpy(values.astype(np.float32))


def _bytes(z: Tensor) -> bytes:
    return z.detach().cpu().float().contiguous().numpy().astype("<f4").tobytes()
