"""The record of how a picture or film was made: write it into the file, read it, check it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import os
import platform
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator
from torch import Tensor

from facegen import __version__
from facegen.errors import FileError, WeightsError
from facegen.files import WEIGHTS, exists, is_folder, sha256_of
from facegen.media.images import CLIP_SUFFIXES, WRITABLE, check_format, picture_facts, picture_text
from facegen.ops.seams import SeamGauge, seam_gauge
from facegen.ops.tiling import TilePlan
from facegen.recipe import PipelineRecipe
from facegen.weights import rating_of, sha256_of_weights

COMMAND_KEY, RECORD_KEY = "facegen", "facegen-record"
"""Keys of a picture's text: the command line that made it, and the record as JSON."""
DIGITS = 3  # decimals of recorded measures; further ones depend on the number of threads


class _Table(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)  # later versions may record more fields


class UpscaledRecord(_Table):
    """The chosen candidates and the measures of one upscaled picture."""

    plan: TilePlan
    candidates: tuple[str, ...]
    choices: tuple[int, ...]  # index of the chosen candidate of each tile
    fit: float | None
    """PSNR of the area-downsampled picture to the input, in dB; None if they are equal."""
    seams: SeamGauge
    """Measured before the picture was resized or pasted."""
    identity: float | None = None
    """Distance of the face's identity to the input's, see `facegen.faces.identity`; None for drawn faces."""
    strength: float = 0.0  # of the input's damage, as given or estimated


class SourceRecord(_Table):
    """A file that a picture was made from: the photo, or its mask."""

    name: str
    """Without folders, which are private; `facegen replay` makes a file of that name."""
    sha256: str

    @field_validator("name")
    @classmethod
    def _has_no_folders(cls, name: str) -> str:
        if Path(name).name != name or name in ("", "..") or "\0" in name:
            raise ValueError(f"expected a file name without folders, got {name!r}")
        return name


class Record(_Table):
    """Everything that a picture or film depends on: versions, machine, command, recipe, weights, inputs."""

    facegen: str
    torch: str
    platform: str
    device: str
    threads: int | None = Field(None, ge=1, le=1024)
    """PyTorch's threads; a pixel's last bit depends on them. None in films of walks, which any number may continue."""
    argv: tuple[str, ...] = Field(min_length=1)  # the command line after `facegen`; see `arguments`
    recipe: dict[str, Any]  # all values, defaults included
    weights: dict[str, str]  # name in the recipe -> SHA-256 of the weights
    seed: int | None = Field(None, ge=0, lt=2**63)
    z: str | None = None  # SHA-256 of the latent's float32 values
    latent: str | None = None  # the latent itself, if it has no seed; see `latent_text`
    keyframes: tuple[str, ...] = ()  # latents of a film
    source: SourceRecord | None = None
    mask: SourceRecord | None = None
    upscaled: tuple[UpscaledRecord, ...] = Field((), validation_alias=AliasChoices("upscaled", "raised"))
    """One for each head; called "raised" in records of the first versions."""
    fit: float | None = None
    """For a whole photo: PSNR of the area-downsampled result to the source, in dB; None if not measured, or equal."""
    seams: SeamGauge | None = None


class Maker(Protocol):
    """The part of a `FacePipeline` that the record needs."""

    recipe: PipelineRecipe
    device: str


@dataclass
class Workshop:
    """A `Maker` for pipelines in other processes."""

    recipe: PipelineRecipe
    device: str


class Made(Protocol):
    """The part of an `Upscaled` picture that the record needs."""

    @property
    def image(self) -> Tensor: ...
    @property
    def plan(self) -> TilePlan: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def chosen(self) -> Tensor: ...
    @property
    def fit(self) -> float: ...
    @property
    def identity(self) -> float | None: ...
    @property
    def strength(self) -> float: ...


def record_text(
    pipeline: Maker,
    command: str,
    options: Mapping[str, Any],
    *,
    upscaled: Sequence[Made] = (),
    source: Path | None = None,
    mask: Path | None = None,
    z: Tensor | None = None,
    keyframes: Iterable[Tensor] = (),
    fit: float | None = None,
    seams: SeamGauge | None = None,
) -> dict[str, str]:
    """Return the text for `write_image` that records how a picture was made.

    Args:
        options: the options that the picture depends on, as `arguments` takes them; an integer "seeds" is the seed.
        upscaled: the pipeline's results, in order.
        z, keyframes: (z_dim,) latents of a drawn picture, and of a film.
        fit, seams: measures of a whole photo's result.
    """
    argv, latents = arguments(command, options, source), tuple(latent_text(keyframe) for keyframe in keyframes)
    seed = seeds if isinstance(seeds := options.get("seeds"), int) else None
    record = Record(
        facegen=__version__, torch=torch.__version__, platform=platform.platform(), device=pipeline.device,
        threads=None if latents else torch.get_num_threads(),
        argv=argv,
        recipe=pipeline.recipe.model_dump(mode="json"),
        weights={name: sha256_of_weights(name) for name in weight_names(pipeline.recipe, drawn=seed is not None)},
        seed=seed,
        z=None if z is None else latent_sha256(z),
        latent=None if z is None or seed is not None else latent_text(z),
        keyframes=latents,
        source=_source_record(source),
        mask=_source_record(mask),
        upscaled=tuple(_upscaled_record(one, measured=source is not None) for one in upscaled),
        fit=_rounded(fit),
        seams=None if seams is None else _rounded_gauge(seams),
    )  # fmt: skip
    return {COMMAND_KEY: shlex.join(argv), RECORD_KEY: record.model_dump_json()}


