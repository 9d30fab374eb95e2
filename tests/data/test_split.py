"""Pictures are held out of training by person, by a fixed rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegen.arrays import RGB
from facegen.data.manifest import Entry, write_manifest
from facegen.data.split import (
    DataConfig,
    known_landmarks,
    load_square,
    person_of,
    read_split,
    shared_split,
    source_of,
    split,
    split_files,
    spread,
    training_files,
)
from facegen.errors import RecipeError, TrainingError, UsageError
from facegen.files import sha256_of
from facegen.media.images import resize, write_image

FACES = [Path("studio") / f"studio_{n:05d}.png" for n in range(40)]
LONDON = [Path("london") / f"london_{n:03d}.jpg" for n in range(204)]


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("london_000.jpg", "london_0"),
        ("london_102.jpg", "london_0"),
        ("deep/london_203.png", "london_101"),
        ("london_x.png", "london_x"),
        ("london_².png", "london_²"),  # a digit to Unicode, not to int()
        ("studio_00102.png", "studio_00102"),
        ("plain.png", "plain"),
    ],
)
def test_a_file_name_gives_the_person(name: str, person: str) -> None:
    assert person_of(Path(name)) == person


def test_a_file_name_gives_the_source() -> None:
    assert source_of(Path("a/new_york_001.png")) == "new_york"
    assert source_of(Path("plain.png")) == "plain"


@given(held_out=st.integers(0, 220))
def test_nobody_is_on_both_sides(held_out: int) -> None:
    training, out = split(LONDON, held_out)
    assert {person_of(p) for p in training}.isdisjoint(person_of(p) for p in out)
    assert sorted(training + out) == LONDON
    assert len(out) == min(held_out + held_out % 2, 204)  # two pictures show each person


@given(files=st.permutations(FACES))
def test_the_order_of_the_files_does_not_matter(files: list[Path]) -> None:
    assert split(files, 7) == split(FACES, 7)


def test_none_or_all_can_be_held_out() -> None:
    assert split(FACES, 0) == (FACES, [])
    assert split(FACES, 99) == ([], FACES)
    assert split([], 3) == ([], [])


def test_a_larger_number_holds_out_the_same_pictures_and_more() -> None:
    assert set(split(FACES, 5)[1]) < set(split(FACES, 9)[1])


def test_the_choice_is_the_same_on_every_machine() -> None:
    assert [p.stem for p in split(FACES, 4)[1]] == [f"studio_000{n}" for n in (11, 20, 31, 38)]


def test_another_rule_may_name_the_people() -> None:
    _, out = split(FACES, 3, person=lambda path: str(int(path.stem[-2:]) % 2))
    assert len(out) == 20
    assert len({int(path.stem[-1]) % 2 for path in out}) == 1


def test_spread_takes_items_at_even_distances_or_all() -> None:
    assert spread(range(10), 5) == [0, 2, 4, 6, 8]
    assert spread(range(7), 3) == [0, 2, 4]
    assert spread([1, 2], 9) == [1, 2]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Forty empty files, half of them below studio/."""
    for number in range(40):
        path = tmp_path / "data" / ("studio" if number % 2 else "varied") / f"me_{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "data"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def write_recipe(weights: Path, text: str) -> None:
    (weights / "recipe.toml").write_text(f'kind = "dcgan"\n[data]\n{text}\n', encoding="utf-8")


def test_the_split_is_that_of_the_training(data: Path, weights: Path) -> None:
    write_recipe(weights, 'include = ["studio/*"]\nheld_out = 16')
    found = read_split(data, weights, None, ())
    assert found.training == split_files(data, DataConfig(include=("studio/*",), held_out=16))[0]
    assert found.held_out
    assert {path.parent.name for path in found.held_out} == {"studio"}
    assert not set(found.training) & set(found.held_out)
    assert found.text == "16 held out by person of studio/* (stated by the weights' recipe)"


def test_options_override_the_recipe(data: Path, weights: Path) -> None:
    write_recipe(weights, 'include = ["studio/*"]\nheld_out = 16\nlimit = 3')
    found = read_split(data, weights, 10, ("*",))
    assert (len(found.held_out), len(found.training)) == (10, 30)
    assert found.text == "10 held out by person of * (stated by options)"


