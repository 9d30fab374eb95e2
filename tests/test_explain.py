"""The vote map shows what was chosen, where, and by how much; the stages show the steps on the way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from facegen.arrays import to_rgb
from facegen.candidates import Upscaled
from facegen.errors import ImageError
from facegen.explain import LINE, TINT, explain, stage_pictures, vote_map, write_explanation, write_stages
from facegen.faces.guide import GuideMode
from facegen.media.images import read_image
from facegen.ops.choice import hues
from facegen.ops.tiling import plan_tiles
from facegen.pipeline import FacePipeline
from tests import tiny

NAMES = ("identity", "flip", "contrast 0.9")


@pytest.fixture
def upscaled() -> Upscaled:
    """A grey picture of 2 x 1 tiles, 256 px, scale 4, three candidates: one tile by score, one against it."""
    return Upscaled(
        stack=torch.zeros(6, 32, 64),
        reference=torch.zeros(3, 32, 64),
        plan=plan_tiles(32, 64, tile=32, overlap=0),
        candidates=torch.zeros(2, 3, 3, 128, 128),
        names=NAMES,
        landmarks=None,
        image=torch.full((3, 128, 256), 0.5),
        scores=torch.tensor([[0.5, -1.0, 0.25], [1.25, -0.5, -0.75]]),
        chosen=torch.tensor([0, 1]),
    )


def test_every_tile_is_reported(upscaled: Upscaled) -> None:
    assert explain(upscaled) == {
        "size": [256, 128],
        "identity": None,
        "candidates": list(NAMES),
        "tiles": [
            {
                "box": [0, 0, 128, 128],
                "winner": "identity",
                "scores": {"identity": 0.5, "flip": -1.0, "contrast 0.9": 0.25},
                "runner_up": "contrast 0.9",
                "margin": 0.25,
                "reason": "It has the highest score.",
            },
            {
                "box": [128, 0, 128, 128],
                "winner": "flip",
                "scores": {"identity": 1.25, "flip": -0.5, "contrast 0.9": -0.75},
                "runner_up": "identity",
                "margin": -1.75,
                "reason": "Its score is lower than that of identity, but it fits the neighbouring tiles better.",
            },
        ],
    }


def test_the_map_is_the_picture_tinted_by_the_winners(upscaled: Upscaled) -> None:
    picture = vote_map(upscaled)
    assert picture.shape == (128 + 3 * LINE, 256, 3)
    for column, winner in ((0, 0), (255, 1)):
        expected = (1 - TINT) * 0.5 + TINT * hues(3)[winner].numpy()
        np.testing.assert_allclose(picture[:128, column], np.tile(255 * expected, (128, 1)), atol=0.51)
    for line, colour in enumerate(hues(3).numpy()):
        patch = picture[128 + LINE * line + LINE // 2, 10]
        np.testing.assert_allclose(patch, 255 * colour, atol=1)


def test_both_files_are_written(upscaled: Upscaled, tmp_path: Path) -> None:
    paths = write_explanation(upscaled, tmp_path / "new" / "seed0000-768")
    assert [path.name for path in paths] == ["seed0000-768-explain.png", "seed0000-768-explain.json"]
    assert np.array_equal(read_image(paths[0]).rgb, vote_map(upscaled))
    assert json.loads(paths[1].read_text(encoding="utf-8")) == explain(upscaled)
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_a_single_candidate_has_no_runner_up(upscaled: Upscaled) -> None:
    single = Upscaled(
        **vars(upscaled)
        | {
            "candidates": upscaled.candidates[:, :1],
            "names": ("mean",),
            "scores": torch.zeros(2, 1),
            "chosen": torch.zeros(2, dtype=torch.int64),
        }
    )
    tiles = explain(single)["tiles"]
    assert [(tile["winner"], tile["runner_up"], tile["margin"]) for tile in tiles] == [("mean", None, None)] * 2


def test_a_folder_that_cannot_be_made(upscaled: Upscaled, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match=r"a-explain\.png: cannot be written"):
        write_explanation(upscaled, tmp_path / "file" / "a")


@pytest.mark.parametrize("guide", ["rgb", "channels", "none"])
def test_stages_of_a_sample(tmp_path: Path, guide: GuideMode) -> None:
    pipeline = FacePipeline.load(tiny.save_all(tmp_path, guide))
    face = pipeline.draw(pipeline.latent(0))
    upscaled = pipeline(face, 384)  # 48 low-res pixels: 2 x 2 tiles of 32
    pictures = stage_pictures(upscaled, face)
    shapes = {name: picture.shape[:2] for name, picture in pictures.items()}
    colours = {"guide": (384, 384)} if guide == "rgb" else {}
    assert shapes == {"face": (384, 384), "low-res": (384, 384)} | colours | {
        "tiles": (516, 516),  # 2 x 2 of 256 px, and a gap of 4
        "candidates": (260, 524),  # 2 x 4 of 128 px
        "chosen": (384, 384),
        "blended": (384, 384),
        "final": (384, 384),
    }
    assert np.array_equal(pictures["final"], to_rgb(upscaled.image))
    folder = write_stages(upscaled, face, tmp_path / "new" / "stages")
    assert [path.name.partition("-")[2] for path in sorted(folder.iterdir())] == [f"{name}.png" for name in pictures]
