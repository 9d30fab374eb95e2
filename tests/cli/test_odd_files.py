"""Every command over 650 broken and odd files: a result or a clear error, no traceback, no half file, no hang."""

from __future__ import annotations

import faulthandler
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from facegen.errors import printable
from facegen.media.images import WRITABLE, read_image
from facegen.media.video_reader import Clip, is_clip
from tests.cli.conftest import Facegen
from tests.odd_files import make_odd_file, odd_files

PATIENCE = 30
"""Seconds after which a command counts as hanging."""
NAMES = list(odd_files())
Check = Callable[[str, str], None]
Words = Callable[[Path, Path, Path], tuple[object, ...]]
COMMANDS: dict[str, Words] = {
    "upres": lambda file, out, recipe: ("upres", file, "--recipe", recipe, "--scale", 2, "--out", out),
    "inspect": lambda file, out, recipe: ("inspect", file),
    "crop": lambda file, out, recipe: ("upres", file, "--recipe", recipe, "--crop", "--size", 64, "--out", out),
    "replay": lambda file, out, recipe: ("replay", file, "--out", out),
    "clean": lambda file, out, recipe: ("data", "clean", file.parent),
    "aligned": lambda file, out, recipe: ("upres", file, "--recipe", recipe, "--aligned", "--size", 64, "--out", out),
    "audio": lambda file, out, recipe: (
        "video", "--seeds", "1,2", "--audio", file, "--seconds", 0.1, "--size", 32, "--recipe", recipe,
        "-o", out / "film.mp4",
    ),
    "prepare": lambda file, out, recipe: (
        "data", "prepare", file.parent, "--size", 32, "--jobs", 1, "--out", out,
    ),
    "evaluate": lambda file, out, recipe: ("evaluate", file, "--out", out),
    "stats": lambda file, out, recipe: ("data", "stats", file.parent, "--out", out / "stats.html"),
    "recipe": lambda file, out, recipe: ("sample", "--recipe", file, "--out", out),
    "compare": lambda file, out, recipe: (
        "compare", "--inputs", file, "--models", "bicubic", "--low", 16, "--size", 64, "--out", out,
    ),
    "from": lambda file, out, recipe: (
        "video", "--seeds", 1, "--from", file, "--seconds", 0.1, "--size", 32, "--recipe", recipe,
        "-o", out / "film.mp4",
    ),
}  # fmt: skip
"""From a file, a folder for results and a recipe to the words of a command that reads the file."""


@pytest.fixture(autouse=True)
def no_long_wait() -> Iterator[None]:
    """Print the stack and end the process if a test takes longer than `PATIENCE`."""
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def check(facegen: Facegen, tiny_recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Check:
    """Run a command over an odd file; the fixture `facegen` fails on tracebacks."""

    def run(command: str, name: str) -> None:
        file, out = make_odd_file(tmp_path / command, name), tmp_path / f"out-{command}"
        result = facegen(*COMMANDS[command](file, out, tiny_recipe))
        assert result.exit_code in (0, 1, 2)
        if result.exit_code:
            assert printable(tmp_path / command) in result.stderr
        assert capfd.readouterr().err == ""  # C libraries print nothing
        assert not list(out.rglob("*.tmp"))  # frames of a film that breaks off stay, for the next try
        check_whole(out)

    return run


def check_whole(out: Path) -> None:
    """Decode every picture and film in a folder completely."""
    for path in (path for path in out.rglob("*") if path.is_file()):
        if is_clip(path):
            with closing(Clip(path).frames()) as frames:
                assert sum(1 for _ in frames)
        elif path.suffix in WRITABLE:
            read_image(path)


@pytest.mark.parametrize("number", range(0, len(NAMES), 43))
def test_a_sample_of_odd_files_by_commands_in_turn(check: Check, number: int) -> None:
    check(list(COMMANDS)[number // 43 % len(COMMANDS)], NAMES[number])


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(NAMES)))
def test_every_odd_file_by_upres_and_another_command(check: Check, number: int) -> None:
    check("upres", NAMES[number])
    check(list(COMMANDS)[1 + number % (len(COMMANDS) - 1)], NAMES[number])


@pytest.mark.slow
def test_bad_files_in_a_folder_do_not_stop_the_others(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    faulthandler.cancel_dump_traceback_later()
    for number, name in enumerate(NAMES):
        make_odd_file(tmp_path / "in" / f"{number // 50}", name)
    result = facegen(*COMMANDS["upres"](tmp_path / "in", tmp_path / "out", tiny_recipe), "--jobs", 2)
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    failed = [line for line in lines if line.startswith("Error: ")]
    assert all(str(tmp_path / "in") in line for line in failed)
    upscaled, total = (int(word) for word in lines[-1].split() if word.isdigit())
    assert (total, len(result.stdout.splitlines()) >= upscaled) == (len(failed), True)
    assert not list((tmp_path / "out").rglob("*.tmp"))
    check_whole(tmp_path / "out")
