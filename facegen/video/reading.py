"""Opening films and sound files, with errors that say what was wrong."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Literal

import av
from av.container import InputContainer
from av.error import FFmpegError

from facegen.errors import ImageError, one_line

_UNREADABLE = {"video": "cannot be read as a film", "audio": "its sound cannot be read"}
_LACKING = {
    "video": "has no picture, only sound; expected a film.",
    "audio": "has no sound; expected a file with an audio stream, or leave it away.",
}


def open_media(path: Path, kind: Literal["video", "audio"]) -> InputContainer:
    """Open a file for its picture or its sound; close it after use.

    Raises:
        ImageError: if it cannot be read, or has no stream of that kind.
    """
    try:
        file = av.open(str(path))
    except (FFmpegError, OSError) as error:
        raise ImageError(f"{path}: {_UNREADABLE[kind]} ({one_line(error)}); check the path.") from None
    if not any(stream.type == kind for stream in file.streams):
        with closing(file):
            raise ImageError(f"{path}: {_LACKING[kind]}")
    return file
