"""The state of one visitor's Restore tab."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facegen.studio.shared import Visit

if TYPE_CHECKING:
    from facegen.studio.photos import Photo

FACES, PROTECT, AFTER = "Faces", "Protect", "Before and after"
"""Ways to show the photo."""


@dataclass
class Session(Visit):
    """The state of one visitor's tab."""

    photos: list[Photo] = field(default_factory=list)
    current: int = 0
    mode: str = FACES
    archive: Path | None = None

    @property
    def photo(self) -> Photo | None:
        """The photo that is shown large."""
        return self.photos[self.current] if self.photos else None

    def show(self) -> None:
        """Switch to the result, if there is one, else to the faces."""
        self.mode = AFTER if self.photo and self.photo.pair else FACES

    def keep(self, painting: dict[str, Any] | None) -> None:
        """Save what was painted on the photo, if the brush is shown."""
        from facegen.studio.protect import set_mask

        if self.mode == PROTECT and self.photo and painting:
            set_mask(self.photo, painting["layers"])

    @property
    def remarks(self) -> list[str]:
        """Errors of the photos, and notes about the one that is shown."""
        lines = [photo.error for photo in self.photos if photo.error]
        if self.job is not None and self.job.error:
            lines.append(self.job.error)
        photo = self.photo
        if self.mode == PROTECT:
            lines.append("Paint over areas that should stay as they are.")
        if photo is not None and photo.preview is not None and not photo.heads:
            lines.append("No face found: the whole photo is treated as background.")
        if photo is not None and photo.command:
            lines.append(f"Made by: facegen {photo.command}")
        if photo is not None and photo.remark:
            lines.append(photo.remark)
        return lines
