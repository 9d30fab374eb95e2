"""The record of how a picture was made: what it says, writing it into the file, and reading it back."""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import os
import platform
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from torch import Tensor

from facegen import __version__
from facegen.errors import ImageError, WeightsError
from facegen.files import sha256_of
from facegen.media.images import picture_text
from facegen.media.video_reader import is_clip, video_text
from facegen.ops.seams import SeamGauge, seam_gauge
from facegen.ops.tiling import TilePlan
from facegen.weights import find_weights, read_card

if TYPE_CHECKING:
    from facegen.pipeline import FacePipeline, Upscaled

__all__ = ["COMMAND_KEY", "RECORD_KEY", "Record", "arguments", "check_weights", "read_record", "record_text"]

COMMAND_KEY, RECORD_KEY = "facegen", "facegen-record"
"""Of a picture's text: the command line that makes it, and the record as JSON."""


def record_text(
    pipeline: FacePipeline,
    command: str,
    options: Mapping[str, Any],
    *,
    upscaled: Sequence[Upscaled] = (),
    source: Path | None = None,
    z: Tensor | None = None,
    keyframes: Iterable[Tensor] = (),
    fit: float | None = None,
    seams: SeamGauge | None = None,
) -> dict[str, str]:
    """The text for `write_image` that says how a picture was made.

    Args:
        pipeline: what made it.
        command: as "sample".
        options: those that shape the picture, as `arguments` takes them; a whole number "seeds" is a sample's seed.
        upscaled: what the pipeline returned, in order.
        source: the photo it was made from.
        z: (z_dim,) the latent it was drawn from.
        keyframes: (z_dim,) the latents that a film goes through.
        fit, seams: as measured in a whole photo's result.
    Raises:
        ImageError: if the source cannot be read.
        WeightsError: if the weights' cards cannot be read.
    """
    argv = arguments(command, options, source)
    seed = seeds if isinstance(seeds := options.get("seeds"), int) else None
    record = Record(
        **_maker(pipeline),
        argv=argv,
        seed=seed,
        z=None if z is None else latent_sha256(z),
        latent=None if z is None or seed is not None else latent_text(z),
        keyframes=tuple(latent_text(keyframe) for keyframe in keyframes),
        source=None if source is None else SourceRecord(name=_as_text(source.name), sha256=sha256_of(source)),
        upscaled=tuple(_upscaled_record(one) for one in upscaled),
        fit=_finite(fit),
        seams=seams,
    )
    return {COMMAND_KEY: shlex.join(argv), RECORD_KEY: record.model_dump_json()}


def _maker(pipeline: FacePipeline) -> dict[str, Any]:
    """What made a picture, as fields of a record."""
    return {
        "facegen": __version__,
        "torch": torch.__version__,
        "platform": platform.platform(),
        "device": pipeline.device,
        "recipe": pipeline.recipe.model_dump(mode="json"),
        "weights": {name: _sha256_of_weights(name) for name in _weight_names(pipeline)},
    }


def arguments(command: str, options: Mapping[str, Any], source: Path | None = None) -> tuple[str, ...]:
    """The command line of a command, without `facegen`.

    After the command comes the source's name, then the options in their order: the key "face_size_min" stands for
    "--face-size-min". True writes the option alone; False and None leave it away; a list or a tuple writes it once for
    each entry.
    """
    words = [command] if source is None else [command, _as_text(source.name)]
    for key, value in options.items():
        option = "--" + key.replace("_", "-")
        if value is True:
            words.append(option)
        elif value is not False and value is not None:
            for entry in value if isinstance(value, list | tuple) else [value]:
                words += [option, _as_text(str(entry))]
    return tuple(words)


def read_record(path: str | Path) -> Record:
    """Read a picture's or film's record.

    Raises:
        ImageError: if the file cannot be read, or has no record, or a damaged one.
    """
    path = Path(path)
    text = (video_text(path) if is_clip(path) else picture_text(path)).get(RECORD_KEY)
    if text is None:
        raise ImageError(
            f"{path}: has no facegen record; expected a picture that facegen sample or upres wrote and no other "
            "program has saved since."
        )
    try:
        return Record.model_validate_json(text)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "JSON"
        raise ImageError(f"{path}: its facegen record is damaged ({where}); get the picture again.") from None


def check_weights(record: Record) -> None:
    """See that the weights are those that the picture was made with.

    Raises:
        WeightsError: naming those that are missing or others.
    """
    for name, wanted in record.weights.items():
        found = _sha256_of_weights(name)
        if found != wanted:
            raise WeightsError(
                f"weights {name!r}: their SHA-256 is {found}, but the picture was made with {wanted}; "
                f"get those of facegen {record.facegen}."
            )


