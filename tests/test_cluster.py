"""A Ray cluster of logical machines on this one: what it makes is what one process makes, whatever dies."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facegen import cluster as clusters
from facegen.arrays import RGB
from facegen.cluster import connect
from facegen.errors import FacegenError, MissingExtraError, UsageError
from facegen.jobs import Outcome, Task, run, share
from facegen.media.images import resize, write_image
from facegen.media.video_writer import write_video
from tests.cli.conftest import Facegen, contents, facegen, leftovers, tiny_recipe  # noqa: F401
from tests.video.films import moving

NODES = 4
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")


@pytest.fixture(scope="module")
def machines() -> Iterator[Any]:
    """A head without processors, and machines of one processor each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")  # a token would be written to the user's home
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        for _ in range(NODES):
            cluster.add_node(num_cpus=1)
        yield cluster
        cluster.shutdown()


def workers(cluster: Any) -> list[int]:
    """Process ids of the machines' processes that hold something."""
    raylets = {node.all_processes["raylet"][0].process.pid for node in cluster.list_all_nodes()}
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        name, _, rest = entry.read_text(errors="replace").rpartition(")")
        if "ray::_Worker" in (entry.parent / "cmdline").read_text() and int(rest.split()[1]) in raylets:
            found.append(int(name.split()[0]))
    return found


def tasks(count: int) -> Iterator[Task]:
    return (Task(Path(f"{number}.png"), Path(str(number))) for number in range(count))


def shout(task: Task) -> Outcome:
    """Say where the work was done; the second picture has a fault."""
    if task.source.stem == "1":
        raise FacegenError("the eyes are shut.")
    return Outcome(task.source, note=str(os.getpid()))


@needs_ray
@pytest.mark.slow
def test_machines_share_the_work_and_memory_stays_flat(machines: Any) -> None:
    """5,000 files: those that wait are not even listed."""
    listed, sizes, pids = 0, [], set()

    def listing() -> Iterator[Task]:
        nonlocal listed
        for task in tasks(5000):
            listed += 1
            yield task

    with connect(machines.address) as cluster, cluster.pool(shout) as pool:
        assert cluster.device == "cpu"
        assert cluster.number in (NODES, NODES + 1)  # that which another test removed may be listed for a while
        for number, outcome in enumerate(share(listing(), pool)):
            assert listed - number <= pool.in_flight
            pids.add(outcome.note)
            if number in (500, 4999):
                sizes.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE"))
            assert outcome.error == ("1.png: the eyes are shut." if outcome.source.stem == "1" else "")
    assert len(pids - {""}) > 1  # a process may take longer to start than the others for all the work
    assert sizes[1] - sizes[0] < 16 * 2**20


def die(task: Task) -> Outcome:
    """The second picture kills every process that works on it."""
    if task.source.stem == "1":
        os._exit(1)
    return Outcome(task.source)


@needs_ray
@pytest.mark.slow
def test_a_picture_that_kills_its_process_again_and_again_fails_alone(machines: Any) -> None:
    with connect(machines.address) as cluster:
        outcomes = {outcome.source.stem: outcome.error for outcome in run(list(tasks(6)), die, cluster)}
    assert outcomes.pop("1").startswith("1.png: 3 worker processes died over it, perhaps for lack of memory (")
    assert outcomes == dict.fromkeys("02345", "")


class Spoilt:
    """Cannot be held, as where a machine lacks a package."""

    def __reduce__(self) -> Any:
        return importlib.import_module, ("no_such_package",)


