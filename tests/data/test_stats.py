"""A set is counted, its kept crops are measured, and a page shows both; a head turned by known angles has these."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.arrays import RGB
from facegen.data.cutting import LeftOut, Photo, sharpness
from facegen.data.manifest import Entry, entries_of, write_manifest
from facegen.data.prepare import Ledger, save_ledger
from facegen.data.stats import (
    DISTANCE,
    LANDMARKS,
    TYPICAL_HEAD,
    Stats,
    head_pose,
    measure_set,
    summary_rows,
    write_page,
)
from facegen.errors import ImageError, ShapeError, UsageError
from facegen.media.images import resize, write_image
from tests.conftest import MIRROR, face_points


def measured(folder: Path, pictures: int = 100) -> tuple[Stats, list[str]]:
    warnings: list[str] = []
    return measure_set(folder, pictures, lambda: None, warnings.append), warnings


@pytest.fixture
def prepared(head_folder: Path) -> Path:
    """Three heads as a set: two dropped by clean, one of them kept by a person; a fourth head was too small."""
    points = tuple((x, y) for x, y in face_points(192).tolist())
    entries = [
        replace(entry, source="photo.jpg", frame=(90, 90, side, 0), landmarks=points, size=192, sharpness=0.5)
        for entry, side in zip(entries_of(head_folder), (200, 300, 400), strict=True)
    ]
    entries[1] = replace(entries[1], decision="drop", reasons=("too dark", "blurred"))
    entries[2] = replace(entries[2], decision="drop", reasons=("tinted",), label="keep")
    write_manifest(head_folder, entries)
    photo = Photo(bytes=1, modified=1, sha256="", faces=4, left_out=(LeftOut(4, 50, "too small"),))
    save_ledger(head_folder, Ledger(raw="raw", size=192, suffix=".png", photos={"photo.jpg": photo}))
    return head_folder


def test_a_plain_folder_is_measured_from_its_pictures(head_folder: Path, head: RGB) -> None:
    stats, warnings = measured(head_folder)
    assert warnings == []
    assert stats.counts == {"crops": 3, "kept": 3, "dropped": 0, "labelled by people": 0}
    assert stats.figures["size"].tolist() == [192] * 3
    assert stats.figures["sharpness"][0] == sharpness(head)
    bright, dark, _ = stats.figures["brightness"]
    assert dark == pytest.approx(bright / 2, abs=0.01)
    assert abs(stats.figures["yaw"][0]) < 30
    assert "side" not in stats.figures  # the photo is unknown


def test_the_mean_face_is_the_mean_of_all_crops(tmp_path: Path) -> None:
    for value in (0, 100, 200):
        write_image(tmp_path / f"{value}.png", np.full((64, 64, 3), value, np.uint8))
    stats, _ = measured(tmp_path)
    assert stats.read == 3
    assert stats.mean_face.shape == (256, 256, 3)
    assert (stats.mean_face == 100).all()
    np.testing.assert_allclose(stats.figures["brightness"], np.array([0, 100, 200]) / 255, atol=1e-6)


def test_a_set_is_described_by_its_manifest(prepared: Path) -> None:
    stats, _ = measured(prepared)
    assert stats.counts == {
        "crops": 3, "photos they are from": 1, "kept": 2, "dropped": 1, "labelled by people": 1,
        "dropped by clean: too dark": 1, "dropped by clean: blurred": 1, "left out by prepare: too small": 1,
    }  # fmt: skip
    assert stats.figures["side"].tolist() == [200, 400]
    assert stats.figures["sharpness"].tolist() == [0.5, 0.5]
    np.testing.assert_allclose(stats.figures["yaw"], 0, atol=0.5)  # the landmarks are symmetric


def test_an_edited_crop_is_measured_again(prepared: Path) -> None:
    write_manifest(prepared, [replace(entry, sha256="0" * 64) for entry in entries_of(prepared)])
    stats, _ = measured(prepared)
    assert stats.figures["size"].tolist() == [192, 192]
    assert 0.5 not in stats.figures["sharpness"]
    assert abs(stats.figures["yaw"]).max() > 0.5  # not from the manifest's symmetric landmarks


def test_a_limited_number_of_pictures_is_read(prepared: Path) -> None:
    stats, _ = measured(prepared, pictures=1)
    assert (stats.read, len(stats.figures["brightness"]), len(stats.figures["yaw"])) == (1, 1, 2)


def test_unreadable_pictures_are_reported(head_folder: Path, head: RGB) -> None:
    (head_folder / "a.png").write_bytes(b"no picture")
    write_image(head_folder / "wide.png", resize(head, (64, 32)))
    stats, warnings = measured(head_folder)
    assert stats.read == 2
    assert "a.png" in warnings[0]
    assert "wide.png: 64x32 is not square; aligned head crops are expected" in warnings[1]


def test_a_set_without_kept_readable_crops_is_refused(head_folder: Path) -> None:
    write_manifest(head_folder, [])
    with pytest.raises(UsageError, match="holds no crops; see facegen data prepare"):
        measured(head_folder)
    write_manifest(head_folder, [Entry(file="a.png", source="a.png", label="drop")])
    with pytest.raises(UsageError, match="none of its 1 crops is kept"):
        measured(head_folder)
    write_manifest(head_folder, [Entry(file="gone.png", source="gone.png")])
    with pytest.raises(ImageError, match="none of its crops can be read"):
        measured(head_folder)


def test_the_page_shows_counts_histograms_and_pictures(prepared: Path) -> None:
    stats, _ = measured(prepared)
    html = write_page(prepared / "stats.html", stats, prepared).read_text(encoding="utf-8")
    assert "<title>Contents of heads</title>" in html
    assert "<td>left out by prepare: too small</td><td>1</td>" in html
    assert html.count('src="data:image/jpeg') == 2
    shown = re.findall('<img alt="([^"]*)" src="data:image/svg', html)
    assert "side of the head in its photo, px" in shown
    assert "side of the crop, px" not in shown  # all crops have the same


def test_the_table_has_a_row_for_each_figure(prepared: Path) -> None:
    rows = {row[0]: row[1:] for row in summary_rows(measured(prepared)[0])}
    assert rows["side of the head in its photo, px"] == ("2", "300", "210", "300", "390")
    assert len(rows) == 7


SIDE = 512.0


def rotation(axis: tuple[float, float, float], degrees: float) -> NDArray[np.float64]:
    return np.asarray(cv2.Rodrigues(np.radians(degrees) * np.array(axis))[0], dtype=np.float64)


def seen(turned: NDArray[np.float64]) -> NDArray[np.float64]:
    """Landmarks of the typical head, projected as in `head_pose` from 60 units away."""
    points = TYPICAL_HEAD @ turned.T + (0, 0, 60)
    landmarks = np.zeros((68, 2))
    landmarks[list(LANDMARKS)] = points[:, :2] / points[:, 2:] * DISTANCE * SIDE + SIDE / 2
    return landmarks


@pytest.mark.parametrize("degrees", [-40, -10, 0, 25])
def test_known_angles_are_found(degrees: float) -> None:
    """With x to the right and y down, turning to the viewer's right and upwards is negative about y and x."""
    yaw = head_pose(seen(rotation((0, 1, 0), -degrees)), SIDE)
    pitch = head_pose(seen(rotation((1, 0, 0), -degrees)), SIDE)
    roll = head_pose(seen(rotation((0, 0, 1), degrees)), SIDE)
    assert (yaw.yaw, yaw.pitch, yaw.roll) == pytest.approx((degrees, 0, 0), abs=0.1)
    assert (pitch.yaw, pitch.pitch, pitch.roll) == pytest.approx((0, degrees, 0), abs=0.1)
    assert (roll.yaw, roll.pitch, roll.roll) == pytest.approx((0, 0, degrees), abs=0.1)


def test_a_mirrored_head_looks_the_other_way() -> None:
    landmarks = seen(rotation((0, 1, 0), -20))
    other = head_pose(landmarks[MIRROR] * (-1, 1) + (SIDE, 0), SIDE)
    assert other.yaw == pytest.approx(-head_pose(landmarks, SIDE).yaw, abs=0.1)


def test_the_size_of_the_crop_does_not_matter() -> None:
    landmarks = seen(rotation((0, 1, 0), 12))
    assert head_pose(landmarks / 4, SIDE / 4).yaw == pytest.approx(head_pose(landmarks, SIDE).yaw, abs=1e-3)


def test_landmarks_of_another_shape_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"head_pose: landmarks have shape \(5, 2\), expected \(68, 2\)"):
        head_pose(np.zeros((5, 2)), SIDE)
