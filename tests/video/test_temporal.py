"""Frames upscaled one after the other: alone as the pipeline makes them, together with less flicker, and the same
when resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from facegen import candidates as candidates_module
from facegen.arrays import RGB, to_rgb, to_tensor
from facegen.candidates import Candidates
from facegen.errors import UsageError
from facegen.evaluation.temporal import TemporalMeter
from facegen.ops.consistency import low_res_psnr
from facegen.pipeline import FacePipeline
from facegen.threads import threads
from facegen.video.temporal import BONUS, TemporalOptions, TemporalUpscaler, similarity
from tests import tiny
from tests.conftest import face_points
from tests.ops.test_flow import moved

OFF = TemporalOptions(landmarks=False, hysteresis=False, carry=False)
SIZE = 256


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> FacePipeline:
    return FacePipeline.load(tiny.save_all(tmp_path_factory.mktemp("weights")))


@pytest.fixture(scope="module")
def faces(head: RGB) -> list[Tensor]:
    """A head that moves to the right by a pixel a frame."""
    small = cv2.resize(head, (128, 128), interpolation=cv2.INTER_AREA)
    return [to_tensor(moved(np.asarray(small, dtype=np.uint8), step, 0)) for step in range(5)]


def film(pipeline: FacePipeline, options: TemporalOptions, faces: list[Tensor]) -> list[Tensor]:
    temporal = TemporalUpscaler(pipeline, options, fps=12)
    return [temporal.upscale_face(face, SIZE).image for face in faces]


def test_with_everything_off_frames_are_upscaled_one_by_one(pipeline: FacePipeline, faces: list[Tensor]) -> None:
    for face, image in zip(faces[:3], film(pipeline, OFF, faces[:3]), strict=True):
        assert torch.equal(image, pipeline(face, SIZE).image)


def test_faults_of_drawn_faces_are_repaired(tmp_path: Path, faces: list[Tensor]) -> None:
    upscaler = tiny.save(tmp_path, tiny.upscaler(in_channels=7, strength=True), "rgb")
    overrides = [f'weights.upscaler="{upscaler}"', "drawn_strength=0.75"]
    pipeline = FacePipeline.load(tiny.save_all(tmp_path / "others"), overrides)
    assert torch.equal(film(pipeline, OFF, faces[:1])[0], pipeline(faces[0], SIZE, drawn=True).image)
    assert not torch.equal(film(pipeline, OFF, faces[:1])[0], pipeline(faces[0], SIZE).image)


def test_the_first_frame_is_the_pipelines_own(pipeline: FacePipeline, faces: list[Tensor]) -> None:
    frame = TemporalUpscaler(pipeline, TemporalOptions(), fps=12).upscale_face(faces[0], SIZE)
    assert torch.equal(frame.image, pipeline(faces[0], SIZE, count=1).image)


def test_together_they_flicker_less_and_are_as_sharp(pipeline: FacePipeline, faces: list[Tensor]) -> None:
    found = {}
    for options in (OFF, TemporalOptions()):
        meter = TemporalMeter(12)
        for image in film(pipeline, options, faces):
            meter.add(to_rgb(image))
        found[options] = meter.result()
    alone, together = found[OFF], found[TemporalOptions()]
    assert alone.flicker is not None
    assert together.flicker is not None
    assert together.flicker < 0.7 * alone.flicker
    assert 0.95 < together.sharpness / alone.sharpness < 1.1


def test_every_frame_agrees_with_its_input(pipeline: FacePipeline, faces: list[Tensor]) -> None:
    temporal = TemporalUpscaler(pipeline, TemporalOptions(), fps=12)
    for face in faces[:3]:
        frame = temporal.upscale_face(face, SIZE)
        assert low_res_psnr(frame.image, frame.upscaled.reference) > 55


def test_the_choice_before_has_a_bonus(
    pipeline: FacePipeline, faces: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Candidates] = []

    def select(candidates: list[Candidates], *options: Any) -> tuple[Tensor, Tensor]:
        seen.extend(candidates)
        return candidates_module.select(candidates, *options)

    monkeypatch.setattr("facegen.pipeline.select", select)
    temporal = TemporalUpscaler(pipeline, replace(OFF, hysteresis=True), fps=12)
    first, _ = (temporal.upscale_face(face, SIZE).upscaled for face in faces[:2])
    bonus = seen[1].bonus
    assert seen[0].bonus is None
    assert bonus is not None
    assert torch.equal(bonus.argmax(1), first.chosen)
    assert torch.equal(bonus.sum(1), torch.full((len(first.plan),), BONUS))


def test_one_candidate_is_enough_where_detail_is_carried(pipeline: FacePipeline, faces: list[Tensor]) -> None:
    frame = TemporalUpscaler(pipeline, TemporalOptions(), fps=12).upscale_face(faces[0], SIZE)
    assert frame.upscaled.names == ("identity",)


def test_a_picture_larger_than_its_only_tile_does_not_grow_sharper(pipeline: FacePipeline, faces: list[Tensor]) -> None:
    """A frame mixed before it agrees with its input would be amplified again and again."""
    there_and_back = [faces[step] for step in (0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3)]
    sharpness = {}
    for options in (replace(OFF, carry=True), OFF):
        meter = TemporalMeter(12)
        for image in film(pipeline, options, there_and_back):
            meter.add(to_rgb(image))
        sharpness[options] = meter.result().sharpness
    assert 0.95 < sharpness[replace(OFF, carry=True)] / sharpness[OFF] < 1.1


def test_on_threads_frames_are_the_same(pipeline: FacePipeline, faces: list[Tensor]) -> None:
    options = TemporalOptions(stabilize=0.5)
    temporal = TemporalUpscaler(pipeline, options, fps=12)
    with threads(1) as submit:
        expected = submit(lambda: film(pipeline, options, faces)).result()
    with threads(3) as submit:
        begun = [temporal.begin(face, SIZE, submit) for face in faces]
        for frame, image in zip(begun, expected, strict=True):
            assert torch.equal(frame.result().image, image)


def test_restored_it_goes_on_bit_for_bit(pipeline: FacePipeline, faces: list[Tensor]) -> None:
    options = TemporalOptions(stabilize=0.5)
    whole = film(pipeline, options, faces[:4])
    first, second = TemporalUpscaler(pipeline, options, fps=12), TemporalUpscaler(pipeline, options, fps=12)
    latest = [first.upscale_face(face, SIZE) for face in faces[:2]][-1]
    second.restore(latest.state())
    for face, image in zip(faces[2:4], whole[2:], strict=True):
        assert torch.equal(second.upscale_face(face, SIZE).image, image)


def test_landmarks_stay_where_the_detector_misses(pipeline: FacePipeline, faces: list[Tensor]) -> None:
    temporal = TemporalUpscaler(pipeline, TemporalOptions(), fps=12)
    seen = temporal.locate(faces[0])
    missed = temporal.locate(torch.zeros(3, 128, 128))
    assert (seen.detected, missed.detected) == (True, False)
    np.testing.assert_allclose(missed.points, seen.points)


def test_the_camera_follows_the_face(pipeline: FacePipeline, faces: list[Tensor]) -> None:
    still = film(pipeline, TemporalOptions(stabilize=1.0), faces)
    free = film(pipeline, TemporalOptions(), faces)
    middle = (slice(None), slice(64, 192), slice(64, 192))

    def change(images: list[Tensor]) -> float:
        return float((images[-1][middle] - images[0][middle]).abs().mean())

    assert torch.equal(still[0], free[0]) or torch.allclose(still[0], free[0], atol=1e-3)
    assert change(still) < 0.7 * change(free)


def test_a_camera_that_went_round_begins_where_it_ends(pipeline: FacePipeline, faces: list[Tensor]) -> None:
    options = TemporalOptions(landmarks=False, hysteresis=False, carry=False, stabilize=1.0)

    def step(rounds: int) -> float:
        """From the last frame of a loop that swings from left to right to its first."""
        temporal = TemporalUpscaler(pipeline, options, fps=5)
        for face in rounds * [*faces, *faces[-2:0:-1]]:
            temporal.follow(face)
        first = temporal.upscale_face(faces[0], SIZE).image
        for face in [*faces[1:], *faces[-2:0:-1]]:
            temporal.follow(face)
        return float((temporal.upscale_face(faces[0], SIZE).image - first).abs().mean())

    assert step(rounds=3) < 0.3 * step(rounds=0)


def test_similarity_is_found_again() -> None:
    points = face_points(1.0)[[36, 45, 48, 54]]
    wanted = np.array([[1.1, -0.2, 0.3], [0.2, 1.1, -0.1]])
    np.testing.assert_allclose(similarity(points, points @ wanted[:, :2].T + wanted[:, 2]), wanted, atol=1e-12)


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_stabilize_is_a_share(pipeline: FacePipeline, share: float) -> None:
    with pytest.raises(UsageError, match="expected 0"):
        TemporalUpscaler(pipeline, TemporalOptions(stabilize=share), fps=12)


def test_networks_out_of_memory_go_on_with_the_processor(
    pipeline: FacePipeline, faces: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, fails = film(pipeline, OFF, faces[:1]), iter([True])

    def select(*options: Any) -> tuple[Tensor, Tensor]:
        if next(fails, False):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return candidates_module.select(*options)

    monkeypatch.setattr("facegen.pipeline.select", select)
    with pytest.warns(RuntimeWarning, match="going on with the processor"):
        assert torch.equal(film(pipeline, OFF, faces[:1])[0], wanted[0])
