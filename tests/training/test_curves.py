"""Loss curves: which points are drawn, and that a picture comes of whatever a run has logged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import pytest

from facegen.media.images import read_image
from facegen.training.curves import DPI, INCHES, PANELS, curves_of, draw_curves, zoom_from

Stats = list[dict[str, Any]]
VALIDATION = {"step": 3, "images": 6, "validation/score": 12.0, "validation/diversity": 0.9}


def log(images: int, **figures: float) -> dict[str, Any]:
    """A line of stats.jsonl; "__" stands for the slash."""
    named = {name.replace("__", "/"): value for name, value in figures.items()}
    return {"step": images // 2, "images": images, "images_per_second": 3.5, "data_share": 0.1, **named}


class TestPoints:
    def test_a_panel_s_figures_by_name_in_the_order_of_the_run(self) -> None:
        stats = [log(2, generator__total=5.0, discriminator__total=1.0), log(4, generator__total=4.0), VALIDATION]
        assert curves_of(stats, PANELS["total"]) == {
            "discriminator/total": [(2, 1.0)],
            "generator/total": [(2, 5.0), (4, 4.0)],
        }
        assert list(curves_of(stats, PANELS["total"])) == ["discriminator/total", "generator/total"]
        assert curves_of(stats, PANELS["validation"]) == {
            "validation/diversity": [(6, 0.9)],
            "validation/score": [(6, 12.0)],
        }

    def test_names_are_told_by_their_last_part_alone(self) -> None:
        stats = [
            log(2, discriminator__real=1.0, discriminator__projected_real=2.0, generator__unreal=3.0),
            {"images": 4, "real": 9.0},
        ]
        assert curves_of(stats, ("real",)) == {"discriminator/real": [(2, 1.0)]}

    def test_the_last_fifth(self) -> None:
        stats = [log(images, generator__total=float(images)) for images in range(10, 101, 10)]
        assert zoom_from(stats) == 80
        zoomed = curves_of(stats, ("total",), zoom_from(stats))
        assert zoomed == {"generator/total": [(80, 80.0), (90, 90.0), (100, 100.0)]}

    def test_nothing_left_of_a_curve_in_the_last_fifth(self) -> None:
        stats = [VALIDATION, log(100, generator__total=1.0)]
        assert curves_of(stats, PANELS["validation"], zoom_from(stats)) == {}

    @pytest.mark.parametrize("broken", [float("nan"), float("inf"), float("-inf")])
    def test_figures_that_are_not_finite_are_passed_over(self, broken: float) -> None:
        stats = [log(2, generator__total=1.0), log(4, generator__total=broken), log(6, generator__total=3.0)]
        assert curves_of(stats, ("total",)) == {"generator/total": [(2, 1.0), (6, 3.0)]}
        assert curves_of(stats[1:2], ("total",)) == {}

    def test_no_line_no_point(self) -> None:
        assert zoom_from([]) == 0
        assert curves_of([], PANELS["total"]) == {}


def drawn(monkeypatch: pytest.MonkeyPatch) -> list[matplotlib.figure.Figure]:
    """The figures made from now on."""
    made: list[matplotlib.figure.Figure] = []
    save = matplotlib.figure.Figure.savefig

    def keep(figure: matplotlib.figure.Figure, *args: Any, **options: Any) -> None:
        made.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", keep)
    return made


class TestPicture:
    def test_whole_run_above_and_its_end_below(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        figures = drawn(monkeypatch)
        stats = [log(n, generator__total=-2.0 * n, generator__adversarial=1.0) for n in range(10, 101, 10)]
        draw_curves(stats, tmp_path / "losses.png")
        picture = read_image(tmp_path / "losses.png").rgb
        assert picture.shape == (INCHES[1] * DPI, INCHES[0] * DPI, 3)
        assert 0.01 < (picture < 128).mean() < 0.5  # dark lines on white
        assert list(tmp_path.iterdir()) == [tmp_path / "losses.png"]
        axes = {axis.get_title(): axis for axis in figures[0].axes}
        assert set(axes) == {title + note for title in PANELS for note in ("", ", last fifth")}
        assert [line.get_xdata().tolist() for line in axes["total"].lines] == [list(range(10, 101, 10))]  # type: ignore[union-attr]
        (zoomed,) = axes["total, last fifth"].lines
        assert np.asarray(zoomed.get_xdata()).tolist() == [80, 90, 100]
        assert np.asarray(zoomed.get_ydata()).tolist() == [-0.8, -0.9, -1.0]  # divided by the largest magnitude
        assert zoomed.get_label() == "generator/total / 200"
        assert not axes["validation"].lines

    @pytest.mark.parametrize("stats", [[], [log(4, generator__total=0.0)]], ids=["empty", "one line of zeros"])
    def test_little_to_draw(self, stats: Stats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("facegen.training.curves.INCHES", (4, 2))
        draw_curves(stats, tmp_path / "losses.png")
        assert read_image(tmp_path / "losses.png").rgb.shape == (200, 400, 3)

    def test_validation_alone_and_a_single_point_can_be_seen(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr("facegen.training.curves.INCHES", (4, 2))
        figures = drawn(monkeypatch)
        draw_curves([VALIDATION], tmp_path / "losses.png")
        seen = {axis.get_title(): [line.get_marker() for line in axis.lines] for axis in figures[0].axes if axis.lines}
        assert seen == {"validation": [".", "."], "validation, last fifth": [".", "."]}
        assert read_image(tmp_path / "losses.png").rgb.std() > 0

    def test_the_old_picture_stays_whole_when_writing_fails(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "losses.png").write_bytes(b"the old one")

        def fail(figure: matplotlib.figure.Figure, path: Path, **options: Any) -> None:
            Path(path).write_bytes(b"half")
            raise OSError("no space left")

        monkeypatch.setattr(matplotlib.figure.Figure, "savefig", fail)
        with pytest.raises(OSError, match="no space left"):
            draw_curves([VALIDATION], tmp_path / "losses.png")
        assert (tmp_path / "losses.png").read_bytes() == b"the old one"
