"""Walks: through every keyframe, closed where they loop, each frame by its number alone; keyframes out of pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facegen.errors import FileError, ShapeError, UsageError, WeightsError
from facegen.media.images import write_image
from facegen.media.record import RECORD_KEY, record_text
from facegen.pipeline import FacePipeline
from facegen.video.walk import CURVES, EASINGS, Curve, Easing, Walk, WalkOptions, latent_in

KEYFRAMES = np.random.default_rng(0).standard_normal((4, 16))


def latents(walk: Walk) -> NDArray[np.float64]:
    return torch.stack([walk.latent(frame) for frame in range(walk.count)]).double().numpy()


def steps(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(np.diff(points, axis=0), axis=1))


@pytest.mark.parametrize("path", CURVES)
@pytest.mark.parametrize("easing", EASINGS)
def test_goes_through_every_keyframe(path: Curve, easing: Easing) -> None:
    opened = latents(Walk(KEYFRAMES, 31, WalkOptions(path, easing)))
    assert opened.shape == (31, 16)
    assert np.allclose(opened[::10], KEYFRAMES, atol=1e-6)
    closed = latents(Walk(KEYFRAMES, 40, WalkOptions(path, easing, loop=True)))
    assert np.allclose(closed[::10], KEYFRAMES, atol=1e-6)


@pytest.mark.parametrize("path", CURVES)
def test_stays_on_the_shell(path: Curve) -> None:
    alike = KEYFRAMES / np.linalg.norm(KEYFRAMES, axis=1, keepdims=True) * 4
    assert np.allclose(np.linalg.norm(latents(Walk(alike, 50, WalkOptions(path))), axis=1), 4, atol=1e-5)
    grown = np.linalg.norm(latents(Walk(np.stack([alike[0], 2 * alike[1]]), 5, WalkOptions(path))), axis=1)
    assert np.allclose(grown, np.linspace(4, 8, 5) if path == "slerp" else np.geomspace(4, 8, 5), atol=1e-5)


def test_slerp_moves_evenly_along_the_arc() -> None:
    points = latents(Walk(np.array([[1.0, 0], [0, 1]]), 10, WalkOptions("slerp")))
    assert np.allclose(np.arctan2(points[:, 1], points[:, 0]), np.linspace(0, np.pi / 2, 10), atol=1e-6)


@pytest.mark.parametrize("path", CURVES)
def test_a_loop_closes_without_a_doubled_frame(path: Curve) -> None:
    """The step from the last frame to the first is as long as those next to it."""
    points = latents(Walk(KEYFRAMES, 400, WalkOptions(path, loop=True)))
    back = float(np.linalg.norm(points[-1] - points[0]))
    others = steps(points)[-1]
    assert back == pytest.approx(float(others), rel=0.05)
    assert steps(points).min() > back / 10


def test_a_spline_has_no_corner_where_slerp_has() -> None:
    turns = {}
    for path in CURVES:
        points = latents(Walk(KEYFRAMES, 401, WalkOptions(path, loop=True)))
        velocity = np.diff(points, axis=0)
        turns[path] = np.linalg.norm(np.diff(velocity, axis=0), axis=1).max() / steps(points).mean()
    assert turns["spline"] < 0.1
    assert turns["slerp"] > 0.5


def test_ease_comes_to_rest_at_keyframes() -> None:
    moved = steps(latents(Walk(KEYFRAMES[:2], 101, WalkOptions("slerp", "ease"))))
    assert moved[0] < 0.05 * moved[50]
    assert moved[-1] < 0.05 * moved[50]
    assert moved[50] == pytest.approx(1.5 * moved.mean(), rel=0.01)  # smoothstep's steepest slope


@pytest.mark.parametrize("path", CURVES)
def test_equal_keyframes_stand_still(path: Curve) -> None:
    points = latents(Walk(KEYFRAMES[[0, 0]], 5, WalkOptions(path)))
    assert np.allclose(points, KEYFRAMES[0], atol=1e-6)


def test_one_frame_is_the_first_keyframe() -> None:
    assert np.allclose(latents(Walk(KEYFRAMES, 1)), KEYFRAMES[:1], atol=1e-6)


def test_latents_are_float32_and_the_same_every_time() -> None:
    one, other = (Walk(KEYFRAMES, 9) for _ in range(2))
    assert one.latent(5).dtype == torch.float32
    assert torch.equal(one.latent(5), [other.latent(frame) for frame in range(9)][5])


def test_what_cannot_be_walked_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"keyframes have shape \(16,\), expected \(N, z_dim\)"):
        Walk(KEYFRAMES[0], 5)
    with pytest.raises(UsageError, match="1 keyframes and 5 frames; expected at least 2 and 1"):
        Walk(KEYFRAMES[:1], 5)
    with pytest.raises(UsageError, match="4 keyframes and 0 frames"):
        Walk(KEYFRAMES, 0)
    with pytest.raises(UsageError, match="keyframe 2 is zero"):
        Walk(KEYFRAMES * [[1], [0], [1], [1]], 5)
    with pytest.raises(UsageError, match="after keyframe 1 is its opposite"):
        Walk(np.stack([KEYFRAMES[0], -2 * KEYFRAMES[0]]), 5)
    with pytest.raises(UsageError, match="frame 5 of 5; expected 0 to 4"):
        Walk(KEYFRAMES, 5).latent(5)
    with pytest.raises(UsageError, match="path 'splin'; did you mean 'spline'\\? Known: spline, slerp"):
        WalkOptions(path="splin")  # type: ignore[arg-type]


PLAIN = np.zeros((8, 8, 3), np.uint8)


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


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("truncation", x) for x in (None, "wide", 0, -1, float("nan"), float("inf"))),
        *(("rejection", x) for x in ("all", 1)),
    ],
)
def test_an_impossible_recipe_is_damage(pipeline: FacePipeline, tmp_path: Path, key: str, value: object) -> None:
    values = json.loads(record_text(pipeline, "sample", {"seeds": 7}, z=pipeline.latent(7))[RECORD_KEY])
    values["recipe"][key] = value
    path = write_image(tmp_path / "a.png", PLAIN, text={RECORD_KEY: json.dumps(values)})
    with pytest.raises(FileError, match=r"a\.png: .*damaged"):
        latent_in(pipeline, path)
