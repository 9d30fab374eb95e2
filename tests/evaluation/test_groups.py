"""Groups of people: the tone of a cheek, labels in a file, figures of each group and their spread."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from facegen.arrays import RGB
from facegen.errors import FileError
from facegen.evaluation.groups import TONES, by_labels, by_skin, evaluate_groups, skin_angle, skin_tone
from facegen.faces.landmarks import landmarks_in_head
from facegen.media.images import resize, write_image


def patch(lightness: float, yellow: float) -> RGB:
    """A picture of one colour in L*a*b*, (64, 64, 3)."""
    lab = np.full((64, 64, 3), (lightness, 12, yellow), np.float32)
    return np.asarray((cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) * 255).round(), dtype=np.uint8)


@pytest.mark.parametrize(
    ("lightness", "yellow", "angle", "tone"),
    [(70, 10, 63.4, "very light"), (65, 15, 45, "light"), (50, 15, 0, "brown"), (30, 15, -53.1, "dark"),
     (57, 20, 19.3, "tan"), (62, 18, 33.7, "intermediate")],
)  # fmt: skip
def test_a_colour_has_its_angle_and_tone(lightness: float, yellow: float, angle: float, tone: str) -> None:
    points = np.random.default_rng(0).uniform(20, 44, (68, 2))
    found = skin_angle(patch(lightness, yellow), points)
    assert found == pytest.approx(angle, abs=2.5)
    assert skin_tone(found) == skin_tone(angle) == tone


def test_a_darker_print_of_a_face_has_a_darker_tone(tmp_path: Path, head: RGB) -> None:
    points = landmarks_in_head(head).points
    angles = [skin_angle((head * share).astype(np.uint8), points) for share in (1, 0.75, 0.5)]
    assert angles == sorted(angles, reverse=True)
    assert by_skin(write_image(tmp_path / "a.png", resize(head, (256, 256))))["skin"] in {tone for _, tone in TONES}


def test_labels_are_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("file,sex,age\nset/a_1.webp,f,30-39\nb.png,,60+\n", encoding="utf-8-sig")
    groups = by_labels(tmp_path / "people.csv")
    assert groups(Path("/data/a_1.webp")) == {"sex": "f", "age": "30-39"}
    assert groups(Path("b.png")) == {"sex": "unknown", "age": "60+"}
    assert groups(Path("c.png")) == {"sex": "unknown", "age": "unknown"}


@pytest.mark.parametrize("text", ["", "name,sex\na.png,f\n", "file\na.png\n", "\udcff"])
def test_files_without_labels_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "people.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(FileError, match=r"people.csv: .*expected a CSV file"):
        by_labels(tmp_path / "people.csv")
    with pytest.raises(FileError, match="cannot be read"):
        by_labels(tmp_path / "nowhere.csv")


def test_one_name_in_two_groups_is_refused(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("file,sex\na/1.png,f\nb/2.png,m\na/2.png,m\nb/1.png,m\n")
    with pytest.raises(FileError, match=r"people.csv: '1.png' is there twice, in different groups"):
        by_labels(tmp_path / "people.csv")


def test_each_group_has_its_mean_and_spread() -> None:
    values = {
        "psnr": {"ours": [30.0, 32.0, 40.0, 20.0]},
        "features": {"ours": [1.0, 2.0, 3.0, 4.0], "bicubic": [2.0, 2.0, 2.0, 0.0]},
    }
    groups = [{"skin": "dark"}, {"skin": "dark"}, {"skin": "very light"}, {"skin": "dark"}]
    found = evaluate_groups(values, groups, "ours", "x", "y")
    assert found.columns == ("all, 4", "skin very light, 1", "skin dark, 3")
    figures = {figure.name: figure.values for figure in found.figures}
    assert figures["PSNR, dB"]["skin dark, 3"] == pytest.approx(82 / 3)
    assert figures["  spread of PSNR, dB"]["skin dark, 3"] == pytest.approx(np.std([30, 32, 20], ddof=1))
    assert figures["  spread of PSNR, dB"]["skin very light, 1"] is None
    assert figures["Feature distance (EfficientNet-Lite2) over bicubic's"]["skin very light, 1"] == 1.5
