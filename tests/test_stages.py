"""The pictures on the way, as written beside a sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facegen.arrays import to_picture
from facegen.explain import stage_pictures, write_stages
from facegen.faces.guide import GuideMode
from facegen.pipeline import FacePipeline
from tests import tiny


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
    assert np.array_equal(pictures["final"], to_picture(upscaled.image))
    folder = write_stages(upscaled, face, tmp_path / "new" / "stages")
    assert [path.name.partition("-")[2] for path in sorted(folder.iterdir())] == [f"{name}.png" for name in pictures]
