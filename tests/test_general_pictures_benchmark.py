"""The varied pictures of the study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import general_pictures
from benchmarks.general_pictures import find_files, main, shares, squares
from facegen.arrays import RGB
from facegen.data.split import source_of
from facegen.media.images import read_image, write_image


def test_scikit_images_pictures_are_found_and_none_shows_a_person() -> None:
    names = {file.stem for file in find_files()}
    assert {"brick", "chelsea", "coffee", "coins", "grass", "gravel", "moon", "rocket"} <= names
    assert not names & {"astronaut", "camera", "lfw_subset"}


def test_pictures_give_equally_many() -> None:
    assert shares("abc", 9) == {"a": 3, "b": 3, "c": 3}
    assert shares("abc", 11) == {"a": 4, "b": 4, "c": 3}


def test_squares_are_parts_of_the_picture(astronaut: RGB) -> None:
    flat = np.zeros((90, 120, 3), np.uint8)
    flat[:, :60] = 200
    cut = list(squares(flat, 40, 8, seed=1))
    assert all(square.shape == (40, 40, 3) for square in cut)
    assert len({square.tobytes() for square in squares(astronaut, 64, 8, seed=1)}) == 8
    for square, again in zip(cut, squares(flat, 40, 8, seed=1), strict=True):
        np.testing.assert_array_equal(square, again)
        assert set(np.unique(square[np.ix_([0, -1], [0, -1])])) <= {0, 200}


def test_the_command_writes_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], astronaut: RGB
) -> None:
    files = [write_image(tmp_path / "from" / f"{name}.png", astronaut[:s, :s]) for name, s in (("a_b", 80), ("c", 20))]
    monkeypatch.setattr(general_pictures, "find_files", lambda: files)
    out = tmp_path / "out"
    monkeypatch.setattr("sys.argv", ["general_pictures", "--out", str(out), "--count", "5", "--side", "32"])
    main()
    written = sorted(out.iterdir())
    assert [file.name for file in written] == [f"general-a-b_{number:04d}.png" for number in range(5)]
    assert {source_of(file) for file in written} == {"general-a-b"}
    assert read_image(written[0]).rgb.shape == (32, 32, 3)
    assert "c: smaller than 32 px, left out." in capsys.readouterr().out
