"""The manifest is read as it was written, and errors in it are named by line and column."""

from __future__ import annotations

import contextlib
import csv
import json
import math
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegen.data import reading
from facegen.data.manifest import MANIFEST, Decision, Entry, entries_of, read_manifest, write_manifest
from facegen.errors import FileError
from tests.conftest import make_pipe
from tests.data.strategies import HOSTILE, entries, names

POINTS = tuple((float(n), n + 0.25) for n in range(68))
FULL = Entry(
    file='pictures/Ann, "the" first-1-0a1b2c3d.png',
    source="a/Ann.jpg",
    source_sha256="ab" * 32,
    face=2,
    frame=(10.5, 20.25, 300.0, -3.5),
    landmarks=POINTS,
    size=768,
    sharpness=0.00123,
    sha256="cd" * 32,
    decision="drop",
    reasons=("blurred", "too dark"),
    measures={"blurred": 0.5, "pose": -12.25},
    label="keep",
    extra={"rater": "Zoë", "note": "two\nlines"},
)
LEAST = Entry(file="b.png", source="b.png")


def edit(folder: Path, old: str, new: str) -> None:
    path = folder / MANIFEST
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_entries_are_read_as_they_were_written(tmp_path: Path) -> None:
    entries = [FULL, replace(LEAST, extra={"rater": "", "note": ""})]
    assert write_manifest(tmp_path, entries) == tmp_path / MANIFEST
    assert read_manifest(tmp_path) == entries
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST]


@given(st.lists(entries(), max_size=4, unique_by=lambda entry: entry.file), names(), names())
def test_any_set_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, found: list[Entry], column: str, text: str
) -> None:
    """Also with an unknown column, whose name and text may be anything."""
    folder = tmp_path_factory.mktemp("set")
    found = [replace(entry, extra={f"my {column}": text}) for entry in found]
    write_manifest(folder, found)
    assert read_manifest(folder) == found


@given(st.sampled_from([f.name for f in fields(Entry) if f.name != "extra"]), st.sampled_from(HOSTILE))
def test_a_hostile_cell_is_refused_or_kept(tmp_path_factory: pytest.TempPathFactory, column: str, text: str) -> None:
    folder = tmp_path_factory.mktemp("set")
    row = {"file": "a.png", "source": "a.jpg", column: text}
    with (folder / MANIFEST).open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        csv.writer(file).writerows([row.keys(), row.values()])
    found: list[Entry] = []
    with contextlib.suppress(FileError):
        found = read_manifest(folder)
    write_manifest(folder, found)
    assert read_manifest(folder) == found


@pytest.mark.parametrize(
    ("column", "text", "reason"),
    [
        ("sharpness", "NaN", "finite number"),
        ("frame", "[0,0,Infinity,0]", "finite number"),
        ("measures", '{"dark":-Infinity}', "finite number"),
        ("size", "9" * 5000, ""),
        ("size", "-1", "greater than or equal to 0"),
        ("landmarks", "[[1,1]]", "1 points, expected 68 or none"),
        ("landmarks", json.dumps([[1, 1]] * 68), "all points in one place"),
        ("landmarks", json.dumps([[n, math.nan] for n in range(68)]), "points that are not finite"),
        ("landmarks", "[" * 5000, ""),
        ("file", "a\0b.png", "no character NUL"),
        ("file", "é" * 128, "at most 255 bytes"),
        ("file", "/".join("x" * 200 for _ in range(6)), "a path 1024"),
        ("source", "a\0b.jpg", "no character NUL"),
    ],
)
def test_impossible_values_are_refused(tmp_path: Path, column: str, text: str, reason: str) -> None:
    row = {"file": "a.png", "source": "a.jpg", column: text}
    with (tmp_path / MANIFEST).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([row.keys(), row.values()])
    with pytest.raises(FileError, match=rf"manifest\.csv: line 2, column {column}: .* is wrong: .*{reason}"):
        read_manifest(tmp_path)


def test_landmarks_far_outside_the_crop_are_refused(tmp_path: Path) -> None:
    points = tuple((9999.0 + n, float(n)) for n in range(68))
    write_manifest(tmp_path, [replace(LEAST, landmarks=points, size=64)])
    with pytest.raises(FileError, match="column landmarks: points far outside the crop of 64 px"):
        read_manifest(tmp_path)
    write_manifest(tmp_path, [replace(LEAST, landmarks=points)])
    assert read_manifest(tmp_path)[0].landmarks == points, "the crop's size is unknown"


