"""`facegen upres` on many pictures: finished ones are skipped, and a failure does not harm the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from facegen import photo_files as upscaling
from facegen.arrays import RGB
from facegen.cli.main import cli
from facegen.errors import UsageError
from facegen.media.images import picture_text, read_image, write_image
from facegen.photo import Restored, restore_photo
from facegen.pipeline import FacePipeline
from tests.cli.conftest import Facegen, contents, leftovers

FACEGEN = [sys.executable, "-m", "facegen"]


@pytest.fixture
def upres(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> Facegen:
    """Upscale in/ into out/ with tiny weights, twice as large."""

    def run(*words: object) -> Result:
        return facegen(*upscale_all(tmp_path, tiny_recipe, "out"), *words)

    return run


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Three pictures without a face below in/."""
    rng = np.random.default_rng(0)
    files = [tmp_path / "in" / name for name in ("a.png", "b.png", "sub/c.png")]
    for file in files:
        write_image(file, rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    return files


def upscale_all(folder: Path, recipe: Path, out: str) -> list[str]:
    """Return the words that upscale in/ into another folder, as fast as possible."""
    words = ["upres", folder / "in", "--recipe", recipe, "--out", folder / out, "--scale", 2, "--background", "lanczos"]
    return [str(word) for word in words]


def remarks(stderr: str) -> list[str]:
    """Return the last words of each row of the table, and the totals."""
    return [line.split("  ")[-1].strip() for line in stderr.splitlines()[1:]]


@pytest.mark.usefixtures("photos")
def test_what_is_done_is_not_done_again(upres: Facegen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = upres()
    assert first.exit_code == 0
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()}
    monkeypatch.setattr(FacePipeline, "load", lambda *_, **__: pytest.fail("the networks were loaded"))
    again = upres()
    assert again.exit_code == 0
    assert again.stdout == first.stdout
    assert remarks(again.stderr) == ["done already"] * 3 + ["3 done already."]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()} == made


def test_only_what_is_missing_or_changed_is_made(upres: Facegen, tmp_path: Path, photos: list[Path]) -> None:
    upres()
    whole = contents(tmp_path / "out")
    (tmp_path / "out" / "sub" / "c-x2.png").unlink()
    write_image(photos[0], read_image(photos[0]).rgb[::-1].copy())
    result = upres()
    assert result.stderr.splitlines()[-1] == "2 upscaled, 1 done already."
    now = contents(tmp_path / "out")
    assert {name for name in whole if now[name] == whole[name]} == {"b-x2.png", "sub/c-x2.png"}


@pytest.mark.usefixtures("photos")
def test_other_options_make_everything_again(upres: Facegen) -> None:
    words: list[str] = []
    for change in ("--scale=2", "--set=fidelity=0.5", "--faces=largest", "--strip", "--overwrite"):
        words.append(change)
        assert upres(*words).stderr.splitlines()[-1] == "3 upscaled."


def test_a_scale_of_its_own_choice_is_found_again(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, photos: list[Path]
) -> None:
    def run(*words: object) -> str:
        options = ("--background", "lanczos", "--recipe", tiny_recipe, "--out", tmp_path / "out")
        return facegen("upres", photos[0], *options, *words).stderr

    run()
    assert "done already" in run()
    assert "done already" not in run("--scale", 4)


def test_what_facegen_did_not_write_is_not_replaced(upres: Facegen, tmp_path: Path, photos: list[Path]) -> None:
    foreign = {"a-x2.png": photos[1].read_bytes(), "b-x2.png": b"no picture at all"}
    (tmp_path / "out").mkdir()
    for name, content in foreign.items():
        (tmp_path / "out" / name).write_bytes(content)
    result = upres()
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "1 upscaled, 2 failed."
    for photo, name in zip(photos, foreign, strict=False):
        assert f"Error: {photo}: {tmp_path / 'out' / name}: is there already, and not written" in result.stderr
        assert (tmp_path / "out" / name).read_bytes() == foreign[name]
    assert upres("--overwrite").exit_code == 0
    assert "facegen" in picture_text(tmp_path / "out" / "a-x2.png")


def test_a_name_too_long_is_noticed_before_the_work(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, head: RGB, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = write_image(tmp_path / "short.png", head).rename(tmp_path / ("x" * 251 + ".png"))
    monkeypatch.setattr(FacePipeline, "__call__", lambda *_: pytest.fail("a face was upscaled"))
    for options in ((), ("--scale", 2), ("--crop",), ("--overwrite",)):
        result = facegen("upres", long, "--recipe", tiny_recipe, "--out", tmp_path / "out", *options)
        assert result.exit_code == 1
        assert "cannot be written (File name too long)" in result.stderr


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a-x5.png", ()),
        ("a-x2-before-after.png", ("--scale", 2, "--before-after")),
        ("a-x5-head-1-explain.png", ("--explain",)),
        ("a-x5-head-1-explain.json", ("--explain",)),
        ("a-head.png", ("--crop",)),
        ("a-head-head-1-explain.json", ("--crop", "--explain")),
        ("a-64-head-1-explain.json", ("--aligned", "--explain", "--size", 64)),
    ],
)
def test_a_file_of_another_program_is_noticed_before_the_work(
    facegen: Facegen,
    tiny_recipe: Path,
    tmp_path: Path,
    head: RGB,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    options: tuple[object, ...],
) -> None:
    monkeypatch.setattr(FacePipeline, "__call__", lambda *_: pytest.fail("a face was upscaled"))
    taken = tmp_path / "out" / name
    taken.parent.mkdir()
    taken.write_bytes(b"mine")
    photo = write_image(tmp_path / "a.png", head)
    result = facegen("upres", photo, "--recipe", tiny_recipe, "--out", taken.parent, *options)
    assert result.exit_code == 1
    assert f"{taken}: is there already, and not written by facegen; add --overwrite" in result.stderr
    assert contents(taken.parent) == {name: b"mine"}


