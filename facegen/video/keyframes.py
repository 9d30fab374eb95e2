"""Latents to walk from: of seeds, of faces drawn before, of photos."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from facegen.errors import ImageError, WeightsError
from facegen.latents import latent_sha256, read_latent
from facegen.pipeline import FacePipeline
from facegen.provenance import Record, read_record
from facegen.weights import find_weights, read_card


def latent_in(pipeline: FacePipeline, picture: Path) -> Tensor:
    """The (z_dim,) latent that a picture was drawn from, told by the record in its file.

    Args:
        pipeline: its generator must be the one that drew the picture.
    Raises:
        ImageError: if the picture has no record, was not drawn from a latent, or its record contradicts itself.
        WeightsError: if another generator drew it.
    """
    record = read_record(picture)
    if record.z is None or (record.latent is None and record.seed is None):
        raise ImageError(
            f"{picture}: was not drawn from a latent, but made by facegen {record.argv[0]}; give a face that facegen "
            "sample or project wrote, or find the nearest latent with --project."
        )
    _check_generator(pipeline, picture, record)
    z = _of_seed(pipeline, record) if record.latent is None else read_latent(record.latent, picture)
    if latent_sha256(z) != record.z:
        raise ImageError(f"{picture}: its record is damaged (latent and its hash disagree); get the picture again.")
    return z


def _of_seed(pipeline: FacePipeline, record: Record) -> Tensor:
    """The latent of the record's seed, under the record's truncation."""
    assert record.seed is not None
    return pipeline.latent(record.seed, record.recipe["truncation"])


def _check_generator(pipeline: FacePipeline, picture: Path, record: Record) -> None:
    name = pipeline.recipe.weights.generator
    ours = read_card(find_weights(name)).sha256
    if ours not in record.weights.values():
        raise WeightsError(
            f"{picture}: was drawn by another generator than {name!r} (SHA-256 {ours}); its latent means another face "
            "there. Draw it again, or name its generator with --set weights.generator=."
        )
