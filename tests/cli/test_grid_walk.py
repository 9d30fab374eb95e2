"""`facegen grid-walk`: a cell for each seed, each on a walk of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facegen.arrays import to_picture
from facegen.media.images import read_image, resize
from facegen.media.record import RECORD_KEY, Record
from facegen.media.video_reader import Clip, video_text
from facegen.pipeline import FacePipeline
from facegen.video.cells import GAP
from tests.cli.conftest import Facegen


def test_every_cell_begins_at_its_seed(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    words = ("--seeds", "0-4", "--columns", 3, "--size", 64, "--seconds", "0.4", "--fps", 5, "--recipe", tiny_recipe)
    result = facegen("grid-walk", *words, "-o", tmp_path / "grid")
    assert result.exit_code == 0, result.output
    frames = [read_image(path).rgb for path in sorted((tmp_path / "grid").iterdir())]
    assert [frame.shape for frame in frames] == [(2 * 64 + GAP, 3 * 64 + 2 * GAP, 3)] * 2
    pipeline = FacePipeline.load(tiny_recipe)
    face = resize(to_picture(pipeline.draw(pipeline.latent(4))), (64, 64))
    assert np.abs(frames[0][-64:, 64 + GAP : 128 + GAP].astype(int) - face).max() <= 1
    assert (frames[0] != frames[1]).any()


def test_larger_cells_are_raised(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    words = ("--seeds", "0,1", "--stops", 2, "--size", 160, "--seconds", "0.2", "--fps", 5, "--recipe", tiny_recipe)
    result = facegen("grid-walk", *words, "-o", tmp_path / "grid.mkv", "--without", "previous,carry")
    assert result.exit_code == 0, result.output
    [(_, frame)] = Clip(tmp_path / "grid.mkv").frames()
    assert frame.shape == (160, 320 + GAP, 3)
    upscaled = resize(to_picture(FacePipeline.load(tiny_recipe).sample(0, 160).image), (160, 160))
    assert np.abs(frame[:, :160].astype(int) - upscaled).max() <= 4
    record = Record.model_validate_json(video_text(tmp_path / "grid.mkv")[RECORD_KEY])
    assert record.argv[:7] == ("grid-walk", "--seeds", "0,1", "--columns", "4", "--stops", "2")
    assert "--loop" in record.argv


def test_stops_need_seeds(facegen: Facegen, tmp_path: Path) -> None:
    result = facegen("grid-walk", "--seeds", "0,1", "-o", tmp_path / "grid.mp4")
    assert result.exit_code == 2
    assert "--stops 3 needs as many seeds; 2 are given." in result.stderr
