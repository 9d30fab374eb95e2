"""A set is measured once and decided on often; damaged crops and caches fail alone."""

from __future__ import annotations

import contextlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.arrays import RGB
from facegen.data.clean.cleaning import FINGERPRINTS, Cleaning, Fingerprints
from facegen.data.clean.judge import DETECTORS, PICTURE_WISE
from facegen.data.manifest import TWIN, Entry, read_manifest, write_manifest
from facegen.errors import FileError
from facegen.jobs import Outcome
from facegen.media.images import write_image


def clean(folder: Path, per_person: int | None = None) -> tuple[list[Entry], list[Outcome]]:
    """The entries with decisions, and the outcomes of measuring."""
    cleaning = Cleaning(folder)
    outcomes = list(cleaning.measure(cleaning.unmeasured(), 1))
    pairs = cleaning.near_pairs()
    outcomes += cleaning.embed(cleaning.unembedded(pairs, everybody=per_person is not None), 1)
    return cleaning.decide(pairs, DETECTORS, per_person), outcomes


def test_a_plain_folder_becomes_a_set(crops: Path) -> None:
    entries, _ = clean(crops)
    written = read_manifest(crops)
    assert [(e.decision, e.reasons, e.measures) for e in written] == [
        (e.decision, e.reasons, e.measures) for e in entries
    ]
    by_file = {entry.file: entry for entry in entries}
    assert by_file["mirrored.png"].kept
    assert by_file["grey.png"].reasons[0] == "grey"
    twins = sorted([by_file["a.png"], by_file["b.png"]], key=lambda entry: entry.decision)
    assert [twin.decision for twin in twins] == ["drop", "keep"]
    assert twins[0].extra[TWIN] == twins[1].file
    assert all(len(e.landmarks) == 68 and e.size == 192 and len(e.sha256) == 64 for e in entries)


def test_a_run_without_news_measures_nothing_and_writes_the_same_bytes(crops: Path) -> None:
    clean(crops, per_person=2)
    clean(crops, per_person=2)  # the manifest turns some integers of a plain folder's entries into floats
    before = (crops / "manifest.csv").read_bytes()
    _, outcomes = clean(crops, per_person=2)
    assert outcomes == []
    assert (crops / "manifest.csv").read_bytes() == before


