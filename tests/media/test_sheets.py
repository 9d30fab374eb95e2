"""Contact sheets."""

from fractions import Fraction

import numpy as np
import pytest

from facegen.arrays import RGB
from facegen.errors import UsageError
from facegen.media.images import resize
from facegen.media.sheets import COMPARED_SIDE, FILM_SHOWN, FilmSheet, before_after, contact_sheet


def solid(value: int, height: int = 10, width: int = 10) -> RGB:
    return np.full((height, width, 3), value, np.uint8)


@pytest.mark.parametrize(
    ("count", "columns", "shape"),
    [(1, None, (1, 1)), (5, None, (2, 3)), (9, None, (3, 3)), (5, 2, (3, 2)), (2, 9, (1, 2))],
)
def test_a_contact_sheet_is_a_grid(count: int, columns: int | None, shape: tuple[int, int]) -> None:
    sheet = contact_sheet([solid(10 * k) for k in range(count)], columns, gap=2)
    assert sheet.shape == (shape[0] * 12 - 2, shape[1] * 12 - 2, 3)
    for k in range(count):
        row, column = divmod(k, shape[1])
        assert (sheet[12 * row : 12 * row + 10, 12 * column : 12 * column + 10] == 10 * k).all()
    assert (sheet[10:12] == 255).all()


def test_contact_sheet_fits_pictures_into_squares() -> None:
    sheet = contact_sheet([solid(0, 20, 40), solid(0, 8, 8)], columns=2, side=16, gap=0)
    assert sheet.shape == (16, 32, 3)
    dark = sheet[..., 0] < 128
    assert dark[:, :16].sum() == 8 * 16
    assert dark[:, 16:].all()


def test_contact_sheet_centres_pictures_of_other_sizes() -> None:
    sheet = contact_sheet([solid(0, 20, 40), solid(0, 10, 10)], columns=1, gap=0)
    assert sheet.shape == (40, 40, 3)
    assert (sheet[25:35, 15:25] == 0).all()
    assert (sheet[20:25] == 255).all()


def test_contact_sheet_writes_labels_below() -> None:
    sheet = contact_sheet([solid(90, 40, 40)] * 2, labels=["seed 7", ""], gap=0)
    assert (sheet[:40] == 90).all()
    assert (sheet[40:, :40] < 128).any()
    assert (sheet[40:, 40:] == 255).all()


def test_contact_sheet_refuses_wrong_arguments() -> None:
    with pytest.raises(UsageError, match="0 pictures"):
        contact_sheet([])
    with pytest.raises(UsageError, match="columns=0"):
        contact_sheet([solid(0)], columns=0)
    with pytest.raises(UsageError, match="side=0"):
        contact_sheet([solid(0)], side=0)
    with pytest.raises(UsageError, match="label_height=0"):
        contact_sheet([solid(0)], label_height=0)
    with pytest.raises(UsageError, match="2 labels for 1 pictures"):
        contact_sheet([solid(0)], labels=["a", "b"])


def test_before_after_shows_the_enlarged_input_next_to_the_result(head: RGB) -> None:
    small = resize(head, (96, 96))
    sheet = before_after(small, head)
    assert sheet.shape == (192 + 16, 192 + 4 + 192, 3)
    assert (sheet[:192, 196:] == head).all()
    assert (sheet[:192, 192:196] == 255).all()
    assert np.abs(sheet[:192, :192].reshape(96, 2, 96, 2, 3).mean(axis=(1, 3)) - small).mean() < 2
    assert (sheet[192:, :192] < 128).any()
    assert (sheet[192:, 196:] < 128).any()


def test_before_after_of_a_large_picture_can_still_be_opened() -> None:
    sheet = before_after(solid(10, 3, 100), solid(90, 250, 2 * COMPARED_SIDE))
    assert sheet.shape == (125 + COMPARED_SIDE // 32, 2 * COMPARED_SIDE + 4, 3)
    assert (sheet[:125, :COMPARED_SIDE] == 10).all()
    assert (sheet[:125, COMPARED_SIDE + 4 :] == 90).all()


def test_film_sheet_shows_every_nth_frame_and_passes_all_on() -> None:
    sheet = FilmSheet(count=60, fps=Fraction(30))
    passed = list(sheet.watch(solid(4 * number, 8, 16) for number in range(60)))
    assert [int(frame[0, 0, 0]) for frame in passed] == [4 * number for number in range(60)]
    assert list(sheet.kept) == list(range(0, 60, 3))
    assert len(sheet.kept) <= FILM_SHOWN
    assert sheet.picture().shape == (4 * (96 + 16) + 3 * 4, 6 * 192 + 5 * 4, 3)