def arguments(command: str, options: Mapping[str, Any], source: Path | None = None) -> tuple[str, ...]:
    """Return the words of a command line after `facegen`: the command, the source's name, the options.

    The key "face_size_min" becomes "--face-size-min". True adds the option without a value, False and None omit it, a
    list or a tuple repeats it for each entry.
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
    """Read a picture's or film's record; FileError if it is missing or damaged."""
    path = Path(path)
    text = (_film_text(path) if path.suffix.lower() in CLIP_SUFFIXES else picture_text(path)).get(RECORD_KEY)
    if text is None:
        wanted = "expected a file that facegen wrote and no other program has saved since"
        raise FileError(f"{path}: has no facegen record; {wanted}.")
    try:
        return Record.model_validate_json(text)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "JSON"
        raise FileError(f"{path}: its facegen record is damaged ({where}); get the picture again.") from None


def is_ours(path: Path) -> bool:
    """Return whether facegen wrote a picture or film."""
    try:
        if path.suffix.lower() in (*CLIP_SUFFIXES, ".gif"):
            return COMMAND_KEY in _film_text(path)
        facts = picture_facts(path)
    except FileError:  # neither picture nor film
        return False
    return COMMAND_KEY in facts.text or facts.creator.startswith("facegen ")


def _film_text(path: Path) -> dict[str, str]:
    from facegen.media.video_reader import video_text  # loads FFmpeg's libraries, which pictures do not need

    return video_text(path)


def check_target(path: Path, overwrite: bool) -> None:
    """Refuse to replace a file or link that facegen did not write, unless `overwrite` is set.

    A folder, a name that is too long, and a picture format whose package is missing are always refused.
    """
    if path.suffix.lower() in WRITABLE:
        check_format(path)
    if is_folder(path):
        raise FileError(f"{path}: cannot be written (Is a directory); choose another name or folder.")
    if exists(path) and not overwrite and not is_ours(path):
        raise FileError(f"{path}: is there already, and not written by facegen; add --overwrite, or change --out.")


def check_weights(record: Record) -> None:
    """Raise WeightsError unless the weights here are those that the picture was made with."""
    for name, wanted in record.weights.items():
        found = sha256_of_weights(name)
        if found != wanted:
            hashes = f"their SHA-256 is {found}, but the picture was made with {wanted}"
            raise WeightsError(f"weights {name!r}: {hashes}; get those of facegen {record.facegen}.")


def latent_sha256(z: Tensor) -> str:
    """Hash a (z_dim,) latent's float32 values."""
    return hashlib.sha256(_bytes(z)).hexdigest()


def latent_text(z: Tensor) -> str:
    """Encode a (z_dim,) latent's float32 values, little-endian, in base64."""
    return base64.b64encode(_bytes(z)).decode("ascii")


def read_latent(text: str, source: Path) -> Tensor:
    """Decode the (z_dim,) float32 latent that `latent_text` wrote into the record of `source`."""
    try:
        values = np.frombuffer(base64.b64decode(text, validate=True), "<f4")
    except (binascii.Error, ValueError):
        raise FileError(f"{source}: the latent in its record is damaged; get the picture again.") from None
    return torch.from_numpy(values.astype(np.float32))


def _bytes(z: Tensor) -> bytes:
    return z.detach().cpu().float().contiguous().numpy().astype("<f4").tobytes()


def weight_names(recipe: PipelineRecipe, *, drawn: bool) -> list[str]:
    """Return the names of the weights that a recipe uses, with the generator's rating if a seed is `drawn`."""
    scored = [recipe.weights.discriminator] if recipe.choice.scorers.get("discriminator") else []
    rating = rating_of(recipe) if drawn else None
    rated = [] if rating is None else [rating.name if rating.parent == WEIGHTS else str(rating)]
    return [recipe.weights.generator, *rated, recipe.weights.upscaler, *scored]


def _source_record(path: Path | None) -> SourceRecord | None:
    return None if path is None else SourceRecord(name=_as_text(path.name), sha256=sha256_of(path))


def _upscaled_record(upscaled: Made, measured: bool) -> UpscaledRecord:
    """Record one result; `measured` includes the identity, which takes a tenth of a second."""
    return UpscaledRecord(
        plan=upscaled.plan,
        candidates=upscaled.names,
        choices=tuple(upscaled.chosen.tolist()),
        fit=_rounded(upscaled.fit),
        seams=_rounded_gauge(seam_gauge(upscaled.image, upscaled.plan)),
        identity=_rounded(upscaled.identity) if measured else None,
        strength=round(upscaled.strength, 3),
    )


def _rounded(value: float | None) -> float | None:
    """Round to `DIGITS`; None if the value is not finite."""
    return round(value, DIGITS) if value is not None and math.isfinite(value) else None


def _rounded_gauge(gauge: SeamGauge) -> SeamGauge:
    return SeamGauge(round(gauge.mean, DIGITS), round(gauge.max, DIGITS))


def _as_text(name: str) -> str:
    """Replace bytes of a file name that are not valid UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")
