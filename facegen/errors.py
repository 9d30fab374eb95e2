"""The errors that facegen raises, and the exit status each becomes on the command line.

FacegenError             1   anything below; catch this one to catch them all
├── FileError            1   a file or folder cannot be read or written; names it
│   └── ImageError       1   the same of a picture, or it does not show what is needed
├── ShapeError           1   a tensor or array of another shape than stated (also a ValueError)
├── WeightsError         1   weights missing, damaged, or made for another network
├── TrainingError        1   training cannot start or go on (data, checkpoint, non-finite loss)
├── MissingExtraError    1   an optional package is needed; names the pip command
└── UsageError           2   a value the caller chose is wrong (also a ValueError)
    └── RecipeError      2   a recipe file or override is wrong; names the file and the key
"""

import difflib
from collections.abc import Iterable


class FacegenError(Exception):
    """Base of every error that facegen reports on purpose: one line, for a person."""

    exit_status = 1


class FileError(FacegenError):
    """A file or folder cannot be read or written: a film, a manifest, a record."""


class ImageError(FileError):
    """A picture cannot be read or written, or does not show what is needed."""


class ShapeError(FacegenError, ValueError):
    """A tensor or array has another shape than the function states."""


class WeightsError(FacegenError):
    """Weights are missing, damaged, or belong to another network."""


class TrainingError(FacegenError):
    """Training cannot start or cannot go on."""


class MissingExtraError(FacegenError):
    """An optional package is not installed."""


class UsageError(FacegenError, ValueError):
    """A value the caller chose is outside what is accepted."""

    exit_status = 2


class RecipeError(UsageError):
    """A recipe file, or an override of one of its keys, is wrong."""


def one_line(error: Exception, length: int = 200) -> str:
    """Shorten the text of another library's error to one line, to quote it in a message."""
    return " ".join(str(error).split())[:length]


def did_you_mean(name: str, known: Iterable[str], quote: str = "'") -> str:
    """End a message about an unknown name: "; did you mean 'x'?" if a known one is near, else "."."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {quote}{near[0]}{quote}?" if near else "."
