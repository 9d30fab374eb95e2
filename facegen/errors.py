"""The errors that facegen raises. On the command line, a `UsageError` exits with status 2, the others with 1."""

import difflib
import re
import warnings
from collections.abc import Iterable


class FacegenError(Exception):
    """Base of all errors that facegen raises on purpose. Each argument is one line of the message."""

    exit_status = 1

    def __str__(self) -> str:
        return "\n".join(map(printable, self.args))


class FileError(FacegenError):
    """A file or folder, which the message names, cannot be read or written."""


class ImageError(FileError):
    """A picture cannot be read or written, or lacks what is needed, such as a face."""


class ShapeError(FacegenError, ValueError):
    """A tensor or array does not have the shape or type that the function states."""


class WeightsError(FacegenError):
    """Weights are missing, damaged, or made for another network."""


class TrainingError(FacegenError):
    """Training cannot start or continue, because of its data, a checkpoint, or a loss that is not finite."""


class MissingExtraError(FacegenError):
    """An optional package is not installed; the message names the pip command."""


class UsageError(FacegenError, ValueError):
    """An argument or option has a value that is not accepted."""

    exit_status = 2


class RecipeError(UsageError):
    """A recipe file or an override is wrong; the message names the file and the key."""


_UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line breaks, characters that change the direction of text, and bytes that are no text."""


def printable(text: object) -> str:
    """Escape characters that would control a terminal or cannot be encoded; names of files and records may have them.
    """
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], str(text))


def show_warnings_plainly() -> None:
    """Print the warnings of this process in one line each, without their place in the source."""
    warnings.formatwarning = lambda message, *_: f"Warning: {printable(message)}\n"


def one_line(error: Exception, length: int = 200) -> str:
    """Shorten another library's error to one line, to quote it in a message."""
    return " ".join(str(error).split())[:length]


def did_you_mean(name: str, known: Iterable[str], quote: str = "'") -> str:
    """End a message about an unknown name: "; did you mean 'x'?" if a known one is similar, else "."."""
    similar = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {quote}{similar[0]}{quote}?" if similar else "."


def suggest(name: str, known: Iterable[str], quote: str = '"') -> str:
    """End a message about an unknown name: as `did_you_mean`, and then all known names."""
    names = list(known)
    return f"{did_you_mean(name, names, quote)} Known: {', '.join(names) or 'none'}."