def test_options_suffice_without_a_recipe(data: Path, weights: Path) -> None:
    assert len(read_split(data, weights, 10, ()).held_out) == 10
    with pytest.raises(UsageError, match=r"has no recipe.toml .* say it yourself: --held-out 60"):
        read_split(data, weights, None, ("studio/*",))


def test_weights_trained_on_all_pictures_are_refused(data: Path, weights: Path) -> None:
    write_recipe(weights, "held_out = 0")
    with pytest.raises(UsageError, match=r"held no picture out, .* --set data.held_out=60, or name a number"):
        read_split(data, weights, None, ())


def test_wrong_tables_and_folders_are_named(data: Path, weights: Path) -> None:
    with pytest.raises(TrainingError, match="nowhere: no such folder"):
        read_split(data / "nowhere", weights, 4, ())
    write_recipe(weights, "heldout = 4")
    with pytest.raises(RecipeError, match=r'recipe.toml \[data\]: unknown key "heldout"; did you mean "held_out"'):
        read_split(data, weights, None, ())


def test_several_weights_share_a_split_or_are_refused(data: Path, weights: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_recipe(weights, "held_out = 16")
    write_recipe(other, "held_out = 16")
    assert shared_split(data, [weights, other], None, ()) == read_split(data, weights, None, ())
    write_recipe(other, "held_out = 8")
    with pytest.raises(UsageError, match=r"weights and .*other were trained on different pictures; name pictures that"):
        shared_split(data, [weights, other], None, ())
    assert len(shared_split(data, [weights, other], 8, ()).held_out) == 8


def test_without_weights_all_are_held_out_or_as_many_as_stated(data: Path, weights: Path) -> None:
    found = shared_split(data, [], None, ())
    assert (len(found.held_out), len(found.training)) == (40, 0)
    assert found.text == "all of *; no model says what it was trained on"
    assert len(shared_split(data, [], None, ("studio/*",)).held_out) == 20
    assert shared_split(data, [], 4, ()) == shared_split(data, [weights], 4, ())
    with pytest.raises(TrainingError, match="no such folder"):
        shared_split(data / "none", [], None, ())


class TestTrainingFiles:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in ("studio/a.png", "studio/deep/b.JPG", "web/c.png", "web/notes.txt", "d.webp"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    def names(self, folder: Path, **config: Any) -> list[str]:
        return [f.relative_to(folder).as_posix() for f in training_files(folder, DataConfig(**config))]

    def test_patterns_and_a_limit_select_files(self, folder: Path) -> None:
        assert self.names(folder) == ["d.webp", "studio/a.png", "studio/deep/b.JPG", "web/c.png"]
        assert self.names(folder, include=["studio/*"]) == ["studio/a.png", "studio/deep/b.JPG"]
        assert self.names(folder, include=["*.webp", "web/*"]) == ["d.webp", "web/c.png"]
        assert self.names(folder, limit=1) == ["d.webp"]

    def test_held_out_pictures_do_not_depend_on_the_pattern(self, folder: Path) -> None:
        kept = set(self.names(folder, held_out=2))
        assert len(kept) == 2
        assert set(self.names(folder, held_out=2, include=["*/*", "*.webp"])) == kept

    def test_a_folder_without_training_pictures_is_refused(self, folder: Path) -> None:
        with pytest.raises(TrainingError, match=r"of 4 pictures, none to train on matches film/\*; 0 are held out"):
            training_files(folder, DataConfig(include=("film/*",)))
        with pytest.raises(TrainingError, match=r"none to train on matches \*; 4 are held out"):
            training_files(folder, DataConfig(held_out=9))

class TestSets:
    """Folders with a manifest."""

    ENTRIES = (
        Entry("pictures/ann-1.png", "ann.jpg"),
        Entry("pictures/ann-2.png", "ann.jpg", face=2),
        Entry("pictures/bob-1.png", "bob.jpg", decision="drop"),
        Entry("pictures/cat-1.png", "cat.jpg", decision="drop", label="keep"),
        Entry("pictures/dan-1.png", "dan.jpg", label="drop"),
    )

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A manifest without its pictures, which are not read."""
        write_manifest(tmp_path, self.ENTRIES)
        (tmp_path / "pictures").mkdir()
        (tmp_path / "pictures" / "stray.png").touch()
        return tmp_path

    def names(self, folder: Path, **config: Any) -> tuple[list[str], ...]:
        return tuple([file.stem for file in side] for side in split_files(folder, DataConfig(**config)))

    def test_kept_crops_are_trained_on(self, folder: Path) -> None:
        assert self.names(folder) == (["ann-1", "ann-2", "cat-1"], [])

    def test_patterns_match_paths_below_the_set(self, folder: Path) -> None:
        assert self.names(folder, include=["pictures/c*"]) == (["cat-1"], [])

    def test_crops_of_one_photo_are_on_one_side(self, folder: Path) -> None:
        for held_out in range(3):
            sides = self.names(folder, held_out=held_out)
            assert sorted(sides[0] + sides[1]) == ["ann-1", "ann-2", "cat-1"]
            assert len({"ann-1", "ann-2"} & set(sides[0])) in (0, 2)

    def test_decisions_do_not_change_who_is_held_out(self, folder: Path) -> None:
        write_manifest(folder, [Entry(e.file, e.source) for e in self.ENTRIES])
        before = self.names(folder, held_out=2)
        write_manifest(folder, self.ENTRIES)
        after = self.names(folder, held_out=2)
        assert set(after[1]) <= set(before[1])
        assert set(after[0]) <= set(before[0])

    def test_landmarks_are_shares_of_the_side(self, folder: Path) -> None:
        points = tuple((float(n), 2.0 * n) for n in range(68))
        write_manifest(folder, [Entry("a.png", "a", landmarks=points, size=100), Entry("b.png", "b")])
        known = known_landmarks(folder)
        assert known.keys() == {folder / "a.png"}
        np.testing.assert_allclose(known[folder / "a.png"], np.array(points) / 100)
        assert known_landmarks(folder / "pictures") == {}

    def test_landmarks_of_an_edited_crop_are_omitted_and_reported(self, folder: Path) -> None:
        points = tuple((n % 8.0, n // 9.0) for n in range(68))
        names = ("same.png", "edited.png")
        for name in names:
            (folder / name).write_bytes(name.encode())
        sums = (sha256_of(folder / names[0]), sha256_of(folder / names[0]))
        entries = [Entry(n, n, landmarks=points, size=8, sha256=s) for n, s in zip(names, sums, strict=True)]
        write_manifest(folder, entries)
        warnings: list[str] = []
        assert known_landmarks(folder, warnings.append).keys() == {folder / "same.png"}
        [warning] = warnings
        assert "edited.png: 1 crop(s) changed since their landmarks were found" in warning


class TestLoadSquare:
    def test_pictures_are_resized_to_the_side(self, head_folder: Path, head: RGB) -> None:
        pictures, kept = load_square(sorted(head_folder.iterdir()), 192)
        np.testing.assert_array_equal(pictures[0], head)
        assert kept == sorted(head_folder.iterdir())
        assert load_square(kept, 24)[0].shape == (3, 24, 24, 3)

    def test_enlarged_pictures_are_counted(self, head_folder: Path, head: RGB) -> None:
        write_image(head_folder / "d.png", resize(head, (200, 200)))
        warnings: list[str] = []
        load_square(sorted(head_folder.iterdir()), 200, warnings.append)
        assert warnings == ["3 of 4 pictures are smaller than 200 px: enlarged, they lack its detail."]

    def test_unusable_pictures_are_reported_and_omitted(self, head_folder: Path, head: RGB) -> None:
        write_image(head_folder / "wide.png", np.ascontiguousarray(head[:100]))
        (head_folder / "damaged.png").write_bytes((head_folder / "a.png").read_bytes()[:500])
        (head_folder / "empty.png").touch()
        warnings: list[str] = []
        pictures, kept = load_square(sorted(head_folder.iterdir()), 32, warnings.append)
        assert len(pictures) == 3
        assert [file.stem for file in kept] == ["a", "b", "c"]
        assert len(warnings) == 3
        assert "damaged.png" in warnings[0]
        assert "empty.png" in warnings[1]
        assert "wide.png: 192x100 is not square; aligned head crops are expected" in warnings[2]

    def test_files_without_a_usable_picture_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "empty.png").touch()
        with pytest.raises(TrainingError, match="None of the 1 pictures could be used"):
            load_square([tmp_path / "empty.png"], 32, lambda _: None)
