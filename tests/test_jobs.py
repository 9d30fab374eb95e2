"""A run over many files finds them, names their results, and goes on when one fails, in one process or several."""

from __future__ import annotations

import os
import time
from itertools import islice
from multiprocessing import active_children
from pathlib import Path

import pytest
import torch

from facegen.errors import FacegenError, UsageError
from facegen.jobs import Outcome, Processes, Task, attempt, find_tasks, run


def make(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"picture")
    return folder


def names(tasks: list[Task], folder: Path, out: Path) -> dict[str, str]:
    return {t.source.relative_to(folder).as_posix(): t.target.relative_to(out).as_posix() for t in tasks}


def test_folders_are_searched_with_all_below_them_and_mirrored(tmp_path: Path) -> None:
    found = make(tmp_path / "in", "b.png", "a.JPG", "notes.txt", "sub/c.webp", "sub/dir/d.e.tif", "sub/dir/a.png")
    out = tmp_path / "out"
    assert names(find_tasks([found], out), found, out) == {
        "a.JPG": "a",
        "b.png": "b",
        "sub/c.webp": "sub/c",
        "sub/dir/a.png": "sub/dir/a",
        "sub/dir/d.e.tif": "sub/dir/d.e",
    }


def test_hidden_files_and_the_output_folder_are_skipped(tmp_path: Path) -> None:
    make(tmp_path, "a.png", ".hidden.png", ".cache/b.png", "out/a-x4.png", "out/sub/c.png", "sub/out/d.png")
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    assert list(names(find_tasks([tmp_path], tmp_path / "out"), tmp_path, tmp_path / "out")) == [
        "a.png",
        "sub/out/d.png",
    ]


def test_names_keep_apart_in_each_folder(tmp_path: Path) -> None:
    make(tmp_path, "x/a.png", "x/a.jpg", "x/sub/a.png", "y/A.png", "y/sub/a.gif", "y/Sub/a.gif")
    tasks = find_tasks([tmp_path / "x", tmp_path / "x" / "a.png", tmp_path / "y"], tmp_path / "out")
    assert names(tasks, tmp_path, tmp_path / "out") == {
        "x/a.jpg": "a",
        "x/a.png": "a-2",
        "x/sub/a.png": "sub/a",
        "y/A.png": "A-3",
        "y/Sub/a.gif": "Sub/a-2",
        "y/sub/a.gif": "sub/a-3",
    }


def test_what_cannot_be_upscaled_stays_in_the_list(tmp_path: Path) -> None:
    make(tmp_path, "empty/notes.txt", "odd name")
    paths = [tmp_path / name for name in ("missing.png", "empty", "odd name")]
    assert [task.source for task in find_tasks(paths, tmp_path / "out")] == paths


def test_a_folder_is_not_upscaled_into_itself(tmp_path: Path) -> None:
    make(tmp_path, "in/a.png")
    with pytest.raises(UsageError, match="is the folder that is upscaled"):
        find_tasks([tmp_path / "in"], tmp_path / "x" / ".." / "in")


def tasks(count: int, folder: Path = Path("in")) -> list[Task]:
    return [Task(folder / f"{number}.png", folder / f"{number}") for number in range(count)]


def shout(task: Task) -> Outcome:
    """What a test's process does with a picture: say who it is and how many threads it has."""
    number = int(task.source.stem)
    if number == 1:
        raise FacegenError("the eyes are shut.")
    if number == 2:
        raise ZeroDivisionError("a bug")
    return Outcome(task.source, note=f"{os.getpid()} {torch.get_num_threads()}")


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_picture_that_fails_does_not_stop_the_others(jobs: int) -> None:
    outcomes = {outcome.source.stem: outcome for outcome in run(tasks(5), shout, Processes(jobs))}
    assert sorted(outcomes) == ["0", "1", "2", "3", "4"]
    assert outcomes["1"].error == f"{Path('in/1.png')}: the eyes are shut."
    assert outcomes["1"].trace == ""
    assert outcomes["2"].error == f"{Path('in/2.png')}: unexpected ZeroDivisionError: a bug"
    assert "in shout" in outcomes["2"].trace
    pids, threads = zip(*(outcomes[name].note.split() for name in "034"), strict=True)
    assert (str(os.getpid()) in pids) == (jobs == 1)
    assert set(threads) == {str(max(torch.get_num_threads() // jobs, 1))}


def test_the_time_of_each_picture_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [5.0]
    monkeypatch.setattr("facegen.jobs.time.perf_counter", lambda: clock[0])

    def work(task: Task) -> Outcome:
        clock[0] += 2
        return Outcome(task.source)

    assert attempt(work, tasks(1)[0]).seconds == 2


def die(task: Task) -> Outcome:
    """The second picture kills its process, as the system does when memory runs out."""
    if task.source.stem == "1":
        os._exit(1)
    return Outcome(task.source)


@pytest.mark.slow
def test_a_process_that_dies_leaves_its_pictures_with_an_error() -> None:
    outcomes = {outcome.source.stem: outcome for outcome in run(tasks(4), die, Processes(2))}
    assert sorted(outcomes) == ["0", "1", "2", "3"]
    assert "a worker process died" in outcomes["1"].error
    assert "fewer --jobs" in outcomes["1"].error


def linger(task: Task) -> Outcome:
    """All but the first picture take for ever."""
    if task.source.stem != "0":
        time.sleep(600)
    return Outcome(task.source)


@pytest.mark.slow
def test_stopping_early_ends_the_processes() -> None:
    before = active_children()
    outcomes = run(tasks(4), linger, Processes(2))
    assert [outcome.source.stem for outcome in islice(outcomes, 1)] == ["0"]
    outcomes.close()
    assert [process for process in active_children() if process not in before] == []
