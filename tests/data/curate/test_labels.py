"""Labels are on the disk before raters see them as saved, and survive a killed process."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegen.data.curate.labels import LabelLog, agreement, log_path, majority, raters_of, read_labels
from facegen.data.manifest import Decision
from facegen.errors import FileError, UsageError
from tests.conftest import make_pipe
from tests.data.strategies import lines_of_labels

LINE = '{"at": "2026-01-01T10:00:00.000+00:00", "file": "a.png", "label": "keep"}\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return log_path(tmp_path, "anna")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_the_latest_label_counts_in_order_of_labelling(path: Path) -> None:
    log = LabelLog(path)
    for file, label in (("a.png", "keep"), ("b.png", "drop"), ("a.png", "drop")):
        log.set(file, label)  # type: ignore[arg-type]
    assert list(LabelLog(path).labels.items()) == list(log.labels.items()) == [("b.png", "drop"), ("a.png", "drop")]


def test_removing_a_label_adds_a_line(path: Path) -> None:
    log = LabelLog(path)
    log.set("a.png", "keep")
    log.set("a.png", "")
    assert [json.loads(line)["label"] for line in path.read_text().splitlines()] == ["keep", ""]
    assert LabelLog(path).labels == {}


def test_the_same_label_again_adds_no_line(path: Path) -> None:
    log = LabelLog(path)
    log.set("a.png", "")
    log.set("a.png", "keep")
    log.set("a.png", "keep")
    assert len(path.read_text().splitlines()) == 1


def test_names_that_are_not_utf8_keep_their_bytes(path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \xe2\x82\xac.png")
    LabelLog(path).set(name, "drop")
    assert LabelLog(path).labels == {name: "drop"}


def test_a_line_is_on_the_disk_before_the_call_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(path.read_text()))
    LabelLog(path).set("a.png", "keep")
    assert '"a.png"' in synced[0]
    assert len(synced) == 2, "the new file's name must be on the disk too"


def test_a_label_that_cannot_be_written_does_not_count(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = LabelLog(path)
    log.set("a.png", "keep")
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match=r"anna\.jsonl: cannot be written \(No space left"):
        log.set("b.png", "keep")
    assert path.read_bytes() == before
    assert log.labels == {"a.png": "keep"}


@pytest.mark.parametrize("torn", ['{"at": "2026', '{"at": "2026-01-01T10:00:01+00:00", "file": "\\ud8', "\0\0\0"])
def test_a_torn_last_line_is_cut_off(path: Path, torn: str) -> None:
    write(path, LINE + torn)
    assert read_labels(path.parent.parent) == {"anna": {"a.png": "keep"}}
    assert path.read_text() == LINE + torn, "reading must not change the file"
    log = LabelLog(path)
    assert path.read_text() == LINE
    log.set("b.png", "drop")
    assert LabelLog(path).labels == {"a.png": "keep", "b.png": "drop"}


def test_a_file_with_only_a_torn_line_becomes_empty(path: Path) -> None:
    write(path, '{"at"')
    assert LabelLog(path).labels == {}
    assert path.read_bytes() == b""


def test_a_complete_last_line_without_its_end_is_kept(path: Path) -> None:
    write(path, LINE.rstrip("\n"))
    assert LabelLog(path).labels == {"a.png": "keep"}
    assert path.read_text() == LINE


@pytest.mark.parametrize("wrong", [
    "nonsense", "{}", "[]", '{"at": 1, "file": "a", "label": "keep"}', LINE.strip().replace("keep", "maybe"),
    '{"at": NaN, "file": "a", "label": ""}', "[" * 5000, '{"at": ' + "9" * 5000, '"\\ud800"', "\0" * 50,
    LINE.strip().replace("a.png", "a\\u0000.png"), LINE.strip().replace("a.png", "x" * 2000),
    LINE.strip().replace("+00:00", ""), LINE.strip().replace('"a.png"', "7"),
])  # fmt: skip
def test_a_wrong_line_within_is_named(path: Path, wrong: str) -> None:
    write(path, LINE + wrong + "\n" + LINE)
    with pytest.raises(FileError, match=r"anna\.jsonl: line 2 is .* expected"):
        LabelLog(path)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a.b", ".lock", " a", "a  b", "a\n", "a" * 33])
def test_a_raters_name_cannot_be_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="expected at most 32 letters"):
        log_path(tmp_path, name)


def test_raters_may_have_ordinary_names(tmp_path: Path) -> None:
    for name in ("Zoë", "anna-maria", "J Smith", "r_2"):
        LabelLog(log_path(tmp_path, name)).set("a.png", "keep")
    (tmp_path / "labels" / "notes.txt").write_text("mine")
    assert raters_of(tmp_path) == ["J Smith", "Zoë", "anna-maria", "r_2"]


def test_the_pace_ignores_pauses(path: Path) -> None:
    times = (f"2026-01-01T10:{second // 60:02}:{second % 60:02}+00:00" for second in (0, 2, 4, 604, 606))
    write(path, "".join(f'{{"at": "{at}", "file": "{at}", "label": "keep"}}\n' for at in times))
    assert LabelLog(path).seconds_each == 2


def test_a_clock_that_is_set_back_changes_neither_order_nor_pace(path: Path) -> None:
    hours = (12, 12, 3, 3, 3)
    times = [f"2026-01-01T{hour:02}:00:{n:02}+00:00" for n, hour in enumerate(hours)]
    write(path, "".join(f'{{"at": "{at}", "file": "{n}", "label": "keep"}}\n' for n, at in enumerate(times)))
    write(path, path.read_text() + '{"at": "1970-01-01T00:00:00+00:00", "file": "0", "label": "drop"}\n')
    assert list(LabelLog(path).labels.items())[-1] == ("0", "drop")
    assert LabelLog(path).seconds_each == 1


@given(st.lists(lines_of_labels(), max_size=8), st.integers(0, 60))
def test_any_labels_are_read_and_a_torn_end_loses_one(
    tmp_path_factory: pytest.TempPathFactory, lines: list[dict[str, Any]], cut: int
) -> None:
    path = tmp_path_factory.mktemp("set") / "labels" / "anna.jsonl"
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    last = len(json.dumps(lines[-1])) if lines else 0
    path.parent.mkdir()
    path.write_bytes(content[: len(content) - min(cut, last)])
    wanted: dict[str, Decision] = {}
    for line in lines if cut <= 1 else lines[:-1]:
        wanted.pop(line["file"], None)
        wanted |= {line["file"]: line["label"]} if line["label"] else {}
    assert list(LabelLog(path).labels.items()) == list(wanted.items())


def test_a_file_of_labels_that_is_a_pipe_is_refused(path: Path) -> None:
    path.parent.mkdir()
    make_pipe(path)
    with pytest.raises(FileError, match=r"anna\.jsonl: is a pipe"):
        LabelLog(path)


def test_the_pace_is_unknown_at_first(path: Path) -> None:
    log = LabelLog(path)
    log.set("a.png", "keep")
    log.set("b.png", "keep")
    assert log.seconds_each is None


ENDLESS = """
import itertools, sys
from pathlib import Path
from typing import Any
from facegen.data.curate.labels import LabelLog
log = LabelLog(Path(sys.argv[1]))
for number in itertools.count():
    log.set(f"{number}.png", "keep")
    print(number, flush=True)
