"""Files are complete or not there at all; two processes do not write one set; recipes and weights are found."""

import subprocess
import sys
from pathlib import Path

import pytest

from facegen import files
from facegen.data.curate.labels import export
from facegen.errors import FileError, UsageError
from facegen.files import (
    LOCK,
    PIPELINES,
    WEIGHTS,
    is_folder,
    is_plain,
    replacing,
    sha256_of,
    sole_process,
    sole_writer,
    temporary_of,
    write_text,
)


def fill(path: Path) -> None:
    """Write half of a file."""
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise OSError("full")


def test_the_file_changes_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_one_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="full"):
        fill(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_of_the_users_lies_at_the_temporary_name(tmp_path: Path) -> None:
    """Not X.png.tmp, and not the target of a link where a killed process left its file."""
    (tmp_path / "a.png.tmp").write_text("mine")
    (tmp_path / "letter").write_text("mine too")
    temporary_of(tmp_path / "a.png").symlink_to(tmp_path / "letter")
    with replacing(tmp_path / "a.png") as temporary:
        temporary.write_text("new")
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["new", "mine", "mine too"]


def test_what_a_killed_process_left_is_used_again(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".png")  # as long as a name can be
    code = """
import os, sys
from pathlib import Path
from facegen.files import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half of a very long text")
    os._exit(1)
"""
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert [left.name.startswith(".facegen-") for left in tmp_path.iterdir()] == [True]
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert [left.read_text() for left in tmp_path.iterdir()] == ["new"]


def test_two_processes_that_write_one_file_write_it_whole(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from facegen.files import replacing
for _ in range(100):
    with replacing(Path(sys.argv[1])) as temporary, temporary.open("w") as file:
        for letter in sys.argv[2] * 20_000:
            file.write(letter)
    assert Path(sys.argv[1]).read_text() in ("a" * 20_000, "b" * 20_000)
"""
    runs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "text"), letter]) for letter in "ab"]
    assert [run.wait() for run in runs] == [0, 0]
    assert len(list(tmp_path.iterdir())) == 1


def test_paths_that_lead_nowhere_are_no_error(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "loop", tmp_path / ("x" * 300), tmp_path / "a\0b", tmp_path / "none"):
        assert not is_plain(path)
        assert not is_folder(path)
    assert is_folder(tmp_path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no device")
def test_a_device_is_never_read() -> None:
    with pytest.raises(FileError, match=r"^/dev/zero: is a pipe, a socket or a device, expected a plain file"):
        sha256_of(Path("/dev/zero"))


def test_a_checkout_has_recipes_and_weights() -> None:
    root = Path(__file__).parents[1]
    assert root / "pipelines" == PIPELINES
    assert root / "weights" == WEIGHTS
    assert (PIPELINES / "portrait.toml").is_file()


def test_a_wheel_brings_its_own_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package's folder of the same name may lie next to the installed package."""
    bundled = tmp_path / "facegen" / "_bundled" / "weights"
    bundled.mkdir(parents=True)
    (tmp_path / "weights").mkdir()
    monkeypatch.setattr(files, "_PACKAGE", tmp_path / "facegen")
    assert files._shipped("weights") == bundled
    assert files._shipped("pipelines") == tmp_path / "pipelines"


def test_files_are_complete_or_absent(tmp_path: Path) -> None:
    path = write_text(tmp_path / "page.html", "caf\udce9")
    assert path.read_text(encoding="utf-8") == "caf\\udce9"
    with pytest.raises(FileError, match=r"none/page\.html: cannot be written \(No such file or directory\)"):
        write_text(tmp_path / "none" / "page.html", "")
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


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
        with pytest.raises(UsageError, match="another facegen data command is at work on this set; wait for it"):
            export(folder)
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
