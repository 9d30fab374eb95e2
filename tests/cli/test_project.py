"""`facegen project`: the face nearest to a photo, with its latent in the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facegen.arrays import RGB, to_rgb
from facegen.media.images import picture_facts, read_image, write_image
from facegen.media.record import read_record
from facegen.pipeline import FacePipeline
from facegen.video.walk import latent_in
from tests.cli.conftest import Facegen


def test_the_latent_is_in_the_file(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, astronaut: RGB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facegen.project.STEPS", 2)
    photo, out = write_image(tmp_path / "photo.png", astronaut), tmp_path / "deep" / "face.png"
    result = facegen("project", photo, "-o", out, "--size", 256, "--recipe", tiny_recipe)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}\n"
    assert f"{photo}: distance " in result.stderr
    pipeline = FacePipeline.load(tiny_recipe)
    image = pipeline(pipeline.draw(latent_in(pipeline, out)), 256).image
    assert np.array_equal(read_image(out).rgb, to_rgb(image))
    record = read_record(out)
    assert (record.argv[:2], record.seed) == (("project", "photo.png"), None)
    assert picture_facts(out).source_type == "trainedAlgorithmicMedia"


def test_photo_without_a_face(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    photo = write_image(tmp_path / "grey.png", np.full((64, 64, 3), 90, np.uint8))
    result = facegen("project", photo, "--recipe", tiny_recipe, "-o", tmp_path / "face.png")
    assert result.exit_code == 1
    assert "grey.png: no face found" in result.stderr
    assert not (tmp_path / "face.png").exists()


def test_a_picture_of_another_program_is_kept(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, astronaut: RGB
) -> None:
    photo = write_image(tmp_path / "photo.png", astronaut)
    before = photo.read_bytes()
    result = facegen("project", photo, "-o", photo, "--recipe", tiny_recipe)
    assert result.exit_code == 1
    assert "is there already, and not written by facegen; add --overwrite" in result.stderr
    assert photo.read_bytes() == before
