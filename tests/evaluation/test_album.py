"""The files of an album, its maps and its sheets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facegen.arrays import RGB
from facegen.errors import ShapeError
from facegen.evaluation.album import EYE, FULL, KINDS, SHOWN, SHOWN_SIDE, Album, close_up, difference_map, file_name
from facegen.media.images import read_image, resize
from tests.cli.conftest import leftovers


def flat(value: int, side: int = 64) -> RGB:
    """A grey picture."""
    return np.full((side, side, 3), value, np.uint8)


def files(folder: Path) -> set[str]:
    """The files below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_every_kind_of_file_is_written(tmp_path: Path, head: RGB) -> None:
    album = Album(tmp_path, KINDS, "Portraits")
    original = resize(head, (96, 96))
    album.add("me", resize(head, (12, 12)), {"a": flat(0, 96), "../b c": original}, original)
    sheets = album.sheets()
    single = {f"single/{column}/me.png" for column in ("input", "a", "b-c", "original")}
    other = {"row/me.png", "difference/me.png", "sheet.png", "close-ups.png", "differences.png"}
    assert files(tmp_path) == single | other
    assert not leftovers(tmp_path)
    np.testing.assert_array_equal(read_image(tmp_path / "single/original/me.png").rgb, original)
    np.testing.assert_array_equal(read_image(tmp_path / "row/me.png").rgb[:96, -96:], original)
    np.testing.assert_array_equal(read_image(tmp_path / "sheet.png").rgb, sheets[0].picture)
    assert [sheet.caption.partition(" ")[0] for sheet in sheets] == ["Portraits", "The", "Where"]


def test_the_input_is_shown_with_its_pixels(tmp_path: Path) -> None:
    low = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
    album = Album(tmp_path, ["single"], "")
    album.add("me", low, {"a": flat(0)})
    shown = read_image(tmp_path / "single/input/me.png").rgb
    np.testing.assert_array_equal(shown, low.repeat(16, axis=0).repeat(16, axis=1))


def test_nothing_is_written_that_was_not_asked_for(tmp_path: Path) -> None:
    album = Album(tmp_path, (), "Mine")
    assert album.sheets() == ()
    album.add("me", flat(0, 8), {"a": flat(0)})
    (sheet,) = album.sheets()  # one model and no original: nothing to compare with
    assert sheet.caption == "Mine"
    assert not files(tmp_path)


def test_without_an_original_maps_compare_with_the_first_model(tmp_path: Path) -> None:
    album = Album(tmp_path, ["difference"], "Mine")
    album.add("me", flat(0, 8), {"a": flat(10), "b": flat(10 + FULL)})
    shown, differences = album.sheets()
    assert shown.caption == "Mine"
    assert "differ from a:" in differences.caption
    brightest = difference_map(flat(0, 1), flat(FULL, 1))[0, 0]
    assert (read_image(tmp_path / "difference/me.png").rgb[:64, :64] == brightest).all()


def test_pictures_of_one_name_get_files_of_their_own(tmp_path: Path) -> None:
    album = Album(tmp_path, ["single"], "")
    for name, value in (("me", 10), ("Me", 20), ("me", 30)):
        album.add(name, flat(0, 8), {"a": flat(value)})
    written = {path.name: int(read_image(path).rgb[0, 0, 0]) for path in (tmp_path / "single/a").iterdir()}
    assert written == {"me.png": 10, "Me-2.png": 20, "me-3.png": 30}


def test_sheets_show_a_limited_number_of_pictures(tmp_path: Path) -> None:
    album = Album(tmp_path, (), "")
    for number in range(SHOWN + 2):
        album.add(str(number), flat(0, 8), {"a": flat(0)})
    (sheet,) = album.sheets()
    assert sheet.picture.shape[0] == SHOWN * (SHOWN_SIDE + SHOWN_SIDE // 10 + 4) - 4  # labels and gaps between


def test_difference_grows_from_black() -> None:
    apart = [0, 1, 8, FULL, 255]
    shades = [int(difference_map(flat(0, 1), flat(value, 1)).astype(int).sum()) for value in apart]
    assert shades == sorted(shades)
    assert shades[0] < 10
    assert shades[-2] == shades[-1] > 500
    with pytest.raises(ShapeError, match=r"shapes \(4, 4, 3\) and \(8, 8, 3\), expected the same"):
        difference_map(flat(0, 4), flat(0, 8))


def test_the_close_up_has_the_eye() -> None:
    picture = flat(0, 100)
    picture[44:48, 34:38] = 255  # the left eye of the FFHQ frame
    close = close_up(picture)
    assert close.shape[:2] == (round(100 * EYE[3]) - round(100 * EYE[1]), round(100 * EYE[2]) - round(100 * EYE[0]))
    assert (close == 255).sum() == 4 * 4 * 3


@pytest.mark.parametrize(("column", "name"), [("../a/b", "a-b"), ("jnet-8x", "jnet-8x"), ("..", "model")])
def test_columns_become_folders_inside(column: str, name: str) -> None:
    assert file_name(column) == name
