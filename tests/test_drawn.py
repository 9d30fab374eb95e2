"""A face that was drawn is written with its record."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facegen.arrays import to_rgb
from facegen.drawn import write_drawn
from facegen.media.images import read_image
from facegen.media.record import latent_sha256, read_latent, read_record
from facegen.pipeline import FacePipeline
from tests import tiny


def test_a_latent_without_a_seed_is_kept_in_the_record(tmp_path: Path) -> None:
    pipeline = FacePipeline.load(tiny.save_all(tmp_path))
    z = pipeline.latent(3) * 0.9
    drawn = write_drawn(pipeline, z, tmp_path / "face.png", "studio", {"size": 256})
    record = read_record(drawn.path)
    assert (record.argv, record.seed, record.z) == (("studio", "--size", "256"), None, latent_sha256(z))
    assert record.latent is not None
    assert read_latent(record.latent, drawn.path).equal(z)
    np.testing.assert_array_equal(read_image(drawn.path).rgb, drawn.picture)
    np.testing.assert_array_equal(drawn.picture, to_rgb(drawn.upscaled.image))
    assert drawn.face.equal(pipeline.draw(z))
