"""Photos become a set: every head with real detail is cut, each photo once, and no work is lost."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facegen.arrays import RGB
from facegen.data import manifest as saving
from facegen.data.cutting import Cut, PhotoCutter, Suffix, sharpness
from facegen.data.manifest import MANIFEST, Entry, read_manifest, write_manifest
from facegen.data.prepare import LEDGER, LEFT_OUT, Preparation, read_ledger
from facegen.data.split import DataConfig, known_landmarks, split_files
from facegen.errors import FileError, UsageError
from facegen.faces.detect import heads_in_photo
from facegen.faces.landmarks import landmarks_in_head
from facegen.files import sha256_of
from facegen.jobs import Outcome, Processes, Task
from facegen.media.images import read_image, resize, write_image
from tests.conftest import make_pipe

SIZE = 96


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "set"


def start(raw: Path, out: Path, size: int = SIZE, suffix: Suffix = ".png") -> Preparation:
    return Preparation(PhotoCutter(raw, out, size, suffix))


def run(raw: Path, out: Path, **options: Any) -> list[str]:
    """Prepare a set, and return the names of the photos that were cut."""
    preparation = start(raw, out, **options)
    outcomes = list(preparation.cut(preparation.find_changes(), jobs=1))
    assert not [outcome.error for outcome in outcomes if outcome.error]
    return sorted(outcome.source.name for outcome in outcomes)


def entries(out: Path) -> dict[str, Entry]:
    return {entry.source: entry for entry in read_manifest(out)}


class TestCutting:
    def test_a_crop_has_its_row_in_the_manifest(self, raw: Path, out: Path, photo: RGB) -> None:
        run(raw, out)
        entry = entries(out)["sub/ann.png"]
        crop = read_image(out / entry.file).rgb
        [head] = heads_in_photo(photo)
        assert crop.shape == (SIZE, SIZE, 3)
        assert Path(entry.file).parent.as_posix() == "pictures"
        assert Path(entry.file).name.startswith("ann-1-")
        assert (entry.source_sha256, entry.face, entry.size) == (sha256_of(raw / "sub/ann.png"), 1, SIZE)
        assert entry.sha256 == sha256_of(out / entry.file)
        assert math.dist(entry.frame[:2], head.frame.center) < 0.02 * head.frame.side
        assert entry.frame[2] == pytest.approx(head.frame.side, rel=0.05)
        apart = np.linalg.norm(np.array(entry.landmarks) - landmarks_in_head(crop).points, axis=1)
        assert apart.mean() < 0.01 * SIZE
        assert entry.sharpness == sharpness(crop)

    def test_heads_below_the_size_are_listed_but_not_written(self, raw: Path, out: Path) -> None:
        run(raw, out, size=256)
        lines = (out / LEFT_OUT).read_text().splitlines()
        assert lines[0] == "source,face,side,reason"
        assert [line.split(",")[0] for line in lines[1:]] == ["bob.png", "sub/ann.png"]
        assert all(line.endswith("too small") and 150 < float(line.split(",")[2]) < 256 for line in lines[1:])
        assert read_manifest(out) == []
        assert not (out / "pictures").exists()

    def test_heads_cut_off_are_listed_but_not_written(self, tmp_path: Path, out: Path, astronaut: RGB) -> None:
        write_image(tmp_path / "raw" / "cut.png", np.ascontiguousarray(astronaut[40:240, 190:400]))
        run(tmp_path / "raw", out, size=64)
        assert "cut.png,1," in (out / LEFT_OUT).read_text()
        assert "cut off" in (out / LEFT_OUT).read_text()

    def test_every_face_of_a_photo_is_cut(self, tmp_path: Path, out: Path, photo: RGB) -> None:
        both = np.full((320, 640, 3), 90, np.uint8)
        both[:, :320] = photo
        both[60:260, 400:600] = resize(photo, (200, 200))
        write_image(tmp_path / "raw" / "two.png", both)
        run(tmp_path / "raw", out)
        first, second = read_manifest(out)
        assert (first.face, second.face) == (1, 2)
        assert first.frame[2] > second.frame[2]
        assert first.file != second.file


class TestAgain:
    def test_no_photo_is_cut_twice(self, raw: Path, out: Path) -> None:
        assert run(raw, out) == ["ann.png", "bob.png", "wall.png"]
        before = (out / MANIFEST).read_bytes()
        assert run(raw, out) == []
        os.utime(raw / "bob.png", ns=(1, 1))
        assert run(raw, out) == []
        assert (out / MANIFEST).read_bytes() == before
        assert [entry.source for entry in read_manifest(out)] == ["bob.png", "sub/ann.png"]

    def test_new_and_changed_photos_are_cut(self, raw: Path, out: Path, photo: RGB) -> None:
        run(raw, out)
        old = entries(out)["bob.png"].file
        write_image(raw / "bob.png", 255 - photo // 3)
        write_image(raw / "new.png", photo[:, ::-1].copy())
        assert run(raw, out) == ["bob.png", "new.png"]
        assert sorted(entries(out)) == ["bob.png", "new.png", "sub/ann.png"]
        assert not (out / old).exists()
        assert {path.name for path in (out / "pictures").iterdir()} == {Path(e.file).name for e in read_manifest(out)}

    def test_removed_photos_keep_their_crops(self, raw: Path, out: Path) -> None:
        run(raw, out)
        before = (out / MANIFEST).read_bytes()
        (raw / "bob.png").unlink()
        assert run(raw, out) == []
        assert (out / MANIFEST).read_bytes() == before
        assert start(raw, out).totals(failed=0)["gone, crops kept"] == 1

    def test_photos_with_the_same_bytes_are_cut_once(self, raw: Path, out: Path) -> None:
        shutil.copy(raw / "bob.png", raw / "zoe.png")
        assert run(raw, out) == ["ann.png", "bob.png", "wall.png"]
        shutil.copy(raw / "bob.png", raw / "aaa.png")
        assert run(raw, out) == []
        assert sorted(entries(out)) == ["bob.png", "sub/ann.png"]
        preparation = start(raw, out)
        preparation.find_changes()
        assert preparation.totals(failed=0) == {
            "photos": 5, "the same as another": 2, "no face": 1, "failed": 0, "faces": 2, "written": 2,
            "gone, crops kept": 0,
        }  # fmt: skip

    def test_a_copy_is_cut_when_the_first_is_changed(self, raw: Path, out: Path, photo: RGB) -> None:
        shutil.copy(raw / "bob.png", raw / "zoe.png")
        run(raw, out)
        write_image(raw / "bob.png", 255 - photo // 3)
        assert run(raw, out) == ["bob.png", "zoe.png"]
        assert sorted(entries(out)) == ["bob.png", "sub/ann.png", "zoe.png"]
        assert all((out / entry.file).is_file() for entry in read_manifest(out))

    def test_a_lost_crop_is_cut_again_and_keeps_its_label(self, raw: Path, out: Path) -> None:
        run(raw, out)
        write_manifest(out, [replace(entry, label="drop", extra={"x": "1"}) for entry in read_manifest(out)])
        before = (out / MANIFEST).read_bytes()
        (out / entries(out)["bob.png"].file).unlink()
        assert run(raw, out) == ["bob.png"]
        (out / LEDGER).unlink()
        assert run(raw, out) == ["ann.png", "bob.png", "wall.png"]
        assert (out / MANIFEST).read_bytes() == before

    def test_a_kill_loses_seconds_and_does_not_change_the_result(
        self, raw: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(saving, "SAVE_EVERY", -1)
        preparation = start(raw, out)
        working = preparation.cut(preparation.find_changes(), jobs=1)
        next(working)
        shutil.copytree(out, tmp_path / "killed")
        working.close()
        assert len(run(raw, tmp_path / "killed")) == 2
        run(raw, out)
        assert (tmp_path / "killed" / MANIFEST).read_bytes() == (out / MANIFEST).read_bytes()

    def test_stopping_early_saves_finished_work(self, raw: Path, out: Path) -> None:
        preparation = start(raw, out)
        working = preparation.cut(preparation.find_changes(), jobs=1)
        next(working)
        working.close()
        assert len(read_manifest(out)) == 1


class TestRefused:
    def test_another_size_or_format_is_refused(self, raw: Path, out: Path) -> None:
        run(raw, out)
        others: tuple[dict[str, Any], ...] = {"size": 64}, {"suffix": ".webp"}
        for options in others:
            with pytest.raises(UsageError, match="was prepared with --size 96 --format png; give the same"):
                start(raw, out, **options)

    def test_other_photos_are_refused_unless_they_were_moved(self, raw: Path, out: Path, tmp_path: Path) -> None:
        run(raw, out)
        shutil.copytree(raw, tmp_path / "other")
        with pytest.raises(UsageError, match=r"was prepared from .*raw; add photos there"):
            start(tmp_path / "other", out)
        shutil.rmtree(raw)
        assert start(tmp_path / "other", out).totals(failed=0)["gone, crops kept"] == 0

    def test_a_folder_without_photos_is_refused(self, out: Path, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(FileError, match="empty: no pictures below this folder"):
            start(tmp_path / "empty", out)


def damaged(key: str, value: object) -> str:
    """A ledger of one photo, with another value at a key of the ledger, of the photo, or of the head left out."""
    left = {"face": 1, "side": 50.5, "reason": "too small"}
    photo = {"bytes": 9, "modified": 9, "sha256": "ab", "faces": 1, "left_out": [left]}
    ledger = {"raw": "/raw", "size": 96, "suffix": ".png", "photos": {"a.png": photo}}
    tables: tuple[dict[str, object], ...] = (ledger, photo, left)
    for table in tables:
        if key in table:
            table[key] = value
    return json.dumps(ledger)


@pytest.mark.parametrize("content", [
    "", "{", "{}", "[]", "[" * 9999, "\0", '{"raw": 1' + "0" * 5000 + "}", '"\\ud800"',
    damaged("raw", "a\0b"), damaged("raw", "x" * 2000), damaged("size", float("nan")), damaged("size", -5),
    damaged("suffix", "/../x"), damaged("photos", {"a\0.png": {}}), damaged("bytes", float("inf")),
    damaged("left_out", [[[]]]), damaged("side", float("nan")), damaged("reason", "[/b]"), damaged("face", 10**9),
])  # fmt: skip
def test_a_hostile_ledger_is_refused(raw: Path, out: Path, content: str) -> None:
    out.mkdir()
    (out / LEDGER).write_text(content, encoding="utf-8")
    for read in (lambda: start(raw, out), lambda: read_ledger(out)):
        with pytest.raises(FileError, match=r"prepare\.json: is not as facegen wrote it; remove it"):
            read()


def test_a_ledger_that_is_a_pipe_is_refused(raw: Path, out: Path) -> None:
    out.mkdir()
    make_pipe(out / LEDGER)
    with pytest.raises(FileError, match=r"prepare\.json: is a pipe"):
        start(raw, out)


def test_a_folders_name_need_not_be_utf8(raw: Path, tmp_path: Path) -> None:
    raw = raw.rename(tmp_path / os.fsdecode(b"caf\xe9"))
    out = tmp_path / os.fsdecode(b"s\xe9t")
    assert run(raw, out) == ["ann.png", "bob.png", "wall.png"]
    assert run(raw, out) == []
    assert known_landmarks(out)
    assert len(split_files(out, DataConfig(held_out=1))[0]) == 1


def test_names_that_are_formulas_are_escaped_in_both_tables(raw: Path, out: Path, photo: RGB) -> None:
    write_image(raw / "=1+1.png", photo // 3)
    run(raw, out, size=256)
    assert "\n'=1+1.png,1," in (out / LEFT_OUT).read_text()
    assert run(raw, out, size=256) == []


def test_a_hostile_manifest_deletes_nothing_but_crops(raw: Path, out: Path, tmp_path: Path) -> None:
    """Labels, and files behind a link, stay although the manifest calls them old crops of a photo."""
    run(raw, out)
    users = [out / "labels" / "anna.jsonl", tmp_path / "elsewhere" / "x-1-0123abcd.png", out / "pictures" / "note.txt"]
    for path in users:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    (out / "more").mkdir()
    (out / "pictures").rename(out / "real")
    (out / "pictures").symlink_to(tmp_path / "elsewhere")
    named = ("labels/anna.jsonl", "pictures/x-1-0123abcd.png", "pictures/note.txt")
    write_manifest(out, [*read_manifest(out), *(Entry(name, "bob.png", face=9) for name in named)])
    (tmp_path / "elsewhere" / "note.txt").write_text("mine")
    run(raw, out)
    assert all(path.read_text() == "mine" for path in (users[0], users[1], out / "real" / "note.txt"))


def test_a_photo_that_fails_is_reported_and_tried_again(raw: Path, out: Path) -> None:
    (raw / "bad.jpg").write_bytes(b"\xff\xd8\xff broken")
    for _ in range(2):
        preparation = start(raw, out)
        outcomes = {o.source.name: o for o in preparation.cut(preparation.find_changes(), jobs=1)}
        assert "bad.jpg" in outcomes["bad.jpg"].error
        assert preparation.totals(failed=1)["written"] == 2


def test_the_order_of_finished_photos_does_not_matter(raw: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def backwards(tasks: list[Task], work: Callable[[Task], Cut], executor: Processes) -> Iterator[Cut]:
        assert executor.number == 3  # no more than there are photos
        yield from [work(task) for task in reversed(tasks)]

    run(raw, out)
    wanted = (out / MANIFEST).read_bytes()
    shutil.rmtree(out)
    monkeypatch.setattr(saving, "run", backwards)
    preparation = start(raw, out)
    outcomes: list[Outcome] = list(preparation.cut(preparation.find_changes(), jobs=8))
    assert len(outcomes) == 3
    assert (out / MANIFEST).read_bytes() == wanted


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs groups of processes")
@pytest.mark.parametrize("crops", [1, 4, 9])
def test_two_killed_processes_can_be_started_again(
    raw: Path, out: Path, tmp_path: Path, photo: RGB, crops: int
) -> None:
    for number in range(12):
        write_image(raw / f"more-{number}.png", np.ascontiguousarray(photo[number:, : 320 - number]))
    run(raw, out)
    killed = tmp_path / "killed"
    words = ["prepare", str(raw), "--out", str(killed), "--size", str(SIZE), "--jobs", "2"]
    command = [sys.executable, "-c", "from facegen.cli.data import data; data()", *words]
    with subprocess.Popen(command, start_new_session=True) as process:
        while len(list(killed.glob("pictures/*.png"))) < crops:
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    assert (killed / MANIFEST).exists() is False or len(read_manifest(killed)) < 14
    subprocess.run(command, check=True)
    assert (killed / MANIFEST).read_bytes() == (out / MANIFEST).read_bytes()
    assert list(killed.rglob("*.tmp")) == []
