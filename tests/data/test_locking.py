"""Two processes do not write one set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from facegen.data.curate.labels import export
from facegen.errors import FileError, UsageError
from facegen.files import LOCK, sole_process, sole_writer

HOLDER = """
import sys
from pathlib import Path
from facegen.files import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_set_is_locked_until_it_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "set"
    with sole_writer(folder):
        (folder / "a.png").touch()
        for again in (lambda: sole_writer(folder).__enter__(), lambda: export(folder)):
            with pytest.raises(UsageError, match="another facegen data command is at work on this set; wait for it"):
                again()
    with sole_writer(folder):
        assert sorted(path.name for path in folder.iterdir()) == [LOCK, "a.png"]


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    command, pipe = [sys.executable, "-c", HOLDER, str(tmp_path)], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="at work on this set"), sole_writer(tmp_path):
            pass
        process.kill()
    with sole_writer(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match=r"file/\.lock: cannot be written"), sole_process(tmp_path / "file", "taken"):
        pass