def test_a_clock_that_jumps_makes_nothing_again(upres: Facegen, tmp_path: Path, photos: list[Path]) -> None:
    assert upres().exit_code == 0
    for when, path in zip((0, 2**32), (photos[0], tmp_path / "out" / "a-x2.png"), strict=True):
        os.utime(path, (when, when))
    assert upres().stderr.splitlines()[-1] == "3 done already."


def test_a_picture_that_fails_does_not_stop_the_others(
    photos: list[Path], tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = iter([UsageError("too large."), None, ZeroDivisionError("a bug")])

    def fail(pipeline: FacePipeline, rgb: RGB, *rest: Any) -> Restored[np.uint8]:
        error = next(errors)
        if error:
            raise error
        return restore_photo(pipeline, rgb, *rest)

    monkeypatch.setattr(upscaling, "restore_photo", fail)
    result = CliRunner().invoke(cli, upscale_all(tmp_path, tiny_recipe, "out"))
    assert result.exit_code == 1
    assert f"Error: {photos[0]}: too large." in result.stderr
    assert f"Error: {photos[2]}: unexpected ZeroDivisionError: a bug" in result.stderr
    assert "in fail" in result.stderr  # where it came from
    assert result.stderr.splitlines()[-1] == "1 upscaled, 2 failed."


def test_ctrl_c_says_how_to_continue(
    upres: Facegen, tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[RGB] = []

    def interrupted(pipeline: FacePipeline, rgb: RGB, *rest: Any) -> Restored[np.uint8]:
        calls.append(rgb)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return restore_photo(pipeline, rgb, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(upscaling, "restore_photo", interrupted)
        result = upres()
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "Stopped: 1 of 3 are done. To continue, run the same command again."
    assert list(contents(tmp_path / "out")) == ["a-x2.png"]
    assert upres().stderr.splitlines()[-1] == "2 upscaled, 1 done already."


@pytest.mark.usefixtures("photos")
def test_nothing_of_a_picture_is_kept_for_the_next(upres: Facegen, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[Restored[np.uint8]]] = []

    def watched(pipeline: FacePipeline, rgb: RGB, *rest: Any) -> Restored[np.uint8]:
        assert [one for one in made if one() is not None] == []
        done = restore_photo(pipeline, rgb, *rest)
        made.append(weakref.ref(done))
        return done

    monkeypatch.setattr(upscaling, "restore_photo", watched)
    assert upres().exit_code == 0
    assert len(made) == 3


@pytest.mark.slow
def test_a_killed_run_continues_to_the_same_bytes(tmp_path: Path, tiny_recipe: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(12):
        picture = rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)
        write_image(tmp_path / "in" / f"{number % 3}" / f"{number}.png", picture)
    words = ["--background", "tiles"]
    command = [*FACEGEN, *upscale_all(tmp_path, tiny_recipe, "out"), *words]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while running.poll() is None and len(list((tmp_path / "out").rglob("*-x2.png"))) < 2:
        time.sleep(0.002)
    running.kill()
    assert running.wait() == -signal.SIGKILL
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*-x2.png")}
    assert 2 <= len(before) < 12
    for out in ("out", "unbroken"):
        subprocess.run([*FACEGEN, *upscale_all(tmp_path, tiny_recipe, out), *words], check=True, capture_output=True)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert contents(tmp_path / "out") == contents(tmp_path / "unbroken")


@pytest.mark.slow
def test_two_runs_on_one_folder_make_it_whole(tmp_path: Path, tiny_recipe: Path, photos: list[Path]) -> None:
    runs = [subprocess.Popen([*FACEGEN, *upscale_all(tmp_path, tiny_recipe, name)]) for name in ("both", "both", "one")]
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert contents(tmp_path / "both") == contents(tmp_path / "one")
    assert len(contents(tmp_path / "one")) == len(photos)


@pytest.mark.slow
def test_several_processes_write_the_same_bytes(upres: Facegen, tmp_path: Path, photos: list[Path]) -> None:
    photos[1].write_bytes(b"no picture")
    for jobs in (1, 2):
        result = upres("--background", "tiles", "--jobs", jobs, "--out", tmp_path / f"jobs{jobs}")
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1] == "2 upscaled, 1 failed."
    assert contents(tmp_path / "jobs1") == contents(tmp_path / "jobs2")
    assert not leftovers(tmp_path / "jobs2")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals as a terminal sends them")
def test_ctrl_c_ends_all_processes(tmp_path: Path, tiny_recipe: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(100):
        write_image(tmp_path / "in" / f"{number}.png", rng.integers(0, 256, (96, 96, 3), dtype=np.uint8))
    words = [*FACEGEN, *upscale_all(tmp_path, tiny_recipe, "out"), "--jobs", "2"]
    running = subprocess.Popen(
        words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, text=True
    )
    while running.poll() is None and not list((tmp_path / "out").rglob("*-x2.png")):
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGINT)
    _, stderr = running.communicate(timeout=60)  # its end is the end of all that write to it
    assert running.returncode == 130
    assert stderr.splitlines()[-1].startswith("Stopped: ")
    assert "Traceback" not in stderr
