"""Faces on the page: drawn from seeds, their neighbours, changed along main directions of the latents, upscaled."""

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
"""Side of an upscaled face in pixels."""


@dataclass(frozen=True)
class Face:
    """A face of the page: its latent, and the seed that it came from."""

    z: Tensor
    """(z_dim,)."""
    truncation: float
    seed: int | None = None
    """None if the latent is not that of a seed."""

    @property
    def caption(self) -> str:
        """The seed, as the page shows it."""
        return "" if self.seed is None else str(self.seed)

    def overrides(self, pipeline: FacePipeline) -> tuple[str, ...]:
        """Return the --set options with which `facegen sample` draws it; `pipeline` is made without any."""
        default = pipeline.recipe.truncation
        return () if self.seed is None or self.truncation == default else (f"truncation={self.truncation}",)


def faces_of(pipeline: FacePipeline, seeds: Sequence[int], truncation: float) -> list[Face]:
    """Make the faces of seeds."""
    return [Face(pipeline.latent(seed, truncation), truncation, seed) for seed in seeds]


def fits(pipeline: FacePipeline, faces: Sequence[Face]) -> bool:
    """Return True if the generator can draw these faces, which may come from another generator."""
    return all(len(face.z) == pipeline.generator.config.z_dim for face in faces)


def neighbours(face: Face, count: int, distance: float) -> list[Face]:
    """Return the face itself and `count - 1` others in random directions from it, always the same.

    Args:
        distance: 0 is the face itself, 1 is at a right angle to it, as a random face would be.
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
    """Return the (count, z_dim) unit directions of z along which the generator's first layer changes most.

    Source: SeFa (Shen & Zhou, "Closed-Form Factorization of Latent Semantics in GANs", 2021): the eigenvectors of
    A'A, where A is the first layer's matrix; here including its batch normalisation and the map of z before it.
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
    """Move a face along (N, z_dim) directions by N amounts, in standard deviations; keep the length of the latent."""
    if not any(amounts):
        return face
    z = face.z + torch.tensor(amounts, dtype=ways.dtype) @ ways
    return Face(z * face.z.norm() / z.norm(), face.truncation)


def draw(pipeline: FacePipeline, face: Face) -> RGB:
    """Draw a face with the generator: (128, 128, 3)."""
    return to_rgb(pipeline.draw(face.z))


def preview(pipeline: FacePipeline, face: Face) -> RGB:
    """Draw a face and enlarge it by interpolation: (768, 768, 3)."""
    return resize(draw(pipeline, face), (SIDE, SIDE))


def upscale(studio: Studio, job: Job, preset: str, face: Face) -> Drawn:
    """Upscale a face and write it; the file of a seed has the same bytes as that of `facegen sample`."""
    overrides = face.overrides(studio.pipeline(preset))
    pipeline = studio.pipeline(preset, overrides)
    options: dict[str, Any] = {"size": SIDE, "format": "png", "recipe": preset, "set": overrides}
    name, command = f"face-{SIDE}.png", "studio"
    if face.seed is not None:
        name, command, options = f"seed{face.seed:04d}-{SIDE}.png", "sample", {"seeds": face.seed} | options
    pipeline.progress = lambda done, of: job.report(done / of, f"{done} of {of} tiles")
    try:
        return write_drawn(pipeline, Order(face.z, studio.new_folder() / name, options), command)
    finally:
        pipeline.progress = None


def stages(drawn: Drawn) -> Mapping[str, Path]:
    """Write pictures that explain a face next to it: the generator's face, guide, tiles, chosen candidates."""
    steps = stage_pictures(drawn.upscaled, drawn.face)
    pictures = {"128 px": steps["face"], "Guide": steps.get("guide"), "Tiles": steps["tiles"]}
    pictures["Votes"] = vote_map(drawn.upscaled)
    others = {
        name: write_image(drawn.path.with_name(f"{name.lower().replace(' ', '-')}.png"), picture, label="composite")
        for name, picture in pictures.items()
        if picture is not None
    }
    return {"Face": drawn.path} | others
