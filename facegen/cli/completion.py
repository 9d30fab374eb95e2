"""Completion of commands, options and paths with the TAB key."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from facegen.errors import FileError, UsageError

SHELLS = ("bash", "zsh", "fish")
STARTS = {
    "bash": "source '{script}'\n",
    "zsh": "(( $+functions[compdef] )) || {{ autoload -Uz compinit && compinit; }}\nsource '{script}'\n",
}
"""Shell -> lines to add to its start file; fish needs none, as it finds the script in its folder."""


def install_completion(command: click.Command, shell: str, home: Path) -> list[Path]:
    """Write the completion script of `facegen`, and let the shell load it when it starts; repeating this is harmless.

    Args:
        shell: one of `SHELLS`, or "auto" for the one that the environment variable SHELL names.
        home: the user's folder.
    Returns:
        the files written.
    """
    shell = Path(os.environ.get("SHELL", "")).name if shell == "auto" else shell
    if shell not in SHELLS:
        raise UsageError(f"--install-completion: unknown shell {shell!r}; name one of {', '.join(SHELLS)}.")
    completer = get_completion_class(shell)
    assert completer is not None
    folder = home / (".config/fish/completions" if shell == "fish" else ".local/share/facegen")
    script, start = folder / f"facegen.{shell}", home / f".{shell}rc"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        script.write_text(completer(command, {}, "facegen", "_FACEGEN_COMPLETE").source(), encoding="utf-8")
        if shell in STARTS and _append(start, STARTS[shell].format(script=script)):
            return [script, start]
    except OSError as error:
        path = error.filename or script  # a full disk has no name
        raise FileError(f"{path}: cannot be written ({error.strerror}); change its permissions.") from None
    return [script]


def _append(path: Path, text: str) -> bool:
    """Append text to a file that does not contain it yet; return True if it was added."""
    with path.open("a+", encoding="utf-8", errors="surrogateescape") as file:
        file.seek(0)
        before = file.read()
        if text in before:
            return False
        file.write(text if before.endswith("\n") or not before else f"\n{text}")
    return True
