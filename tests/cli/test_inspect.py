"""`facegen inspect`: pictures of facegen and of other programs, as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facegen.arrays import RGB, to_tensor
from facegen.media.images import read_image, resize, write_image
from facegen.media.record import record_text
from facegen.ops.seams import SeamGauge, seam_gauge
from facegen.pipeline import FacePipeline
from tests.cli.conftest import Facegen


@pytest.fixture
def drawn(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> Path:
    """A sample of 320 px."""
    facegen("sample", "--seeds", 3, "--size", 320, "--recipe", tiny_recipe, "--out", tmp_path)
    return tmp_path / "seed0003-320.png"


def test_a_sample_as_a_table(facegen: Facegen, drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    result = facegen("inspect", drawn)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    rows = {line[:11].strip(): line[11:].strip() for line in result.stdout.splitlines()}
    assert str(drawn) in result.stdout.splitlines()[0]
    assert rows["format"] == "PNG, 320x320"
    assert rows["label"] == "trainedAlgorithmicMedia"
    assert rows["command"].startswith("facegen sample --seeds 3 --size 320 --format png --recipe ")
    assert rows["made by"].startswith("facegen 0.")
    assert rows["upscaled"] == "1 head(s) in 4 tiles"
    assert rows["fit"].endswith("dB to the input")
    assert {"weights", "seams", "elsewhere", "sharpness"} < set(rows)
    assert "agreement" not in rows


def test_a_sample_as_json(facegen: Facegen, drawn: Path, tiny_recipe: Path) -> None:
    found = json.loads(facegen("inspect", drawn, "--json").stdout)
    rgb = read_image(drawn).rgb
    gauge = seam_gauge(to_tensor(rgb), FacePipeline.load(tiny_recipe).sample(3, 320).plan)
    assert found["picture"] == str(drawn)
    assert (found["width"], found["height"], found["format"]) == (320, 320, "PNG")
    assert found["seams"] == pytest.approx({"mean": gauge.mean, "max": gauge.max})
    assert found["content"]["max"] >= found["content"]["mean"] > 0
    assert found["record"]["seed"] == 3
    assert found["sharpness"] > 0
    assert found["agreement"] is None


def test_a_resized_sample_has_the_recorded_seams(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    facegen("sample", "--size", 300, "--recipe", tiny_recipe, "--out", tmp_path)
    found = json.loads(facegen("inspect", tmp_path / "seed0000-300.png", "--json").stdout)
    assert found["seams"] == found["record"]["upscaled"][0]["seams"]


def test_a_photo_has_the_values_of_the_whole_picture(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, head: RGB
) -> None:
    pipeline = FacePipeline.load(tiny_recipe)
    source = write_image(tmp_path / "photo.png", head)
    heads, whole = [pipeline.sample(seed, 256) for seed in (1, 2)], SeamGauge(1.25, 1.5)
    for name, measured in (("whole", {"fit": 55.5, "seams": whole}), ("heads", {})):
        text = record_text(pipeline, "upres", {}, upscaled=heads, source=source, **measured)  # type: ignore[arg-type]
        write_image(tmp_path / f"{name}.png", head, text=text, label="composite")
    found = json.loads(facegen("inspect", tmp_path / "whole.png", "--json").stdout)
    assert found["seams"] == {"mean": 1.25, "max": 1.5}
    assert found["content"] is None
    assert "55.5 dB to the input" in facegen("inspect", tmp_path / "whole.png").stdout
    found = json.loads(facegen("inspect", tmp_path / "heads.png", "--json").stdout)
    gauges = [seam_gauge(one.image, one.plan) for one in heads]
    assert found["seams"]["mean"] == pytest.approx(sum(gauge.mean for gauge in gauges) / 2)
    assert found["seams"]["max"] == max(gauge.max for gauge in gauges)


def test_a_foreign_picture(facegen: Facegen, tmp_path: Path, head: RGB) -> None:
    path = write_image(tmp_path / "a.webp", head)
    found = json.loads(facegen("inspect", path, "--json").stdout)
    assert (found["format"], found["width"], found["height"]) == ("WEBP", 192, 192)
    assert found["record"] is found["command"] is found["seams"] is found["source_type"] is None
    table = facegen("inspect", path)
    assert table.exit_code == 0
    assert "the file has no facegen record" in " ".join(table.stdout.split())


def test_a_film_is_refused_by_name(facegen: Facegen, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"film")
    result = facegen("inspect", tmp_path / "a.mp4")
    assert result.exit_code == 1
    assert "a.mp4: is a film, expected a picture; facegen evaluate measures films." in result.stderr


def test_agreement_with_the_source(facegen: Facegen, tmp_path: Path, head: RGB) -> None:
    small = write_image(tmp_path / "small.png", resize(head, (100, 80)))
    squares = np.repeat(np.repeat(read_image(small).rgb, 2, axis=0), 2, axis=1)
    exact = write_image(tmp_path / "exact.png", squares)
    found = json.loads(facegen("inspect", exact, "--source", small, "--json").stdout)
    assert found["agreement"] == {"scale": 2, "psnr": None, "largest": 0}
    squares[:2, :2] = squares[0, 0] ^ 8  # one pixel of the source, off by 8 in every channel
    off = write_image(tmp_path / "off.png", squares)
    found = json.loads(facegen("inspect", off, "--source", small, "--json").stdout)["agreement"]
    assert found["largest"] == pytest.approx(8)
    assert found["psnr"] == pytest.approx(10 * np.log10(100 * 80 * 255**2 / 64))
    assert "dB, largest difference 8.00 of 255" in " ".join(facegen("inspect", off, "--source", small).stdout.split())


def test_source_of_another_size(facegen: Facegen, tmp_path: Path, head: RGB) -> None:
    picture, source = write_image(tmp_path / "a.png", head), write_image(tmp_path / "b.png", head[:100])
    result = facegen("inspect", picture, "--source", source)
    assert result.exit_code == 1
    assert f"a.png: is 192x192, not a whole number of times as large as {source}, 192x100" in result.stderr


def test_one_bad_picture_of_several(facegen: Facegen, tmp_path: Path, head: RGB) -> None:
    paths = [write_image(tmp_path / name, head) for name in ("a.png", "b.png")]
    result = facegen("inspect", paths[0], tmp_path / "missing.png", paths[1], "--json")
    assert result.exit_code == 1
    assert [json.loads(line)["picture"] for line in result.stdout.splitlines()] == [str(path) for path in paths]
    assert "missing.png: no such file" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("2 done, 1 failed")


def test_source_is_for_one_picture(facegen: Facegen) -> None:
    result = facegen("inspect", "a.png", "b.png", "--source", "c.png")
    assert result.exit_code == 2
    assert "--source is for one picture" in result.stderr


@pytest.mark.parametrize("side", [1, 2])
def test_tiny_pictures(facegen: Facegen, tmp_path: Path, side: int) -> None:
    path = write_image(tmp_path / "a.png", np.zeros((side, side, 3), np.uint8))
    assert json.loads(facegen("inspect", path, "--json").stdout)["sharpness"] == 0
