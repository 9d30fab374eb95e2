"""The record has everything that a picture depends on; equal pictures have equal records."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from facegen import __version__
from facegen.arrays import RGB, to_rgb
from facegen.errors import FileError, WeightsError
from facegen.media.images import write_image
from facegen.media.record import (
    RECORD_KEY,
    Record,
    arguments,
    check_weights,
    latent_sha256,
    latent_text,
    read_record,
    record_text,
)
from facegen.ops.seams import seam_gauge
from facegen.pipeline import FacePipeline
from tests import tiny

PLAIN = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def pipeline(recipe: Path) -> FacePipeline:
    return FacePipeline.load(recipe, ["fidelity=0.5"])


def test_a_samples_record_has_its_seed_recipe_weights_and_measures(
    pipeline: FacePipeline, recipe: Path, tmp_path: Path
) -> None:
    z = pipeline.latent(7)
    upscaled = pipeline(pipeline.draw(z), 320)
    options = {"seeds": 7, "size": 320, "recipe": "tiny", "set": ("fidelity=0.5",)}
    text = record_text(pipeline, "sample", options, upscaled=[upscaled], z=z)
    assert text["facegen"] == "sample --seeds 7 --size 320 --recipe tiny --set fidelity=0.5"
    record = read_record(write_image(tmp_path / "a.jpg", to_rgb(upscaled.image), text=text))
    assert (record.facegen, record.torch, record.device) == (__version__, torch.__version__, "cpu")
    assert record.argv == tuple(text["facegen"].split())
    assert record.recipe == pipeline.recipe.model_dump(mode="json")
    assert record.recipe["fidelity"] == 0.5
    assert record.weights == {
        str(recipe.parent / name): hashlib.sha256((recipe.parent / name / "model.safetensors").read_bytes()).hexdigest()
        for name in ("dcgan", "jnet")
    }
    assert record.seed == 7
    assert record.z == hashlib.sha256(z.numpy().tobytes()).hexdigest()
    assert record.source is None
    [made] = record.upscaled
    assert made.plan == upscaled.plan
    assert made.candidates == upscaled.names
    assert list(made.choices) == upscaled.chosen.tolist()
    assert made.fit == pytest.approx(upscaled.fit, abs=1e-3)
    gauge = seam_gauge(upscaled.image, upscaled.plan)
    assert (made.seams.mean, made.seams.max) == pytest.approx((gauge.mean, gauge.max), abs=1e-3)


def test_a_photos_record_has_its_source(pipeline: FacePipeline, tmp_path: Path, head: RGB) -> None:
    source = write_image(tmp_path / "it's me.png", head)
    text = record_text(pipeline, "upres", {"scale": 2, "strip": True, "crop": False, "size": None}, source=source)
    assert text["facegen"] == """upres 'it'"'"'s me.png' --scale 2 --strip"""
    record = Record.model_validate_json(text[RECORD_KEY])
    assert record.source is not None
    assert record.source.name == "it's me.png"
    assert record.source.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert (record.seed, record.z) == (None, None)


def test_the_discriminator_is_recorded_if_it_scores(recipe: Path) -> None:
    scored = FacePipeline.load(recipe, ["choice.scorers={ discriminator = 1.0 }"])
    record = Record.model_validate_json(record_text(scored, "sample", {})[RECORD_KEY])
    assert {Path(name).name for name in record.weights} == {"dcgan", "jnet", "patchgan"}


def test_the_same_picture_has_the_same_record(pipeline: FacePipeline) -> None:
    texts = [record_text(pipeline, "sample", {"seeds": 1}, upscaled=[pipeline.sample(1, 256)]) for _ in range(2)]
    assert texts[0] == texts[1]


def test_a_latent_without_a_seed_is_recorded_itself(pipeline: FacePipeline) -> None:
    z = pipeline.latent(3)
    for options, latent in (({}, latent_text(z)), ({"seeds": 3}, None), ({"seeds": "3,4"}, latent_text(z))):
        record = Record.model_validate_json(record_text(pipeline, "sample", options, z=z)[RECORD_KEY])
        assert (record.z, record.latent) == (latent_sha256(z), latent)
        assert record.seed == (3 if latent is None else None)
    text = record_text(pipeline, "video", {"seeds": "3,4"}, keyframes=[z, -z])
    record = Record.model_validate_json(text[RECORD_KEY])
    assert (record.keyframes, record.z, record.latent) == ((latent_text(z), latent_text(-z)), None, None)


def test_arguments_follow_the_options() -> None:
    options = {"face_size_min": 40, "strip": True, "crop": False, "size": None, "set": ["a=1", "b=2"], "crf": "17"}
    words = arguments("upres", options, Path("somewhere/a b.jpg"))
    assert words[:2] == ("upres", "a b.jpg")
    assert " ".join(words[2:]) == "--face-size-min 40 --strip --set a=1 --set b=2 --crf 17"


def test_names_that_are_not_utf8_can_be_recorded(pipeline: FacePipeline, tmp_path: Path) -> None:
    source = tmp_path / "caf\udce9.png"
    try:
        source.touch()
    except OSError:
        pytest.skip("this file system takes no such names")
    text = record_text(pipeline, "upres", {}, source=source)
    assert json.loads(text[RECORD_KEY])["source"]["name"] == "caf\ufffd.png"


def test_a_picture_without_a_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"a\.png: has no facegen record; expected a file that facegen wrote and"):
        read_record(write_image(tmp_path / "a.png", PLAIN))


@pytest.mark.parametrize(("text", "where"), [("{}", "facegen"), ("nonsense", "JSON"), ('{"facegen": 1}', "facegen")])
def test_a_damaged_record_is_refused(tmp_path: Path, text: str, where: str) -> None:
    path = write_image(tmp_path / "a.png", PLAIN, text={RECORD_KEY: text})
    with pytest.raises(FileError, match=rf"a\.png: its facegen record is damaged \({where}\)"):
        read_record(path)


@pytest.mark.parametrize("name", ["../up.png", "/etc/passwd", ".."])
def test_a_source_with_folders_is_refused(pipeline: FacePipeline, tmp_path: Path, name: str) -> None:
    values = json.loads(record_text(pipeline, "sample", {})[RECORD_KEY])
    values["source"] = {"name": name, "sha256": "0" * 64}
    path = write_image(tmp_path / "a.png", PLAIN, text={RECORD_KEY: json.dumps(values)})
    with pytest.raises(FileError, match=r"its facegen record is damaged \(source\.name\)"):
        read_record(path)


def test_a_later_versions_record_may_have_more_fields(pipeline: FacePipeline, tmp_path: Path) -> None:
    values = json.loads(record_text(pipeline, "sample", {"seeds": 1})[RECORD_KEY]) | {"colour": "blue"}
    path = write_image(tmp_path / "a.png", PLAIN, text={RECORD_KEY: json.dumps(values)})
    assert read_record(path).seed == 1


def test_a_record_of_the_first_versions_is_read(pipeline: FacePipeline, tmp_path: Path) -> None:
    """They called the upscaled heads "raised"."""
    text = record_text(pipeline, "sample", {"seeds": 1}, upscaled=[pipeline.sample(1, 256)])
    values = json.loads(text[RECORD_KEY])
    values["raised"] = values.pop("upscaled")
    path = write_image(tmp_path / "a.png", PLAIN, text={RECORD_KEY: json.dumps(values)})
    assert read_record(path) == Record.model_validate_json(text[RECORD_KEY])
    assert len(read_record(path).upscaled) == 1


def test_other_weights_are_named(tmp_path: Path) -> None:
    recipe = tiny.save_all(tmp_path)
    record = Record.model_validate_json(record_text(FacePipeline.load(recipe), "sample", {})[RECORD_KEY])
    check_weights(record)
    card = tmp_path / "jnet" / "card.toml"
    wrong = record.weights[str(tmp_path / "jnet")]
    card.write_text(card.read_text().replace(wrong, "0" * 64))
    with pytest.raises(WeightsError, match=rf"jnet': their SHA-256 is 0+, but the picture was made with {wrong}"):
        check_weights(record)
    shutil.rmtree(tmp_path / "jnet")
    with pytest.raises(WeightsError, match="jnet': neither shipped nor a folder"):
        check_weights(record)
