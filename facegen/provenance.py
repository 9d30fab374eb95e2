"""Writing the record of a picture's making into its file, and reading it; what it says, `facegen.records` tells."""

from __future__ import annotations

import math
import os
import platform
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError
from torch import Tensor

from facegen import __version__
from facegen.errors import ImageError, WeightsError
from facegen.files import sha256_of
from facegen.images import picture_text
from facegen.latents import latent_sha256, latent_text
from facegen.ops.seams import SeamGauge, seam_gauge
from facegen.records import PlanRecord, RaisedRecord, Record, SourceRecord
from facegen.video.decoding import is_clip
from facegen.video.metadata import video_text
from facegen.weights import find_weights, read_card

if TYPE_CHECKING:
    from facegen.competition import Raised
    from facegen.pipeline import FacePipeline

__all__ = ["COMMAND_KEY", "RECORD_KEY", "Record", "arguments", "check_weights", "read_record", "record_text"]

COMMAND_KEY, RECORD_KEY = "facegen", "facegen-record"
"""Of a picture's text: the command line that makes it, and the record as JSON."""


def record_text(
    pipeline: FacePipeline,
    command: str,
    options: Mapping[str, Any],
    *,
    raised: Sequence[Raised] = (),
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
        raised: what the pipeline returned, in order.
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
        raised=tuple(_raised_record(one) for one in raised),
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
    return [weights.generator, *weights.upscalers, *judges]


def _sha256_of_weights(name: str) -> str:
    return read_card(find_weights(name)).sha256


def _raised_record(raised: Raised) -> RaisedRecord:
    plan = raised.plan
    return RaisedRecord(
        plan=PlanRecord(height=plan.height, width=plan.width, tile=plan.tile, overlap=plan.overlap),
        candidates=raised.names,
        choices=tuple(raised.chosen.tolist()),
        fit=_finite(raised.fit),
        seams=seam_gauge(raised.image, plan),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _as_text(name: str) -> str:
    """A name as it can stand in a file: bytes that are no text become question marks."""
    return os.fsencode(name).decode("utf-8", "replace")
