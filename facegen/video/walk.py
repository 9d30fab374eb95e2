"""A walk through the latent space, from keyframe to keyframe, with one latent per frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from torch import Tensor

from facegen.arrays import Points
from facegen.errors import FileError, ShapeError, UsageError, WeightsError, suggest
from facegen.media.record import latent_sha256, read_latent, read_record
from facegen.pipeline import FacePipeline
from facegen.weights import find_weights, read_card

Curve = Literal["spline", "slerp"]
Easing = Literal["linear", "ease"]
CURVES: tuple[Curve, ...] = get_args(Curve)
EASINGS: tuple[Easing, ...] = get_args(Easing)

OPPOSITE = 1e-6
"""Unit vectors whose sum is shorter than this are opposite: there is no shortest way between them."""


@dataclass(frozen=True)
class WalkOptions:
    """The way from keyframe to keyframe."""

    path: Curve = "spline"
    """"slerp" follows great circles from each keyframe to the next (Shoemake 1985), at a constant speed on each;
    "spline" follows a cubic spline through all of them, without corners."""
    easing: Easing = "linear"  # "ease" comes to rest at every keyframe (smoothstep)
    loop: bool = False  # go on from the last keyframe to the first; the frame after the last would be the first again

    def __post_init__(self) -> None:
        for key, value, known in (("path", self.path, CURVES), ("easing", self.easing, EASINGS)):
            if value not in known:
                raise UsageError(f"{key} {value!r}" + suggest(value, known, "'"))


class Walk:
    """The latents of a film. Each depends only on its frame's number, so a film can go on at any frame.

    Normal latents are near a sphere, and those inside it give poor faces. So the path determines only the direction,
    and the length is interpolated between the keyframes' lengths: linearly for "slerp", along a spline of its logarithm
    for "spline".

    Args:
        keyframes: (N, z_dim), two or more, none of them zero, none the opposite of the one before it.
        count: frames of the film.
    Raises:
        UsageError: if there are too few keyframes or frames, or there is no way to a keyframe.
    """

    def __init__(self, keyframes: NDArray[np.floating], count: int, options: WalkOptions | None = None) -> None:
        self.count, self.options = count, options or WalkOptions()
        if keyframes.ndim != 2:
            raise ShapeError(f"Walk: keyframes have shape {keyframes.shape}, expected (N, z_dim).")
        if len(keyframes) < 2 or count < 1:
            raise UsageError(f"Walk: {len(keyframes)} keyframes and {count} frames; expected at least 2 and 1.")
        self.keyframes = points = keyframes.astype(np.float64)
        if self.options.loop:
            points = np.concatenate([points, points[:1]])
        self._lengths = np.linalg.norm(points, axis=1)
        self._directions = _directions(points, self._lengths)
        ends, knots = "periodic" if self.options.loop else "natural", np.arange(len(points))
        self._direction_spline = CubicSpline(knots, self._directions, bc_type=ends)
        self._length_spline = CubicSpline(knots, np.log(self._lengths), bc_type=ends)

    def latent(self, frame: int) -> Tensor:
        """The latent of a frame, 0 to count - 1: (z_dim,) float32."""
        if not 0 <= frame < self.count:
            raise UsageError(f"Walk: frame {frame} of {self.count}; expected 0 to {self.count - 1}.")
        segment, share = self._position(frame)
        if self.options.path == "slerp":
            direction = self._slerp(segment, share)
            length = np.interp(share, (0, 1), self._lengths[segment : segment + 2])
        else:
            direction = self._direction_spline(segment + share)
            length = np.exp(self._length_spline(segment + share))
        return torch.from_numpy(direction * (length / np.linalg.norm(direction))).float()

    def _position(self, frame: int) -> tuple[int, float]:
        """The index of the keyframe before a frame, and the frame's eased share of the way to the next keyframe."""
        segments = len(self._lengths) - 1
        steps = self.count if self.options.loop else max(self.count - 1, 1)
        segment = min(segments * frame // steps, segments - 1)
        share = segments * frame / steps - segment
        return segment, share * share * (3 - 2 * share) if self.options.easing == "ease" else share

    def _slerp(self, segment: int, share: float) -> Points:
        """The direction at a share of the arc from a keyframe to the next, of any length."""
        a, b = self._directions[segment : segment + 2]
        angle = 2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b))  # exact for small angles too
        if angle < OPPOSITE:
            return np.asarray(a + share * (b - a))
        return np.asarray(np.sin((1 - share) * angle) * a + np.sin(share * angle) * b)


def _directions(points: Points, lengths: Points) -> Points:
    """Scale keyframes, (N, z_dim), to length 1; refuse those that no walk can pass."""
    if not lengths.all():
        raise UsageError(f"Walk: keyframe {int(np.argmin(lengths)) + 1} is zero and has no direction; leave it out.")
    found = points / lengths[:, None]
    for number, (a, b) in enumerate(pairwise(found), start=1):
        if np.linalg.norm(a + b) < OPPOSITE:
            raise UsageError(
                f"Walk: the keyframe after keyframe {number} is its opposite, and all ways between them are equally "
                "long; insert another keyframe between them."
            )
    return np.asarray(found)


def latent_in(pipeline: FacePipeline, picture: Path) -> Tensor:
    """Read the latent, (z_dim,), that a picture was drawn from, from the record in its file.

    Raises:
        FileError: if the picture has no record, was not drawn from a latent, or its record contradicts itself.
        WeightsError: if another generator drew it.
    """
    record = read_record(picture)
    if record.z is None or (record.latent is None and record.seed is None):
        raise FileError(
            f"{picture}: was not drawn from a latent, but made by facegen {record.argv[0]}; give a face that facegen "
            "sample or project wrote, or find the nearest latent with --project."
        )
    name = pipeline.recipe.weights.generator
    if (sha256 := read_card(find_weights(name)).sha256) not in record.weights.values():
        raise WeightsError(
            f"{picture}: was drawn by another generator than {name!r} (SHA-256 {sha256}), which draws another face "
            "from its latent. Draw it again, or name its generator with --set weights.generator=."
        )
    if record.latent is not None:
        z = read_latent(record.latent, picture)
    else:
        assert record.seed is not None
        truncation, rejection = (record.recipe.get(key, 0) for key in ("truncation", "rejection"))
        numbers = isinstance(truncation, int | float) and isinstance(rejection, int | float)
        if not numbers or not 0 < truncation < math.inf or not 0 <= rejection < 1:
            raise FileError(f"{picture}: its record is damaged (truncation, rejection); get the picture again.")
        z = pipeline.latent(record.seed, truncation, rejection)
    if latent_sha256(z) != record.z:
        raise FileError(
            f"{picture}: its record is damaged (latent and its hash disagree), or the generator's rating was another; "
            "get the picture again."
        )
    return z