"""


def test_a_killed_process_loses_no_label(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ENDLESS, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        saved = [int(process.stdout.readline()) for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        saved += [int(line) for line in process.stdout if line.endswith("\n")]
    labels = LabelLog(path).labels
    assert {f"{number}.png" for number in saved} <= set(labels)
    assert len(labels) <= len(saved) + 2


def test_agreement_is_over_the_faces_that_all_labelled() -> None:
    anna: dict[str, Decision] = {"a": "keep", "b": "drop", "c": "keep", "d": "", "e": "drop"}
    bert: dict[str, Decision] = {"a": "keep", "b": "drop", "c": "drop", "d": "keep"}
    found = agreement([anna, bert, {}])
    assert found is not None
    assert found.same == pytest.approx(2 / 3)
    assert found.faces == 3
    three = agreement([anna, bert, {"a": "keep", "b": "keep"}])
    assert three is not None
    assert (three.faces, three.same) == (2, 0.5)


def test_agreement_needs_two_raters_of_one_face() -> None:
    assert agreement([]) is None
    assert agreement([{"a": "keep"}, {"b": "keep"}]) is None
    assert agreement([{"a": "keep"}, {"a": ""}]) is None


@pytest.mark.parametrize(("labels", "expected"), [
    (["keep"], "keep"), (["keep", "drop"], ""), (["keep", "drop", "drop"], "drop"), (["", "drop"], "drop"), ([""], ""),
    ([], ""),
])  # fmt: skip
def test_the_majority_gives_the_label(labels: list[Decision], expected: Decision) -> None:
    assert majority(labels) == expected