def test_only_a_changed_crop_is_measured_again(crops: Path, portrait: RGB) -> None:
    before = {entry.file: entry for entry in clean(crops)[0]}
    write_image(crops / "mirrored.png", np.ascontiguousarray(portrait[::-1] // 8))
    cleaning = Cleaning(crops)
    assert [task.source.name for task in cleaning.unmeasured()] == ["mirrored.png"]
    after = {entry.file: entry for entry in clean(crops)[0]}
    assert "dark" in after["mirrored.png"].reasons
    assert after["mirrored.png"].landmarks != before["mirrored.png"].landmarks
    assert after["mirrored.png"].sharpness < before["mirrored.png"].sharpness / 10
    assert after["grey.png"] == before["grey.png"]


def test_known_landmarks_are_used(crops: Path, points: NDArray[np.float64]) -> None:
    known = tuple((float(x), float(y)) for x, y in (points + 40).round(2))
    write_manifest(crops, [Entry("a.png", "a.png", landmarks=known)])
    (entry,), _ = clean(crops)
    assert entry.landmarks == known


def test_a_damaged_crop_fails_alone_and_keeps_no_decision(crops: Path) -> None:
    (crops / "b.png").write_bytes(b"no picture")
    entries, outcomes = clean(crops)
    assert [outcome.source.name for outcome in outcomes if outcome.error] == ["b.png"]
    assert len(entries) == 3
    assert {entry.file: entry.decision for entry in read_manifest(crops)}["b.png"] == ""


def test_measures_from_before_a_stop_are_kept(crops: Path) -> None:
    cleaning = Cleaning(crops)
    with closing(cleaning.measure(cleaning.unmeasured(), 1)) as outcomes:
        first = next(outcomes).source
    assert first not in {task.source for task in Cleaning(crops).unmeasured()}
    assert len(Cleaning(crops).unmeasured()) == 3


def test_crops_with_measures_of_another_version_are_measured_again(crops: Path) -> None:
    entries, _ = clean(crops)
    write_manifest(crops, [replace(entry, measures=entry.measures | {"version": 0.0}) for entry in entries])
    assert len(Cleaning(crops).unmeasured()) == 4
    assert entries[0].measures.keys() >= PICTURE_WISE.keys()


@pytest.fixture
def saved(tmp_path: Path) -> Fingerprints:
    """The fingerprints of one crop, written to a file."""
    found = Fingerprints(tmp_path)
    found.hashes["a" * 64] = np.arange(32, dtype=np.uint8)
    found.embeddings["a" * 64] = np.linspace(0, 1, 128)
    found.save()
    return found


def test_fingerprints_are_read_as_they_were_written(tmp_path: Path, saved: Fingerprints) -> None:
    again = Fingerprints(tmp_path)
    assert np.array_equal(again.hashes["a" * 64], saved.hashes["a" * 64])
    assert np.array_equal(again.embeddings["a" * 64], saved.embeddings["a" * 64])


NAMES = np.array(["a" * 64])


@pytest.mark.parametrize(("changed", "reason"), [
    ({"hashes": np.zeros((1, 31), np.uint8)}, r"uint8 of shape \(1, 31\), expected uint8 of shape \(N, 32\)"),
    ({"hashes": np.zeros((2, 32), np.uint8)}, "expected uint8"), ({"hashes": np.zeros((1, 32))}, "float64"),
    ({"embeddings": np.full((1, 128), np.nan)}, "not finite"), ({"embeddings": np.zeros(128)}, "expected float64"),
    ({"hashed": np.array([7])}, "expected uint8"), ({"hashed": np.array(7)}, "expected uint8"),
    ({"hashes": np.array([{}])}, "allow_pickle"),
])  # fmt: skip
def test_a_cache_of_other_shapes_and_numbers_is_refused(tmp_path: Path, changed: dict[str, Any], reason: str) -> None:
    whole = {"hashed": NAMES, "hashes": np.zeros((1, 32), np.uint8)}
    whole |= {"embedded": NAMES, "embeddings": np.zeros((1, 128))}
    np.savez(tmp_path / FINGERPRINTS, **(whole | changed))
    with pytest.raises(FileError, match=rf"clean\.npz: cannot be read \(.*{reason}.*\); delete it"):
        Fingerprints(tmp_path)


def test_any_damage_to_the_cache_is_a_file_error(saved: Fingerprints) -> None:
    content, rng = saved.path.read_bytes(), np.random.default_rng(0)
    for _ in range(300):
        damaged = np.frombuffer(content, np.uint8).copy()[: rng.integers(1, len(content) + 1)]
        where = rng.integers(0, len(damaged), rng.integers(0, 8))
        damaged[where] = rng.integers(0, 256, len(where))
        saved.path.write_bytes(damaged.tobytes())
        with contextlib.suppress(FileError), np.errstate(all="ignore"):
            Fingerprints(saved.path.parent)
    saved.path.write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(FileError, match="delete it"):
        Fingerprints(saved.path.parent)


def test_a_crop_too_small_to_measure_fails_alone(crops: Path, portrait: RGB) -> None:
    for side in (1, 5, 31):
        write_image(crops / f"tiny-{side}.png", portrait[:side, :side])
    entries, outcomes = clean(crops)
    failed = [outcome.error for outcome in outcomes if outcome.error]
    assert len(entries) == 4
    assert all("tiny" in error and "expected at least 32 px" in error for error in failed)
    assert not [outcome.trace for outcome in outcomes if outcome.trace]
