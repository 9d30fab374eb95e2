"""Faces on the page: drawn from seeds, their neighbours, moved along the latents' main directions, and upscaled."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facegen.arrays import RGB, to_rgb
from facegen.drawn import Drawn, Order, write_drawn
from facegen.explain import stage_pictures, vote_map
from facegen.media.images import resize, write_image
from facegen.models.dcgan import DCGANGenerator
from facegen.pipeline import FacePipeline
from facegen.studio.work import PIPELINES_KEPT, Job, Studio

SIDE = 768
"""Side of a face that is shown large, in pixels."""


@dataclass(frozen=True)
class Face:
    """A face of the page: where it lies among the latents, and the seed it came from."""

    z: Tensor
    """(z_dim,)."""
    truncation: float
    seed: int | None = None
    """None if it was moved from where a seed put it."""

    @property
    def caption(self) -> str:
        """The seed, as the page shows it."""
        return "" if self.seed is None else str(self.seed)

    def overrides(self, pipeline: FacePipeline) -> tuple[str, ...]:
        """The --set options with which `facegen sample` draws it; `pipeline` has the recipe alone."""
        usual = pipeline.recipe.truncation
        return () if self.seed is None or self.truncation == usual else (f"truncation={self.truncation}",)


def faces_of(pipeline: FacePipeline, seeds: Sequence[int], truncation: float) -> list[Face]:
    """The faces of seeds."""
    return [Face(pipeline.latent(seed, truncation), truncation, seed) for seed in seeds]


def fits(pipeline: FacePipeline, faces: Sequence[Face]) -> bool:
    """Return whether the generator can draw faces that another may have drawn."""
    return all(len(face.z) == pipeline.generator.config.z_dim for face in faces)


def neighbours(face: Face, count: int, distance: float) -> list[Face]:
    """The face itself, and others in random directions around it, always the same.

    Args:
        distance: 0 is the face, 1 a right angle to it, as far as any other face.
    """
    rng, length, found = torch.Generator().manual_seed(0), face.z.norm(), [face]
    for _ in range(count - 1):
        other = torch.randn(len(face.z), generator=rng)
        aside = other - (other @ face.z) / length**2 * face.z
        angle = distance * math.pi / 2
        z = math.cos(angle) * face.z + math.sin(angle) * length * aside / aside.norm()
        found.append(Face(z, face.truncation))
    return found


@lru_cache(PIPELINES_KEPT)
def directions(generator: DCGANGenerator, count: int) -> Tensor:
    """The (count, z_dim) directions of z, of length 1, in which the generator's first layer changes most.

    Source: SeFa (Shen & Zhou, "Closed-Form Factorization of Latent Semantics in GANs", 2021): the eigenvectors of
    A'A, where A is the first layer's matrix; here with its batch normalisation, and the map of z before it.
    """
    layer, norm = generator.stem[0], generator.stem[1]
    assert isinstance(layer, nn.ConvTranspose2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_var is not None
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    matrix = (layer.weight * gain[:, None, None]).flatten(1).detach().cpu().double()  # (z_dim, w0 * 16)
    if generator.config.mapped:
        matrix = generator.latent_factor.detach().cpu().double().T @ matrix
    values, vectors = torch.linalg.eigh(matrix @ matrix.T)
    ways: Tensor = vectors.T[values.argsort(descending=True)[:count]].float()
    return ways


def moved(face: Face, ways: Tensor, amounts: Sequence[float]) -> Face:
    """A face moved along directions, (N, z_dim), by so many standard deviations; the latent's length stays."""
    if not any(amounts):
        return face
    z = face.z + torch.tensor(amounts, dtype=ways.dtype) @ ways
    return Face(z * face.z.norm() / z.norm(), face.truncation)


def small(pipeline: FacePipeline, face: Face) -> RGB:
    """The face as the generator draws it: (128, 128, 3)."""
    return to_rgb(pipeline.draw(face.z))


def preview(pipeline: FacePipeline, face: Face) -> RGB:
    """The same, merely enlarged: (768, 768, 3)."""
    return resize(small(pipeline, face), (SIDE, SIDE))


def large(studio: Studio, job: Job, preset: str, face: Face) -> Drawn:
    """Upscale a face and write it: to the bytes that `facegen sample` writes, if it has a seed."""
    overrides = face.overrides(studio.pipeline(preset))
    pipeline = studio.pipeline(preset, overrides)
    options: dict[str, Any] = {"size": SIDE, "format": "png", "recipe": preset, "set": overrides}
    name, command = f"face-{SIDE}.png", "studio"
    if face.seed is not None:
        name, command, options = f"seed{face.seed:04d}-{SIDE}.png", "sample", {"seeds": face.seed} | options
    pipeline.progress = lambda done, of: job.tell(done / of, f"{done} of {of} tiles")
    try:
        return write_drawn(pipeline, Order(face.z, studio.new_folder() / name, options), command)
    finally:
        pipeline.progress = None


def stages(drawn: Drawn) -> Mapping[str, Path]:
    """Write the pictures that explain a face next to it: what the generator drew, guide, tiles, and whose won where."""
    steps = stage_pictures(drawn.upscaled, drawn.face)
    shown = {"128 px": steps["face"], "Guide": steps.get("guide"), "Tiles": steps["tiles"]}
    shown["Votes"] = vote_map(drawn.upscaled)
    others = {
        name: write_image(drawn.path.with_name(f"{name.lower().replace(' ', '-')}.png"), picture, label="composite")
        for name, picture in shown.items()
        if picture is not None
    }
    return {"Face": drawn.path} | others