@needs_ray
@pytest.mark.slow
def test_processes_that_cannot_start_end_the_run_with_the_reason(
    machines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    with connect(machines.address, say=said.append) as cluster:
        (failed, *_) = run(list(tasks(3)), Spoilt(), cluster)  # type: ignore[arg-type]
        assert "--cluster: System error: No module named 'no_such_package'" in failed.error
        assert len(said) == NODES - 1
        monkeypatch.setattr(Path, "cwd", lambda: tmp_path / "gone")
        (failed, *_) = run(list(tasks(3)), shout, cluster)
    assert "No such file or directory); all machines must have the same files at the same paths." in failed.error


def noise(folder: Path, count: int, side: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(count):
        picture = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        write_image(folder / f"{number % 7}" / f"{number:03d}.png", picture)


@needs_ray
@pytest.mark.slow
def test_two_workers_and_a_machine_die_and_every_file_is_as_on_one_machine(
    machines: Any, facegen: Facegen, tiny_recipe: Path, tmp_path: Path, astronaut: RGB  # noqa: F811
) -> None:  # fmt: skip
    """A clip is among them, whose frames the machines share."""
    noise(tmp_path / "in", 500, 24)
    (tmp_path / "in" / "3" / "003.png").write_bytes(b"no picture")
    write_video(tmp_path / "in" / "clip.mp4", moving(resize(astronaut, (128, 128)), 5, (94, 80)), Fraction(25))
    words = ("upres", tmp_path / "in", "--recipe", tiny_recipe, "--scale", 2, "--threads", 1, "--out")
    extra = machines.add_node(num_cpus=1)
    command = [sys.executable, "-m", "facegen", *map(str, words), tmp_path / "many", "--cluster", machines.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        wait_for(tmp_path / "many", 100)
        first = workers(machines)
        for pid in first[:2]:
            os.kill(pid, signal.SIGKILL)
        wait_for(tmp_path / "many", 250)
        machines.remove_node(extra, allow_graceful=False)
        stdout, stderr = running.communicate(timeout=240)
    assert len(first) == NODES + 1
    assert (running.returncode, len(stdout.splitlines())) == (1, 500)
    assert stderr.count("Warning: a process of the cluster died; what it worked on is done again.\n") in (2, 3)
    assert stderr.splitlines()[-1] == "500 upscaled, 1 failed."
    one = facegen(*words, tmp_path / "one")
    assert sorted(one.stdout.replace("/one/", "/many/").splitlines()) == sorted(stdout.splitlines())
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    assert not leftovers(tmp_path / "many")


def wait_for(folder: Path, count: int, results: str = "*-x2.png") -> None:
    """Wait until so many results are in a folder."""
    end = time.monotonic() + 240
    while sum(1 for _ in folder.rglob(results)) < count:
        assert time.monotonic() < end, f"{folder} has fewer than {count} results"
        time.sleep(0.1)


@needs_ray
@pytest.mark.slow
def test_a_film_of_twenty_seconds_shared_by_four_machines_is_the_unbroken_one(
    machines: Any, facegen: Facegen, tiny_recipe: Path, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    """Two of their processes die on the way."""
    film = ("video", "--seeds", "1,5", "--seconds", 20, "--fps", 5, "--size", 32)
    words = (*film, "--recipe", tiny_recipe, "--threads", 1, "--out")
    command = [sys.executable, "-m", "facegen", *map(str, words), str(tmp_path / "many" / "film.mp4")]
    with subprocess.Popen([*command, "--cluster", machines.address], stderr=subprocess.PIPE, text=True) as running:
        wait_for(tmp_path / "many", 20, "*.png")
        for pid in workers(machines)[:2]:
            os.kill(pid, signal.SIGKILL)
        _, stderr = running.communicate(timeout=240)
    assert (running.returncode, stderr.count("Warning: a process of the cluster died")) in ((0, 1), (0, 2)), stderr
    assert facegen(*words, tmp_path / "one" / "film.mp4").exit_code == 0
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


@needs_ray
@pytest.mark.slow
def test_ctrl_c_ends_the_run_and_the_cluster_it_started(tiny_recipe: Path, tmp_path: Path) -> None:  # noqa: F811
    noise(tmp_path / "in", 300, 96)
    words = ("upres", tmp_path / "in", "--recipe", tiny_recipe, "--out", tmp_path / "out", "--scale", 2, "--cluster")
    running = subprocess.Popen(
        [sys.executable, "-m", "facegen", *map(str, words), "local"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        start_new_session=True, text=True,
    )  # fmt: skip
    wait_for(tmp_path / "out", 3)
    before = session(running.pid)
    os.killpg(running.pid, signal.SIGINT)
    _, stderr = running.communicate(timeout=60)
    assert running.returncode == 130
    assert stderr.splitlines()[-1].startswith("Stopped: ")
    assert "Traceback" not in stderr
    assert len(before) > 3
    assert session(running.pid) == []


def session(leader: int) -> list[int]:
    """The processes of a session."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            name, _, rest = entry.read_text(errors="replace").rpartition(")")
            if int(rest.split()[3]) == leader:
                found.append(int(name.split()[0]))
    return found


def test_what_cannot_be_is_said_at_once(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    monkeypatch.setattr(clusters, "find_spec", lambda name: "found")
    with pytest.raises(UsageError, match="--device mps is one of this machine; with --cluster, choose auto, cpu, cuda"):
        connect(device="mps").__enter__()
    monkeypatch.setattr(clusters, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"--cluster needs Ray: pip install 'facegen\[ray\]'"):
        connect().__enter__()
    noise(tmp_path / "in", 1, 24)
    words = ("upres", tmp_path / "in", "--out", tmp_path / "out", "--recipe", tiny_recipe, "--cluster", "auto")
    missing = facegen(*words)
    assert (missing.exit_code, missing.stderr) == (1, "Error: --cluster needs Ray: pip install 'facegen[ray]'\n")
    both = facegen(*words, "--jobs", 2)
    assert (both.exit_code, "--cluster and --jobs exclude each other" in both.stderr) == (2, True)


@needs_ray
@pytest.mark.slow
def test_a_cluster_that_is_not_there_or_lacks_what_is_asked_for(machines: Any) -> None:
    with pytest.raises(UsageError, match=r"--cluster 127\.0\.0\.1:9: no Ray cluster answers there \("):
        connect("127.0.0.1:9").__enter__()
    with pytest.raises(UsageError, match="--device cuda: the cluster has no GPU; try --device cpu"):
        connect(machines.address, device="cuda").__enter__()
    with pytest.raises(UsageError, match="--threads 9: no machine of the cluster has so many processors"):
        connect(machines.address, threads=9).__enter__()
