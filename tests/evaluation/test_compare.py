"""Tiny models compared on portraits and on the user's own pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from facegen.arrays import RGB
from facegen.errors import ImageError, UsageError
from facegen.evaluation import portraits as measuring
from facegen.evaluation.compare import LARGEST, Comparison, Sides, read_small
from facegen.evaluation.portraits import NAMES, read_portrait
from facegen.evaluation.report import ORIGINAL, Evaluation, to_html
from facegen.evaluation.upscalers import Setting, load_upscalers
from facegen.media.images import read_image, resize, write_image

MODELS = ("bicubic", "jnet", "unet")


def track(files: Sequence[Path], what: str) -> Iterable[Path]:
    """Shows nothing."""
    return files


def start(setting: Setting, weights: Path, out: Path, reported: list[str], kinds: Sequence[str] = ()) -> Comparison:
    """A comparison of `MODELS`, from 32 px to 256."""
    models = load_upscalers(["bicubic", "jnet", str(weights / "unet")], setting)
    return Comparison(models, Sides(32, 256), device="cpu", report=reported.append, track=track, out=out, kinds=kinds)


@pytest.fixture(scope="module")
def reported() -> list[str]:
    """The lines reported while `found` was made."""
    return []


@pytest.fixture(scope="module")
def found(
    setting: Setting, weights: Path, portraits: Path, tmp_path_factory: pytest.TempPathFactory, reported: list[str]
) -> Evaluation:
    """Two portraits, and three files that cannot be used."""
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "PATCHES", 4)
        comparison = start(setting, weights, out, reported, ["row"])
        files = sorted(portraits.rglob("*.png"))
        comparison.add_portraits(files, "all of them", root=portraits, lpips=lambda a, b: 0.25)
    assert {path.name for path in out.rglob("*.png")} == {"a_1.png", "b-a_1.png"}
    return comparison.result({"data": "here"})


def values(found: Evaluation, name: str) -> dict[str, float]:
    """Column -> value of a figure, where it has one."""
    (figure,) = (figure for figure in found.figures if figure.name == name)
    return {column: value for column, value in figure.values.items() if value is not None}


def test_every_figure_has_every_model(found: Evaluation) -> None:
    names = [name for key, (name, _, _) in NAMES.items() if key != "seams"]
    assert [figure.name for figure in found.figures] == [*names, "Seconds a picture"]
    assert found.columns == (*MODELS, ORIGINAL)
    for figure in found.figures:
        assert set(figure.values) - {ORIGINAL} == set(MODELS)
        assert (ORIGINAL in figure.values) == (figure.name == NAMES["nyquist"][0])
        assert figure.protocol.split == "all of them"
        assert "32 px by area mean, 8 bits, upscaled to 256 px" in figure.protocol.resize
    counts = {figure.name: figure.protocol.count for figure in found.figures}
    assert (counts["PSNR, dB"], counts[NAMES["patches"][0]], counts["Seconds a picture"]) == (2, 8, 1)


def test_figures_tell_good_from_bad(found: Evaluation) -> None:
    psnr, distance = values(found, "PSNR, dB"), values(found, NAMES["features"][0])
    assert psnr["unet"] < 15 < psnr["bicubic"]  # an untrained network draws noise
    assert distance["unet"] > distance["bicubic"] > 0
    fit = values(found, "Low-res PSNR, dB")
    assert fit["jnet"] > max(45, fit["bicubic"])
    assert values(found, "LPIPS") == dict.fromkeys(MODELS, 0.25)


def test_unfit_portraits_are_named_and_left_out(found: Evaluation, reported: list[str]) -> None:
    assert len(reported) == 3
    for name in ("c_small.png: 192x192", "d_wide.png: 256x200", "e_none.png"):
        assert any(name in line for line in reported)


def test_facts_state_how_each_model_reaches_the_size(found: Evaluation) -> None:
    assert found.facts["model unet"] == "unet tiny-unet; 2x applied 3 times"
    assert found.facts["model jnet"].endswith("/jnet in tiny.toml, tile by tile; 8x")
    assert found.facts["data"] == "here"


def test_the_page_shows_everything_and_needs_no_other_file(found: Evaluation) -> None:
    text = to_html(found)
    assert text.count('src="data:image/jpeg;base64,') == len(found.sheets) == 3
    assert text.count("data:image/svg+xml;base64,") == len(found.figures)
    assert "model unet: unet tiny-unet; 2x applied 3 times" in text
    assert f"[1] {found.figures[0].protocol}" in text
    assert '<th scope="col">original</th>' in text
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", text)


def test_pictures_of_the_user_have_sheets_and_no_figures(
    setting: Setting, weights: Path, tmp_path: Path, head: RGB
) -> None:
    files = [
        write_image(tmp_path / "in" / f"{n}.png", resize(head, size)) for n, size in (("a", (24, 24)), ("b", (30, 12)))
    ]
    reported: list[str] = []
    comparison = start(setting, weights, tmp_path / "out", reported, ["single", "sheet"])
    comparison.add_inputs([*files, tmp_path / "none.png"])
    found = comparison.result({})
    assert (found.figures, found.columns) == ((), MODELS)
    assert found.sheets[0].caption == "Pictures of your own, upscaled 8x"
    assert len(reported) == 1
    assert {path.name for path in (tmp_path / "out/inputs/single/jnet").iterdir()} == {"a.png", "b.png"}
    assert (tmp_path / "out/inputs/sheet.png").is_file()
    assert "<table>" not in to_html(found)


def test_too_few_pictures_are_refused(setting: Setting, weights: Path, portraits: Path, tmp_path: Path) -> None:
    reported: list[str] = []
    comparison = start(setting, weights, tmp_path, reported)
    with pytest.raises(UsageError, match="0 of 1 portraits could be used, expected at least 2"):
        comparison.add_portraits([portraits / "c_small.png"], "all")
    with pytest.raises(ImageError, match="--inputs: none of 1 pictures could be used"):
        comparison.add_inputs([portraits / "e_none.png"])


def test_sides_are_whole_multiples() -> None:
    assert (Sides(96, 768).scale, str(Sides(48, 96))) == (8, "48 px by area mean, 8 bits, upscaled to 96 px")
    with pytest.raises(UsageError, match="--size 700: expected a multiple of --low 96, at least twice it: 672 for"):
        Sides(96, 700)
    with pytest.raises(UsageError, match="--size 96: expected a multiple of --low 96, at least twice it: 192 for"):
        Sides(96, 96)


def test_portraits_are_reduced_to_the_side(portraits: Path) -> None:
    np.testing.assert_array_equal(read_portrait(portraits / "a_1.png", 256), read_image(portraits / "a_1.png").rgb)
    assert read_portrait(portraits / "b/a_1.png", 256).shape == (256, 256, 3)
    for name, size in (("c_small", "192x192"), ("d_wide", "256x200")):
        with pytest.raises(ImageError, match=f"{name}.png: {size}, expected an aligned square head of at least 256 px"):
            read_portrait(portraits / f"{name}.png", 256)


def test_pictures_of_the_user_have_any_shape_but_not_any_size(tmp_path: Path, head: RGB) -> None:
    small = write_image(tmp_path / "small.png", resize(head, (LARGEST, 20)))
    assert read_small(small).shape == (20, LARGEST, 3)
    large = write_image(tmp_path / "large.png", resize(head, (LARGEST + 1, 20)))
    with pytest.raises(ImageError, match=r"large.png: 513x20, expected at most 512 px a side; left out.*facegen upres"):
        read_small(large)


def test_a_portrait_is_always_damaged_in_the_same_way(head: RGB) -> None:
    clean, damaged = Sides(32, 128), Sides(32, 128, "strong")
    low = clean.reduce(head, 0)
    assert low.shape == (32, 32, 3)
    assert np.array_equal(damaged.reduce(head, 5), damaged.reduce(head, 5))
    assert not np.array_equal(damaged.reduce(head, 5), low)
    assert str(damaged) == "32 px by area mean, 8 bits, damaged (strong, strength 0.8, seed 0), upscaled to 128 px"
