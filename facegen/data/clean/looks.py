"""What is remembered of crops beside the manifest: perceptual hashes and embeddings, by the SHA-256 of the file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facegen.errors import ImageError
from facegen.files import replacing

LOOKS = "clean.npz"
"""The file, in the set's folder; it can be deleted, and is made again."""


class Looks:
    """Hashes and embeddings of a set's crops.

    Args:
        folder: the set; what is in its file is read.
    Raises:
        ImageError: if the file is there and cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOOKS
        self.hashes: dict[str, NDArray[np.uint8]] = {}
        """SHA-256 -> (32,)."""
        self.embeddings: dict[str, NDArray[np.float64]] = {}
        """SHA-256 -> (128,), of those that were asked for."""
        if self.path.is_file():
            self._read()

    def save(self) -> None:
        """Write the file, complete or not at all.

        Raises:
            ImageError: if it cannot be written.
        """
        arrays = {
            "hashed": np.array(list(self.hashes), dtype="U64"),
            "hashes": np.array(list(self.hashes.values()), dtype=np.uint8).reshape(-1, 32),
            "embedded": np.array(list(self.embeddings), dtype="U64"),
            "embeddings": np.array(list(self.embeddings.values()), dtype=np.float64).reshape(-1, 128),
        }
        try:
            with replacing(self.path) as temporary, temporary.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
        except OSError as error:
            raise ImageError(f"{self.path}: cannot be written ({error.strerror}); check the folder.") from None

    def _read(self) -> None:
        try:
            with self.path.open("rb") as opened, np.load(opened) as file:
                self.hashes = dict(zip(file["hashed"].tolist(), file["hashes"], strict=True))
                self.embeddings = dict(zip(file["embedded"].tolist(), file["embeddings"], strict=True))
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise ImageError(f"{self.path}: cannot be read ({error}); delete it, it will be made again.") from None
