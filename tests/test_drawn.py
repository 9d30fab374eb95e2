"""A face that was drawn is written with its record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from facegen.arrays import to_rgb
from facegen.drawn import Order, write_all, write_drawn
from facegen.errors import ImageError
from facegen.media.images import read_image
from facegen.media.record import latent_sha256, read_latent, read_record
from facegen.pipeline import GPU_FACES, FacePipeline
from tests import tiny


def test_a_latent_without_a_seed_is_kept_in_the_record(tmp_path: Path) -> None:
    pipeline = FacePipeline.load(tiny.save_all(tmp_path))
    z = pipeline.latent(3) * 0.9
    drawn = write_drawn(pipeline, Order(z, tmp_path / "face.png", {"size": 256}), "studio")
    record = read_record(drawn.path)
    assert (record.argv, record.seed, record.z) == (("studio", "--size", "256"), None, latent_sha256(z))
    assert record.latent is not None
    assert read_latent(record.latent, drawn.path).equal(z)
    np.testing.assert_array_equal(read_image(drawn.path).rgb, drawn.picture)
    np.testing.assert_array_equal(drawn.picture, to_rgb(drawn.upscaled.image))
    assert drawn.face.equal(pipeline.draw(z))


def test_faces_made_together_are_those_made_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way over a GPU, walked by the processor, with a face that cannot be written."""
    pipeline = FacePipeline.load(tiny.save_all(tmp_path))
    latents = [pipeline.latent(seed) for seed in range(GPU_FACES + 3)]
    (tmp_path / "2.png").mkdir()
    orders = [Order(z, tmp_path / f"{seed}.png", {"seeds": seed, "size": 256}) for seed, z in enumerate(latents)]
    alone = list(write_all(pipeline, orders, 256, "sample"))
    for module in ("drawn", "pipeline"):
        monkeypatch.setattr(f"facegen.{module}.is_gpu", lambda device: True)
    together = list(write_all(pipeline, orders, 256, "sample"))
    for seed, (one, other) in enumerate(zip(together, alone, strict=True)):
        if seed == 2:
            for failed in (one, other):
                with pytest.raises(ImageError, match="cannot be written"):
                    failed.result()
            continue
        face, expected = one.result(), other.result()
        assert torch.equal(face.upscaled.chosen, expected.upscaled.chosen)
        torch.testing.assert_close(face.upscaled.image, expected.upscaled.image, atol=1e-3, rtol=0)
        assert np.abs(face.picture.astype(int) - expected.picture).max() <= 1
        assert read_record(face.path).upscaled == read_record(expected.path).upscaled


def test_an_error_of_a_batch_is_one_of_each_of_its_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = FacePipeline.load(tiny.save_all(tmp_path))
    latents = [pipeline.latent(seed) for seed in range(GPU_FACES + 1)]
    upscaled, latents[0] = pipeline._run, torch.full_like(latents[0], torch.nan)
    pipeline._run = lambda tiles: upscaled(tiles) * torch.nan
    monkeypatch.setattr("facegen.drawn.is_gpu", lambda device: True)
    orders = [Order(z, tmp_path / f"{seed}.png", {"size": 256}) for seed, z in enumerate(latents)]
    failed = [str(face.exception()) for face in write_all(pipeline, orders, 256, "sample")]
    assert ["drew one flat colour" in text for text in failed] == [True] * GPU_FACES + [False]
    assert "made values that are not finite" in failed[-1]