def _weight_names(pipeline: FacePipeline) -> list[str]:
    weights = pipeline.recipe.weights
    judges = [weights.discriminator] if pipeline.discriminator is not None else []
    return [weights.generator, weights.upscaler, *judges]


def _sha256_of_weights(name: str) -> str:
    return read_card(find_weights(name)).sha256


def _upscaled_record(upscaled: Upscaled) -> UpscaledRecord:
    plan = upscaled.plan
    return UpscaledRecord(
        plan=PlanRecord(height=plan.height, width=plan.width, tile=plan.tile, overlap=plan.overlap),
        candidates=upscaled.names,
        choices=tuple(upscaled.chosen.tolist()),
        fit=_finite(upscaled.fit),
        seams=seam_gauge(upscaled.image, plan),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _as_text(name: str) -> str:
    """A name as it can stand in a file: bytes that are no text become question marks."""
    return os.fsencode(name).decode("utf-8", "replace")


class _Table(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)  # a later version's record may say more


class PlanRecord(_Table):
    """Where the tiles of an upscaled picture lie, in low-res pixels; see `TilePlan`."""

    height: int
    width: int
    tile: int
    overlap: int

    @property
    def plan(self) -> TilePlan:
        """The plan itself."""
        return TilePlan(self.height, self.width, self.tile, self.overlap)


class UpscaledRecord(_Table):
    """What was chosen in one upscaled picture, and how well it came out."""

    plan: PlanRecord
    candidates: tuple[str, ...]
    """Their names."""
    choices: tuple[int, ...]
    """The candidate that won, for each tile of the plan."""
    fit: float | None
    """PSNR of the area-downsampled picture to what was put in, in dB; None if they are equal."""
    seams: SeamGauge
    """Before the picture was brought to its final size or pasted."""


class SourceRecord(_Table):
    """The photo that a picture was made from."""

    name: str
    """Without folders: it is nobody's business where a photo lay, and `replay` makes a file of that name."""
    sha256: str
    """Of the file's bytes."""

    @field_validator("name")
    @classmethod
    def _has_no_folders(cls, name: str) -> str:
        if Path(name).name != name or name == "..":
            raise ValueError(f"expected a file name without folders, got {name!r}")
        return name


class Record(_Table):
    """What a picture's making depended on."""

    facegen: str
    """Version."""
    torch: str
    """Version."""
    platform: str
    device: str
    argv: tuple[str, ...]
    """What follows `facegen` on the command line: the command, the source's name if there is one, the options."""
    recipe: dict[str, Any]
    """As it was resolved, every key."""
    weights: dict[str, str]
    """SHA-256 of the weights by the name that the recipe gives them."""
    seed: int | None = None
    z: str | None = None
    """SHA-256 of the latent's float32 values."""
    latent: str | None = None
    """The latent itself, if no seed draws it; see `latent_text`."""
    keyframes: tuple[str, ...] = ()
    """Of a film: the latents that it goes through."""
    source: SourceRecord | None = None
    upscaled: tuple[UpscaledRecord, ...] = ()
    """One for each head that was upscaled."""
    fit: float | None = None
    """Of a whole photo: PSNR of the area-downsampled result to the source, in dB; None if not measured, or equal."""
    seams: SeamGauge | None = None
    """Of a whole photo."""


def latent_sha256(z: Tensor) -> str:
    """The hash of a (z_dim,) latent's float32 values."""
    return hashlib.sha256(_bytes(z)).hexdigest()


def latent_text(z: Tensor) -> str:
    """A (z_dim,) latent's float32 values, little-endian, in base64."""
    return base64.b64encode(_bytes(z)).decode("ascii")


def read_latent(text: str, source: Path) -> Tensor:
    """The (z_dim,) float32 latent that `latent_text` wrote.

    Args:
        source: the picture whose record it stands in, for the message.
    Raises:
        ImageError: if the text is damaged.
    """
    try:
        values = np.frombuffer(base64.b64decode(text, validate=True), "<f4")
    except (binascii.Error, ValueError):
        raise ImageError(f"{source}: the latent in its record is damaged; get the picture again.") from None
    return torch.from_numpy(values.astype(np.float32))


def _bytes(z: Tensor) -> bytes:
    return z.detach().cpu().float().contiguous().numpy().astype("<f4").tobytes()
