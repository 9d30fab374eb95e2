"""Keyframes out of pictures drawn before: the very latent, or a clear word on why there is none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from facegen.errors import FileError, WeightsError
from facegen.media.images import write_image
from facegen.media.record import RECORD_KEY, record_text
from facegen.pipeline import FacePipeline
from facegen.video.walk import latent_in
from tests import tiny

PLAIN = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_all(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def pipeline(recipe: Path) -> FacePipeline:
    return FacePipeline.load(recipe)


def test_a_seed_is_drawn_again_under_its_own_truncation(pipeline: FacePipeline, recipe: Path, tmp_path: Path) -> None:
    other = FacePipeline.load(recipe, ["truncation=0.5"])
    z = other.latent(7)
    path = write_image(tmp_path / "a.png", PLAIN, text=record_text(other, "sample", {"seeds": 7}, z=z))
    assert torch.equal(latent_in(pipeline, path), z)
    assert not torch.equal(z, pipeline.latent(7))
    assert pipeline.recipe.truncation == 1


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_latent_without_a_seed_comes_back_whole(pipeline: FacePipeline, tmp_path: Path, suffix: str) -> None:
    z = torch.randn(8, generator=torch.Generator().manual_seed(0))
    path = write_image(tmp_path / f"a.{suffix}", PLAIN, text=record_text(pipeline, "project", {}, z=z))
    assert torch.equal(latent_in(pipeline, path), z)


def test_pictures_without_a_latent_are_refused(pipeline: FacePipeline, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="has no facegen record"):
        latent_in(pipeline, write_image(tmp_path / "a.png", PLAIN))
    path = write_image(tmp_path / "b.png", PLAIN, text=record_text(pipeline, "upres", {}))
    with pytest.raises(FileError, match=r"b\.png: was not drawn from a latent, but made by facegen upres"):
        latent_in(pipeline, path)


def test_another_generators_face_is_refused(pipeline: FacePipeline, tmp_path: Path) -> None:
    values = json.loads(record_text(pipeline, "sample", {"seeds": 7}, z=pipeline.latent(7))[RECORD_KEY])
    values["weights"] = dict.fromkeys(values["weights"], "0" * 64)
    path = write_image(tmp_path / "a.png", PLAIN, text={RECORD_KEY: json.dumps(values)})
    with pytest.raises(WeightsError, match=r"a\.png: was drawn by another generator than '.*dcgan'"):
        latent_in(pipeline, path)


@pytest.mark.parametrize(("change", "message"), [("z", "latent and its hash disagree"), ("latent", "is damaged; get")])
def test_damage_is_noticed(pipeline: FacePipeline, tmp_path: Path, change: str, message: str) -> None:
    values = json.loads(record_text(pipeline, "project", {}, z=torch.ones(8))[RECORD_KEY])
    values[change] = "AAAA!" if change == "latent" else "0" * 64
    path = write_image(tmp_path / "a.png", PLAIN, text={RECORD_KEY: json.dumps(values)})
    with pytest.raises(FileError, match=message):
        latent_in(pipeline, path)
