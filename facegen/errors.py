"""The errors that facegen raises. On the command line, a `UsageError` exits with status 2, the others with 1."""

import difflib
import re
import warnings
from collections.abc import Iterable


class FacegenError(Exception):
    """Base of every error that facegen reports on purpose: a line for a person, or several, each an argument.

    Catch this one to catch them all.
    """

    exit_status = 1

    def __str__(self) -> str:
        return "\n".join(map(printable, self.args))


class FileError(FacegenError):
    """A file or folder, which the message names, cannot be read or written."""


class ImageError(FileError):
    """A picture cannot be read or written, or does not show what is needed."""


class ShapeError(FacegenError, ValueError):
    """A tensor or array has another shape than the function states."""


class WeightsError(FacegenError):
    """Weights are missing, damaged, or made for another network."""


class TrainingError(FacegenError):
    """Training cannot start or go on: data, a checkpoint, a loss that is not finite."""


class MissingExtraError(FacegenError):
    """An optional package is not installed; the message names the pip command."""


class UsageError(FacegenError, ValueError):
    """A value the caller chose is outside what is accepted."""

    exit_status = 2


class RecipeError(UsageError):
    """A recipe file or an override is wrong; the message names the file and the key."""


_UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, also the line's end, marks that turn the direction of text, and bytes that are no text."""


def printable(text: object) -> str:
    """Escape what a terminal would obey or no encoding holds, as a file's name or a record may have it."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], str(text))


def show_warnings_plainly() -> None:
    """Print warnings in one line, without the line of the source that they come from; for a process of its own."""
    warnings.formatwarning = lambda message, *_: f"Warning: {printable(message)}\n"


def one_line(error: Exception, length: int = 200) -> str:
    """Shorten the text of another library's error to one line, to quote it in a message."""
    return " ".join(str(error).split())[:length]


def did_you_mean(name: str, known: Iterable[str], quote: str = "'") -> str:
    """End a message about an unknown name: "; did you mean 'x'?" if a known one is near, else "."."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {quote}{near[0]}{quote}?" if near else "."
