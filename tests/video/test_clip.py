"""Clips upscaled: one scale, heads followed, less flicker than frame by frame, and the same bytes after a stop."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facegen.arrays import RGB
from facegen.errors import UsageError
from facegen.faces.detect import heads_in_photo
from facegen.media.images import resize
from facegen.media.video_reader import Clip
from facegen.media.video_writer import write_video
from facegen.ops.flow import flow_between, warp
from facegen.photo import PhotoOptions, restore_photo
from facegen.pipeline import FacePipeline
from facegen.video.carry import motion
from facegen.video.clip import ClipUpscaler, SeenFrame, clip_scale, upscale_clip
from facegen.video.store import FrameStore
from tests import tiny
from tests.video.films import moving

FPS = Fraction(24)
TWICE = PhotoOptions(scale=2, background="tiles")


@pytest.fixture(scope="session")
def film(astronaut: RGB) -> list[RGB]:
    """4 frames of 120 x 104 px, a face in them all."""
    return moving(resize(astronaut, (160, 160)), 4, (120, 104))


@pytest.fixture(scope="session")
def clip(film: list[RGB], tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return Clip(write_video(tmp_path_factory.mktemp("clip") / "clip.mkv", film, FPS))


def upscale(upscaler: ClipUpscaler, rgb: RGB, before: RGB | None = None) -> RGB:
    moved = None if before is None else motion(before, rgb)
    return upscaler.begin(SeenFrame(Fraction(0), rgb, tuple(heads_in_photo(rgb)), moved)).result().rgb


def warping_error(frames: list[RGB], film: list[RGB]) -> float:
    """Mean difference between each frame and the one before, moved along the flow of the film enlarged."""
    shown = [resize(rgb, (2 * rgb.shape[1], 2 * rgb.shape[0])) for rgb in film]
    errors = []
    for (before, after), (a, b) in zip(pairwise(frames), pairwise(shown), strict=True):
        moved = warp(before, flow_between(a, b)).astype(float)
        errors.append(np.abs(moved - after)[24:-24, 24:-24].mean())
    return float(np.mean(errors))


def test_the_scale_is_the_largest_heads(clip: Clip) -> None:
    assert clip_scale(clip, PhotoOptions()) == 8
    assert clip_scale(clip, TWICE) == 2
    assert clip_scale(clip, PhotoOptions(background="keep")) == 1
    with pytest.raises(UsageError, match="choose --scale 53 or less"):
        clip_scale(clip, PhotoOptions(scale=60))


def test_frames_flicker_less_than_one_by_one_and_fit_the_clip(
    pipeline: FacePipeline, clip: Clip, film: list[RGB], tmp_path: Path
) -> None:
    counted: list[tuple[int, int | None]] = []
    with FrameStore(tmp_path / "frames", {}) as store:
        done = upscale_clip(pipeline, clip, 2, TWICE, store, lambda *counts: counted.append(counts))
        frames = list(store.frames())
    assert done.times == tuple(time for time, _ in clip.frames())
    assert counted == [(n, 4) for n in range(5)]
    assert done.heads == 1
    assert done.fit > 45
    alone = [restore_photo(pipeline, rgb, TWICE).rgb for rgb in film]
    assert np.abs(frames[0].astype(int) - alone[0]).mean() < 1  # of one candidate instead of two
    assert warping_error(frames, film) < 0.7 * warping_error(alone, film)


def test_a_stopped_clip_goes_on_with_the_same_frames(pipeline: FacePipeline, clip: Clip, tmp_path: Path) -> None:
    def stop(done: int, _: int | None) -> None:
        if done == 2:
            raise KeyboardInterrupt

    options = PhotoOptions(scale=2, background="lanczos")
    with FrameStore(tmp_path / "whole", {}) as store:
        whole = upscale_clip(pipeline, clip, 2, options, store)
        expected = list(store.frames())
    with FrameStore(tmp_path / "parts", {}) as store, pytest.raises(KeyboardInterrupt):
        upscale_clip(pipeline, clip, 2, options, store, stop)
    with FrameStore(tmp_path / "parts", {}) as store:
        assert store.done == 2
        assert upscale_clip(pipeline, clip, 2, options, store) == whole
        np.testing.assert_array_equal(list(store.frames()), expected)


def test_a_background_that_is_kept_stays_pixel_for_pixel(film: list[RGB], tmp_path: Path) -> None:
    pipeline = FacePipeline.load(tiny.save_all(tmp_path))
    for net in (pipeline.upscaler,):  # as it is, a tiny network makes no detail that the heads lack
        torch.nn.init.normal_(net.to_rgb.weight, std=1.0, generator=torch.Generator().manual_seed(0))
    upscaler = ClipUpscaler(pipeline, 1, PhotoOptions(background="keep"), fps=24)
    soft = [np.asarray(cv2.GaussianBlur(rgb, (0, 0), 1.5), dtype=np.uint8) for rgb in film[:2]]
    for rgb in soft:
        result = upscale(upscaler, rgb)
        assert result.shape == rgb.shape
        changed = (result != rgb).any(-1)
        assert 0.1 < changed.mean() < 0.75
    np.testing.assert_array_equal(result[:, -6:], rgb[:, -6:])


def test_a_cut_leaves_nothing_behind(pipeline: FacePipeline, film: list[RGB]) -> None:
    options = PhotoOptions(scale=2, background="lanczos")
    noise = np.random.default_rng(0).integers(0, 256, film[0].shape, dtype=np.uint8)
    upscaler = ClipUpscaler(pipeline, 2, options, fps=24)
    upscale(upscaler, film[0])
    after_cut = upscale(upscaler, noise, film[0])
    by_itself = upscale(ClipUpscaler(pipeline, 2, options, fps=24), noise)
    assert np.abs(after_cut.astype(int) - by_itself).mean() < 1.5
