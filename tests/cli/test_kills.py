"""SIGKILL or SIGTERM at 60 random moments of a folder, a film, a training run and a set being prepared.

Then the same command goes on, to the same bytes.

Two moments of three come after the run has begun to write, the others also while it starts.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from facegen.arrays import RGB
from facegen.data.manifest import MANIFEST, read_manifest
from facegen.media.images import write_image
from facegen.training.checkpoints import checkpoints, read_checkpoint
from facegen.video.store import frames_kept
from tests.cli.conftest import contents, leftovers
from tests.training.conftest import jnet_recipe
from tests.training.test_trainer import assert_same

KILLS = 15
"""Kills of each run."""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="groups of processes"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
Command = list[object]


@pytest.fixture
def photos(tmp_path: Path, astronaut: RGB) -> Path:
    """Thirty photos of one head."""
    for number in range(30):
        photo = np.ascontiguousarray(astronaut[number : 192 + number, 132:324])
        write_image(tmp_path / "photos" / f"{number}.png", photo)
    return tmp_path / "photos"


def start(command: Command) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "facegen", *map(str, command)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(words, start_new_session=True, stdout=quiet, stderr=quiet)


def stamps(folder: Path) -> list[tuple[str, int]]:
    """Names and times of a folder's files; files that disappear meanwhile are skipped."""
    found = []
    for path in folder.rglob("*"):
        try:
            found.append((str(path), path.stat().st_mtime_ns))
        except FileNotFoundError:
            continue
    return sorted(found)


def kill_often(make: Callable[[], Command], out: Path, done: Callable[[], int], rng: random.Random) -> int:
    """Start and kill a run many times, without losing finished work; return how often it was killed while running."""
    killed, before = 0, 0
    for number in range(KILLS):
        seen = stamps(out)
        process = start(make())
        if number % 3:
            while process.poll() is None and stamps(out) == seen:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.5))
        else:
            time.sleep(rng.uniform(0, 6))
        killed += process.poll() is None
        with suppress(ProcessLookupError):  # it was done already
            os.killpg(process.pid, signal.SIGTERM if number % 2 else signal.SIGKILL)
        process.wait(60)
        assert done() >= before
        before = done()
    return killed


def finish(*commands: Command) -> None:
    for command in commands:
        assert start(command).wait() == 0


def same_bytes(one: Path, other: Path, without: Sequence[str] = ()) -> None:
    found, wanted = contents(one), contents(other)
    assert found.keys() == wanted.keys()
    assert {name for name in found if found[name] != wanted[name]} <= set(without)
    assert [path.name for path in leftovers(one)] in ([], [".lock"])


def test_a_folder(tmp_path: Path, tiny_recipe: Path, photos: Path) -> None:
    def command(out: str) -> Command:
        words = ("--recipe", tiny_recipe, "--scale", 2, "--jobs", 2, "--out", tmp_path / out)
        return ["upres", photos, *words]

    def done() -> int:
        return len(list((tmp_path / "out").glob("*-x2.png")))

    assert kill_often(lambda: command("out"), tmp_path / "out", done, random.Random(0)) >= KILLS // 2
    finish(command("out"), command("whole"))
    same_bytes(tmp_path / "out", tmp_path / "whole")


def test_a_film(tmp_path: Path, tiny_recipe: Path) -> None:
    broken, whole = tmp_path / "a", tmp_path / "b"  # the record contains the name

    def command(folder: Path) -> Command:
        length: Command = ["--seeds", "1-3", "--seconds", 4, "--size", 64]
        return ["video", *length, "--recipe", tiny_recipe, "-o", folder / "film.mp4"]

    def done() -> int:
        return frames_kept(broken / "film.mp4.frames") if not (broken / "film.mp4").exists() else 10**6

    for folder in (broken, whole):
        folder.mkdir()
    assert kill_often(lambda: command(broken), broken, done, random.Random(1)) >= KILLS // 2
    finish(command(broken), command(whole))
    assert (broken / "film.mp4").read_bytes() == (whole / "film.mp4").read_bytes()
    assert not (broken / "film.mp4.frames").exists()


def test_a_training_run(tmp_path: Path, head_folder: Path) -> None:
    recipe = jnet_recipe(images=400, checkpoint_minutes=1e-9)
    (tmp_path / "tiny.toml").write_text(tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True)))

    def command(out: str) -> Command:
        words: Command = ["--data", head_folder, "--out", tmp_path / out, "--threads", 1]
        return ["train", tmp_path / "tiny.toml", *words, *(["--resume"] if checkpoints(tmp_path / out) else [])]

    def done() -> int:
        return max((int(path.stem) for path in checkpoints(tmp_path / "run")), default=0)

    assert kill_often(lambda: command("run"), tmp_path / "run", done, random.Random(2)) >= KILLS // 2
    finish(command("run"), command("whole"))
    last = [checkpoints(tmp_path / name)[-1] for name in ("run", "whole")]
    assert last[0].name == last[1].name
    assert_same(read_checkpoint(last[0]), read_checkpoint(last[1]))


def test_a_set_being_prepared(tmp_path: Path, photos: Path) -> None:
    def command(out: str) -> Command:
        return ["data", "prepare", photos, "--out", tmp_path / out, "--size", 64, "--jobs", 2]

    def done() -> int:
        kept = tmp_path / "set" / MANIFEST
        return len(read_manifest(tmp_path / "set")) if kept.exists() else 0

    assert kill_often(lambda: command("set"), tmp_path / "set", done, random.Random(3)) >= KILLS // 2
    finish(command("set"), command("whole"))
    same_bytes(tmp_path / "set", tmp_path / "whole")