@pytest.mark.parametrize("text", ["=cmd|'/c calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "'=1", "＝1+1"])
def test_no_cell_is_a_formula(tmp_path: Path, text: str) -> None:
    entry = Entry(file=text.replace("/", "|"), source=text, extra={text: text, "sum": "-3.5"})
    write_manifest(tmp_path, [entry])
    with (tmp_path / MANIFEST).open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert [cell for cell in cells if cell[:1] in "=+-@\t＝"] == ["", "", "", "", "-3.5"], "numbers stay numbers"
    assert read_manifest(tmp_path) == [entry]


def test_a_manifest_without_escaped_formulas_is_read(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("file,source,mine\n=1.png,-x.jpg,'quoted'\n", encoding="utf-8")
    assert read_manifest(tmp_path) == [Entry("=1.png", "-x.jpg", extra={"mine": "'quoted'"})]


def test_pipes_and_huge_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_pipe(tmp_path / MANIFEST)
    with pytest.raises(FileError, match=r"manifest\.csv: is a pipe"):
        read_manifest(tmp_path)
    (tmp_path / MANIFEST).unlink()
    write_manifest(tmp_path, [LEAST])
    monkeypatch.setattr(reading, "LARGEST_FILE", 10)
    with pytest.raises(FileError, match="expected at most 10"):
        read_manifest(tmp_path)


def test_names_that_are_not_utf8_keep_their_bytes(tmp_path: Path) -> None:
    entry = Entry(file="caf\udce9.png", source="caf\udce9.jpg")
    write_manifest(tmp_path, [entry])
    assert b"caf\xe9.png" in (tmp_path / MANIFEST).read_bytes()
    assert read_manifest(tmp_path) == [entry]


def test_lists_are_json_in_a_table_that_any_program_reads(tmp_path: Path) -> None:
    write_manifest(tmp_path, [FULL])
    with (tmp_path / MANIFEST).open(encoding="utf-8", newline="") as file:
        [row] = csv.DictReader(file)
    assert row["file"] == FULL.file
    assert json.loads(row["frame"]) == list(FULL.frame)
    assert json.loads(row["landmarks"])[67] == [67.0, 67.25]
    assert row["decision"] == "drop"
    assert json.loads(row["measures"]) == FULL.measures


def test_a_table_with_few_columns_and_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("\ufeffsource,file,label,mine\r\np.jpg,p.png,drop,7\r\nq.jpg,q.png,,\r\n", "utf-8")
    first, second = read_manifest(tmp_path)
    assert first == Entry(file="p.png", source="p.jpg", label="drop", extra={"mine": "7"})
    assert not first.kept
    assert second.kept


def test_skipped_columns_are_not_read(tmp_path: Path) -> None:
    write_manifest(tmp_path, [FULL])
    assert read_manifest(tmp_path, without=("landmarks",)) == [replace(FULL, landmarks=())]
    edit(tmp_path, json.dumps(FULL.landmarks[0], separators=(",", ":")), "oops")
    assert entries_of(tmp_path, without=("landmarks",)) == [replace(FULL, landmarks=())]


@pytest.mark.parametrize(
    ("decision", "label", "kept"),
    [("", "", True), ("keep", "", True), ("drop", "", False), ("drop", "keep", True), ("keep", "drop", False)],
)
def test_a_label_overrides_a_decision(decision: Decision, label: Decision, kept: bool) -> None:
    assert replace(LEAST, decision=decision, label=label).kept is kept


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"[10.5,20.25,300.0,-3.5]"', "oval", r"line 2, column frame: 'oval' is wrong"),
        (",768,", ",large,", r"line 2, column size: 'large' is wrong"),
        (",drop,", ",dorp,", r"line 2, column decision: 'dorp' is wrong: .*'keep'"),
        ("b.png,b.png", "../b.png,b.png", r"line 3, column file: '\.\./b\.png' is wrong: .*below the set"),
        ("b.png,b.png", "/etc/b.png,b.png", r"line 3, column file"),
        ("b.png,b.png", ",b.png", r"line 3, column file"),
        ("b.png,b.png", "b.png", r"line 3 has 12 cells, expected 13"),
        ("b.png,b.png", '"b.png"x,b.png', r"line 3: not CSV"),
        ("file,source", "path,source", r"line 1 has no column 'file'"),
        ("file,source", "file,file", r"line 1 has no column 'source'"),
        ("decision,reasons", "decision,decision", r"line 1 has a column twice"),
    ],
)
def test_an_error_is_named_with_its_line_and_column(tmp_path: Path, old: str, new: str, message: str) -> None:
    write_manifest(tmp_path, [replace(FULL, file="a.png", extra={}), LEAST])
    edit(tmp_path, old, new)
    with pytest.raises(FileError, match=rf"manifest\.csv: {message}"):
        read_manifest(tmp_path)


def test_a_crop_in_two_rows_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path, [LEAST, LEAST])
    with pytest.raises(FileError, match=r"line 3, column file: 'b\.png' is there twice"):
        read_manifest(tmp_path)


def test_a_manifest_that_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such file; make the set with facegen data prepare"):
        read_manifest(tmp_path)
    with pytest.raises(FileError, match=r"none/manifest\.csv: cannot be written"):
        write_manifest(tmp_path / "none", [LEAST])


def test_a_plain_folder_has_an_entry_for_each_picture(tmp_path: Path) -> None:
    for name in ("b.png", "sub/a.JPG", "notes.txt", ".hidden/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert entries_of(tmp_path) == [LEAST, Entry(file="sub/a.JPG", source="sub/a.JPG")]
    write_manifest(tmp_path, [LEAST])
    assert entries_of(tmp_path) == [LEAST]


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"neither a manifest\.csv nor a picture"):
        entries_of(tmp_path)


def test_an_edited_crop_loses_its_measures_and_decision_but_not_its_label() -> None:
    entry = Entry(
        "a.png", "a.jpg", face=2, frame=(1, 2, 3, 4), landmarks=((1, 2),) * 68, size=64, sharpness=0.1, sha256="old",
        decision="drop", reasons=("dark",), measures={"dark": 0.1}, label="keep", extra={"mine": "1"},
    )  # fmt: skip
    assert entry.of_bytes("old") is entry
    assert Entry("a.png", "a.jpg", landmarks=((1, 2),)).of_bytes("new").landmarks == ((1, 2),)
    assert entry.of_bytes("new") == Entry(
        "a.png", "a.jpg", face=2, frame=(1, 2, 3, 4), sha256="new", label="keep", extra={"mine": "1"}
    )
