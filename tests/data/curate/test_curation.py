"""Pictures are sent small and only from inside the set; faces near a threshold come first."""

from __future__ import annotations

import random
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facegen.arrays import RGB
from facegen.data.curate.curation import Pictures, doubtful_first, face_key
from facegen.data.manifest import DOUBT, Entry, entries_of
from facegen.errors import ImageError
from facegen.media.images import write_image


def key(folder: Path, file: str = "a.png") -> str:
    return face_key(folder.resolve(), file)


def size_of(content: bytes) -> tuple[int, int]:
    with Image.open(BytesIO(content)) as picture:
        assert picture.format == "JPEG"
        return picture.size


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_pictures_are_reduced_to_the_side_and_never_enlarged(tmp_path: Path, suffix: str, head: RGB) -> None:
    write_image(tmp_path / f"a{suffix}", np.ascontiguousarray(np.tile(head, (5, 4, 1))))  # 768 x 960
    pictures = Pictures(tmp_path, entries_of(tmp_path))
    assert size_of(pictures.jpeg(key(tmp_path, f"a{suffix}"), 384)) == (307, 384)
    assert size_of(pictures.jpeg(key(tmp_path, f"a{suffix}"), 2048)) == (768, 960)


def test_colours_are_kept(head_folder: Path, head: RGB) -> None:
    content = Pictures(head_folder, entries_of(head_folder)).jpeg(key(head_folder), 384)
    with Image.open(BytesIO(content)) as picture:
        assert np.abs(np.asarray(picture).astype(int) - head).mean() < 3


def test_versions_are_made_once_and_memory_is_bounded(head_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facegen.data.curate.curation.CACHED", 1)
    entries = entries_of(head_folder)
    first, second = key(head_folder), key(head_folder, "b.png")
    pictures = Pictures(head_folder, entries)
    pictures.jpeg(first, 384)
    (head_folder / "a.png").unlink()
    pictures.jpeg(first, 384)
    pictures.jpeg(second, 384)  # replaces the first in memory
    with pytest.raises(ImageError, match=r"a\.png: no such file in the set"):
        pictures.jpeg(first, 384)


def test_keys_of_another_set_are_refused(head_folder: Path, tmp_path: Path) -> None:
    pictures = Pictures(head_folder, entries_of(head_folder))
    assert pictures.file_of(key(head_folder)) == "a.png"
    for other in (key(tmp_path), "a.png", "../heads/a.png", ""):
        assert pictures.file_of(other) is None
        with pytest.raises(ImageError, match="is not in this set"):
            pictures.jpeg(other, 384)


@pytest.mark.parametrize("file", ["../secret.png", "link.png", "folder/secret.png"])
def test_files_outside_the_set_are_refused(head_folder: Path, head: RGB, file: str) -> None:
    write_image(head_folder.parent / "secret.png", head)
    (head_folder / "link.png").symlink_to(head_folder.parent / "secret.png")
    (head_folder / "folder").symlink_to(head_folder.parent)
    with pytest.raises(ImageError, match="leads out of the set"):
        Pictures(head_folder, [Entry(file, file)]).jpeg(key(head_folder, file), 384)


def test_a_link_within_the_set_is_followed(head_folder: Path) -> None:
    (head_folder / "link.png").symlink_to("a.png")
    assert Pictures(head_folder, entries_of(head_folder)).jpeg(key(head_folder, "link.png"), 384)


def test_links_in_a_circle_are_refused(head_folder: Path) -> None:
    (head_folder / "one.png").symlink_to("two.png")
    (head_folder / "two.png").symlink_to("one.png")
    with pytest.raises(ImageError, match=r"one\.png: no such file"):
        Pictures(head_folder, [Entry("one.png", "one.png")]).jpeg(key(head_folder, "one.png"), 384)


def entry(name: str, doubt: float) -> Entry:
    """An entry after `facegen data clean`."""
    reasons = ("blurred",) if doubt >= 1 else ()
    return Entry(name, name, decision="drop" if reasons else "keep", reasons=reasons, measures={DOUBT: doubt})


def names(entries: list[Entry]) -> list[str]:
    return [item.file for item in entries]


def test_entries_near_the_threshold_come_first_on_either_side() -> None:
    entries = [entry(f"{doubt}", doubt) for doubt in (0.0, 0.5, 0.98, 1.0, 1.01, 1.4, 7.0)]
    assert names(doubtful_first(entries)) == ["1.0", "1.01", "0.98", "1.4", "0.5", "0.0", "7.0"]


def test_entries_without_a_decision_come_first() -> None:
    assert names(doubtful_first([entry("near", 1.01), Entry("new", "new")])) == ["new", "near"]


def test_entries_dropped_without_a_measure_come_last() -> None:
    crowd = Entry("crowd", "crowd", decision="drop", reasons=("person",), measures={DOUBT: 0.99})
    assert names(doubtful_first([crowd, entry("good", 0.1)])) == ["good", "crowd"]


def test_without_decisions_the_least_sharp_come_first() -> None:
    entries = [Entry(name, name, sharpness=value) for name, value in (("a", 3.0), ("b", 1.0), ("c", 2.0))]
    assert names(doubtful_first(entries)) == ["b", "c", "a"]


def test_a_plain_folder_is_sorted_by_name() -> None:
    entries = [Entry(name, name) for name in "abcdef"]
    random.Random(1).shuffle(entries)
    assert names(doubtful_first(entries)) == list("abcdef")
