"""Jobs run one after the other, report their progress, and can be cancelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from facegen.errors import FileError, UsageError
from facegen.studio import work
from facegen.studio.work import Job, Studio


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    made = Studio(tmp_path / "files")
    yield made
    made.close()


def wait(job: Job) -> Job:
    """Wait until the job is done."""

    async def look() -> None:
        async for _ in job.watch():
            pass

    asyncio.run(look())
    return job


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "POLL_SECONDS", 0.005)


def test_a_job_reports_its_progress_and_returns_its_result(studio: Studio) -> None:
    def count(job: Job) -> int:
        job.report(0.5, "half")
        return 7

    job = wait(studio.start(count))
    assert (job.result, job.share, job.text, job.error) == (7, 0.5, "half", "")


def test_jobs_wait_for_each_other(studio: Studio) -> None:
    go = threading.Event()
    first, second = studio.start(lambda job: go.wait(10)), studio.start(lambda job: "second")
    assert second.waiting
    assert not second.done
    go.set()
    assert wait(second).result == "second"
    assert first.done


def test_a_cancelled_job_ends_at_its_next_report(studio: Studio) -> None:
    begun = threading.Event()

    def endless(job: Job) -> None:
        while True:
            begun.set()
            job.report(0.1, "on and on")

    job = studio.start(endless)
    begun.wait(10)
    job.cancelled = True
    assert wait(job).error == "Cancelled."


def test_a_job_that_waits_can_be_cancelled(studio: Studio) -> None:
    go, ran = threading.Event(), []
    studio.start(lambda job: go.wait(10))
    job = studio.start(lambda job: ran.append(1))
    job.cancelled = True
    go.set()
    assert wait(job).error == "Cancelled."
    assert not ran


def test_an_error_is_reported_and_the_next_job_runs(studio: Studio) -> None:
    def fail(job: Job) -> None:
        raise UsageError("photo.jpg: too large.")

    assert wait(studio.start(fail)).error == "photo.jpg: too large."
    assert wait(studio.start(lambda job: [][1])).error == "Unexpected IndexError: list index out of range"
    assert wait(studio.start(lambda job: 1)).result == 1


def test_too_many_jobs_are_refused(studio: Studio) -> None:
    go = threading.Event()
    try:
        for _ in range(work.WAITING + 1):
            studio.start(lambda job: go.wait(10))
        with pytest.raises(UsageError, match=f"{work.WAITING + 1} jobs are waiting already"):
            studio.start(lambda job: None)
    finally:
        go.set()


def test_only_files_of_its_own_folder_are_read(studio: Studio, tmp_path: Path) -> None:
    inside = studio.new_folder() / "a.png"
    inside.write_bytes(b"picture")
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    (inside.parent / "link.png").symlink_to(secret)
    assert studio.check_file(inside) == inside
    for path in (secret, inside.parent / "link.png", inside.parent / ".." / ".." / "secret.png", "/etc/passwd", "none"):
        with pytest.raises(FileError, match="is not one of the files dropped here"):
            studio.check_file(path)


def test_presets_are_the_shipped_recipes_and_the_given_one(tmp_path: Path) -> None:
    assert "portrait" in Studio(tmp_path).recipes
    own = Studio(tmp_path, "my/own.toml")
    assert next(iter(own.recipes)) == "my/own.toml"
    with pytest.raises(UsageError, match=r"preset 'protrait' is not known; known: my/own\.toml, "):
        own.recipe_path("protrait")
