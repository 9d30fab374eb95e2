"""The finished frames of a film on disk, so that a film that is stopped at any moment can go on.

The state that frame n + 1 needs is written before frame n. Both files are renamed into place, so a killed process
leaves only complete files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from facegen.arrays import RGB
from facegen.errors import FileError
from facegen.files import MARK, replacing
from facegen.media.images import read_image, write_image

JSON: TypeAlias = bool | int | float | str | list["JSON"] | dict[str, "JSON"] | None
State: TypeAlias = Mapping[str, NDArray[Any]]
"""Arrays by name, from which a stopped film goes on."""

KEY, LOCK = "key.json", "lock"
STATES_KEPT = 2
STORED = re.compile(r"\d{6}\.(png|npz)(\.tmp)?|" + re.escape(MARK) + ".*")
"""Names of a store's frames and states, also temporary ones."""


def joined(parts: Mapping[str, State]) -> dict[str, NDArray[Any]]:
    """Join the states of several parts; the names become "part.name"."""
    return {f"{name}.{key}": array for name, state in parts.items() for key, array in state.items()}


def nonempty(state: Mapping[str, NDArray[Any] | None]) -> dict[str, NDArray[Any]]:
    """Omit the arrays that do not exist yet."""
    return {key: array for key, array in state.items() if array is not None}


def part(state: State, name: str) -> dict[str, NDArray[Any]]:
    """Extract the state of one part from a joined one; {} if it has none."""
    prefix = f"{name}."
    return {key.removeprefix(prefix): array for key, array in state.items() if key.startswith(prefix)}


def frames_kept(folder: Path) -> int:
    """Count the frames that a `FrameStore` holds in a folder, up to the first gap."""
    return next(number for number in count() if not _frame(folder, number + 1).exists())


def _frame(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.png"


class FrameStore:
    """The frames of one film, in a folder that only one process at a time may use.

    Close it, or use it as a context manager, to let another process go on; the folder stays until `remove`.

    Args:
        key: everything that shapes the frames. Frames with another key are deleted, which `warn` reports.
    Raises:
        FileError: if another process works there, or the folder cannot be written.
    """

    def __init__(
        self, folder: Path, key: Mapping[str, JSON], *, warn: Callable[[str], object] = lambda _: None
    ) -> None:
        self.folder = folder
        _refuse_others(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / LOCK)
            self._lock.acquire(timeout=0)
        except Timeout:
            text = f"{folder}: another process is making these frames; wait for it, or end it first."
            raise FileError(text) from None
        except OSError as error:
            raise FileError(f"{folder}: cannot be written ({error.strerror}); choose another folder.") from None
        try:
            self._take_over(json.dumps(dict(key), sort_keys=True), warn)
        except BaseException:
            self.close()
            raise
        self.done = frames_kept(folder)
        """Number of frames; the first is frame 1."""

    def __enter__(self) -> FrameStore:
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock.is_locked and not self.done:
            self.remove()  # an error came before the first frame
        self.close()

    def close(self) -> None:
        """Let another process work in the folder."""
        self._lock.release()

    def state(self) -> dict[str, NDArray[Any]] | None:
        """Read the latest frame's state; None if there is no frame yet."""
        if not self.done:
            return None
        with np.load(self._state(self.done), allow_pickle=False) as file:
            return dict(file)

    def add(self, rgb: RGB, state: State) -> None:
        """Store the next frame, (H, W, 3), and the state that the one after it needs."""
        number = self.done + 1
        try:
            with replacing(self._state(number)) as temporary, temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **state)
        except OSError as error:
            raise FileError(f"{self.folder}: cannot be written ({error.strerror}); free some space.") from None
        write_image(self._frame(number), rgb)
        self.done = number
        self._state(number - STATES_KEPT).unlink(missing_ok=True)

    def latest(self) -> tuple[RGB, dict[str, NDArray[Any]]] | None:
        """Read the latest frame and its state; None if there is no frame yet."""
        state = self.state()
        return None if state is None else (read_image(self._frame(self.done)).rgb, state)

    def frames(self) -> Generator[RGB, None, None]:
        """Read the frames one by one."""
        for number in range(1, self.done + 1):
            yield read_image(self._frame(number)).rgb

    def remove(self) -> None:
        """Delete the frames, and the folder unless it holds other files."""
        self.done = 0
        self._clear()
        (self.folder / LOCK).unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()
        self.close()

    def _take_over(self, key: str, warn: Callable[[str], object]) -> None:
        """Clear the folder if its frames have another key."""
        path = self.folder / KEY
        if path.is_file() and path.read_text(encoding="utf-8") == key:
            return
        if self._frame(1).exists():
            warn(f"{self.folder}: its frames were made with other options or inputs; they are made again.")
        self._clear()
        with replacing(path) as temporary:
            temporary.write_text(key, encoding="utf-8")

    def _clear(self) -> None:
        """Delete only the files that a store writes."""
        for entry in self.folder.iterdir():
            if entry.name == KEY or STORED.fullmatch(entry.name):
                entry.unlink()

    def _frame(self, number: int) -> Path:
        return _frame(self.folder, number)

    def _state(self, number: int) -> Path:
        return self.folder / f"{number:06d}.npz"


def _refuse_others(folder: Path) -> None:
    """Refuse a folder that has no key but other files."""
    if (folder / KEY).is_file() or not folder.is_dir():
        return
    for entry in folder.iterdir():
        if not entry.name.startswith(MARK) and (entry.name != LOCK or entry.stat().st_size):
            raise FileError(f"{folder}: holds {entry.name}, which facegen did not make; move it, or change the name.")
