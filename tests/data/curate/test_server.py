"""The requests of the page: faces in order, labels, several raters, the summary, the export."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from facegen.data.curate.server import ASSETS
from facegen.data.manifest import TWIN, entries_of, read_manifest, write_manifest
from tests.data.curate.conftest import Visit, Visitor


def names(faces: list[dict[str, object]]) -> list[object]:
    return [face["name"] for face in faces]


def keys(visitor: Visitor) -> list[str]:
    """The keys of the three faces, in order of name."""
    return [face["key"] for face in visitor.faces("nobody")]


def test_the_page_and_its_files_are_sent(visitor: Visitor) -> None:
    assert "text/html" in visitor.get("/").headers["content-type"]
    for name, kind in ASSETS.items():
        answer = visitor.get(f"/page/{name}")
        assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, kind)
    on_disk = {item.name for item in (files("facegen.data.curate") / "page").iterdir()}
    assert on_disk == {*ASSETS, "index.html"}


def test_the_start_names_the_set_and_its_raters(visitor: Visitor) -> None:
    visitor.label(keys(visitor)[0], "keep", "bert")
    start = visitor.get("/api/start").json()
    assert (start["set"], start["rater"], start["raters"]) == ("heads", None, ["bert"])


def test_a_face_is_sent_as_a_jpeg(visitor: Visitor) -> None:
    answer = visitor.get(f"/pictures/{keys(visitor)[0]}?side=384")
    assert answer.headers["content-type"] == "image/jpeg"
    with Image.open(BytesIO(answer.content)) as picture:
        assert picture.size == (192, 192)


@pytest.mark.parametrize("side", ["0", "-1", "100", "100000", "x", ""])
def test_other_sides_are_refused(visitor: Visitor, side: str) -> None:
    assert visitor.get(f"/pictures/{keys(visitor)[0]}?side={side}").status_code == 422


def test_a_damaged_picture_is_explained(visitor: Visitor, head_folder: Path) -> None:
    (head_folder / "a.png").write_bytes(b"no picture")
    answer = visitor.get(f"/pictures/{keys(visitor)[0]}?side=384")
    assert answer.status_code == 404
    assert "not a picture of a known format" in answer.json()["detail"]


def test_labels_are_kept_and_the_rater_continues_after_them(visitor: Visitor, visit: Visit, head_folder: Path) -> None:
    a, b, c = keys(visitor)
    progress = visitor.label(b, "drop").json()
    assert (progress["total"], progress["keep"], progress["drop"]) == (3, 0, 1)
    assert '"b.png", "label": "drop"' in (head_folder / "labels" / "anna.jsonl").read_text()
    again = visit().get("/api/session?rater=anna").json()
    assert [face["key"] for face in again["faces"]] == [a, c]
    assert [(face["key"], face["label"]) for face in again["history"]] == [(b, "drop")]


def test_a_face_whose_label_is_removed_is_shown_again(visitor: Visitor, visit: Visit) -> None:
    first = keys(visitor)[0]
    visitor.label(first, "keep")
    assert visitor.label(first, "").json()["keep"] == 0
    assert len(visitor.faces()) == len(visit().faces()) == 3


def test_faces_are_sent_from_a_position_on(visitor: Visitor) -> None:
    assert names(visitor.get("/api/faces?rater=anna&start=1").json()) == ["b.png", "c.png"]
    assert visitor.get("/api/faces?rater=anna&start=3").json() == []
    assert visitor.get("/api/faces?rater=anna&start=-1").status_code == 422


def test_two_raters_do_not_see_each_other_until_the_summary(visitor: Visitor) -> None:
    a, b, _ = keys(visitor)
    for face, anna, bert in ((a, "keep", "keep"), (b, "drop", "keep")):
        visitor.label(face, anna, "anna")
        visitor.label(face, bert, "bert")
    assert names(visitor.faces("anna")) == names(visitor.faces("bert")) == ["c.png"]
    assert len(visitor.faces("cleo")) == 3
    summary = visitor.get("/api/summary").json()
    assert summary["total"] == 3
    assert {name: (one["keep"], one["drop"]) for name, one in summary["raters"].items()} == {
        "anna": (1, 1),
        "bert": (2, 0),
    }
    assert (summary["agreement"]["faces"], summary["agreement"]["same"]) == (2, 0.5)
    assert summary["disputed"] == 1


def test_disputed_faces_can_be_labelled_again(visitor: Visitor) -> None:
    a, b, _ = keys(visitor)
    for face, anna, bert in ((a, "keep", "keep"), (b, "drop", "keep")):
        visitor.label(face, anna, "anna")
        visitor.label(face, bert, "bert")
    disputed = visitor.get("/api/disputed?rater=anna").json()
    assert [(face["key"], face["label"]) for face in disputed] == [(b, "drop")]
    visitor.label(b, "keep", "anna")
    assert visitor.get("/api/disputed?rater=anna").json() == []


@pytest.mark.parametrize("change", [
    {"rater": "../anna"}, {"rater": ""}, {"rater": "a" * 33}, {"label": "maybe"}, {"label": None}, {"face": "a.png"},
    {"face": "x" * 65}, {"face": None},
])  # fmt: skip
def test_wrong_labels_are_refused(visitor: Visitor, head_folder: Path, change: dict[str, object]) -> None:
    body = {"rater": "anna", "face": keys(visitor)[0], "label": "keep"} | change
    answer = visitor.post("/api/labels", body)
    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert not (head_folder / "labels").exists()


def test_a_full_disk_is_reported_and_the_label_does_not_count(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = keys(visitor)[0]

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        answer = visitor.label(first, "keep")
    assert answer.status_code == 500
    assert "No space left on device" in answer.json()["detail"]
    assert len(visitor.faces()) == 3
    assert visitor.label(first, "keep").status_code == 200


def test_the_export_writes_the_majority_label(visitor: Visitor, head_folder: Path) -> None:
    given = {"anna": ("keep", "drop", "drop"), "bert": ("keep", "drop", "keep"), "cleo": ("drop", "drop", "")}
    faces = keys(visitor)
    for rater, labels in given.items():
        for face, label in zip(faces, labels, strict=True):
            visitor.label(face, label, rater)
    exported = visitor.post("/api/export", {}).json()
    assert exported == {"manifest": "manifest.csv", "keep": 1, "drop": 1, "ties": 1, "unlabelled": 0}
    entries = read_manifest(head_folder)
    assert [(entry.file, entry.label, entry.kept) for entry in entries] == [
        ("a.png", "keep", True), ("b.png", "drop", False), ("c.png", "", True),
    ]  # fmt: skip


def test_the_export_keeps_changes_by_other_commands(visitor: Visitor, head_folder: Path) -> None:
    """`facegen data clean` and `prepare` may run while the page is open."""
    visitor.label(keys(visitor)[0], "keep")
    entries = [replace(entry, decision="drop", label="drop", reasons=("dark",)) for entry in entries_of(head_folder)]
    write_manifest(head_folder, entries)
    exported = visitor.post("/api/export", {}).json()
    assert (exported["keep"], exported["unlabelled"]) == (1, 2)
    assert [(entry.label, entry.reasons) for entry in read_manifest(head_folder)] == [
        ("keep", ("dark",)), ("drop", ("dark",)), ("drop", ("dark",)),
    ]  # fmt: skip


def test_a_removed_label_is_also_removed_from_the_manifest(visitor: Visitor, head_folder: Path) -> None:
    first = keys(visitor)[0]
    for label in ("drop", ""):
        visitor.label(first, label)
        visitor.post("/api/export", {})
    assert {entry.label for entry in read_manifest(head_folder)} == {""}


def test_a_face_is_sent_with_the_reasons_of_clean(head_folder: Path, visit: Visit) -> None:
    a, b, c = entries_of(head_folder)
    dropped = replace(b, decision="drop", reasons=("dark", "duplicate"), extra={TWIN: "a.png"})
    write_manifest(head_folder, [a, dropped, c])
    face = next(face for face in visit().faces() if face["name"] == "b.png")
    assert (face["decision"], face["reasons"]) == ("drop", ["dark", "duplicate of a.png"])


def test_labels_of_missing_crops_do_not_count(visitor: Visitor, visit: Visit, head_folder: Path) -> None:
    for face in keys(visitor):
        visitor.label(face, "keep")
    (head_folder / "b.png").unlink()
    session = visit().get("/api/session?rater=anna").json()
    assert (session["progress"]["total"], session["progress"]["keep"]) == (2, 2)
    assert names(session["history"]) == ["a.png", "c.png"]


def test_names_that_are_not_utf8_are_shown(head_folder: Path, visit: Visit) -> None:
    (head_folder / "a.png").rename(head_folder / os.fsdecode(b"a\xff.png"))
    visitor = visit()
    face = visitor.faces()[0]
    assert face["name"] == "a\ufffd.png"
    assert visitor.get(f"/pictures/{face['key']}?side=384").status_code == 200
    assert visitor.label(face["key"], "keep").status_code == 200
