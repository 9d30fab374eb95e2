"""Explain a picture: the candidate chosen for each tile, the intermediate steps, and measures of the result."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from facegen.arrays import RGB, to_rgb, to_tensor
from facegen.candidates import Upscaled
from facegen.errors import ImageError
from facegen.files import exists, write_text
from facegen.media.images import picture_facts, read_image, to_pillow, write_image
from facegen.media.record import COMMAND_KEY, RECORD_KEY, Record, check_target, read_record
from facegen.media.sheets import contact_sheet
from facegen.ops.blending import blend
from facegen.ops.choice import choice_map, gather, hues
from facegen.ops.color import luma
from facegen.ops.consistency import decibels, downsample_area
from facegen.ops.scoring import ScoreContext, laplacian
from facegen.ops.seams import SeamGauge, border_count, content_gauge, content_ratios, over_all, seam_gauge

TINT, LINE = 0.5, 18
"""Share of a candidate's colour in the vote map, over the luma of the picture; height of a line of its legend."""
SHOWN_SIDE = 384
"""Approximate side to which small pictures are enlarged."""


def explanation_paths(stem: Path) -> list[Path]:
    """Return the files of an explanation: the vote map, whose record shows that facegen wrote both, and the figures."""
    return [stem.with_name(f"{stem.name}-explain.{ending}") for ending in ("png", "json")]


def check_explanation(stem: Path, overwrite: bool) -> None:
    """Refuse to replace an explanation that facegen did not write; see `check_target`."""
    picture, figures = explanation_paths(stem)
    check_target(picture if exists(picture) else figures, overwrite)


def write_explanation(upscaled: Upscaled, stem: Path) -> list[Path]:
    """Write STEM-explain.png, the vote map with its legend, and STEM-explain.json, the result of `explain`."""
    picture, figures = explanation_paths(stem)
    write_image(picture, vote_map(upscaled), label="composite")
    return [picture, write_text(figures, json.dumps(explain(upscaled), indent=2) + "\n")]


def explain(upscaled: Upscaled) -> dict[str, Any]:
    """Report how each tile was chosen.

    Returns:
        "size": [width, height] of the picture; "identity": see `Upscaled.identity`; "candidates": their names, in the
        order of the hues; "tiles", row by row: "box" [left, top, width, height] in pixels of the picture, "winner",
        "scores" by name (in standard deviations of the tile's candidates, higher is better), "runner_up", the best of
        the others, "margin", the winner's score minus the runner-up's, and "reason", a sentence: for agreement where
        tiles overlap, a candidate with a lower score may win. The runner-up and margin of a single candidate are None.
    """
    height, width = upscaled.image.shape[-2:]
    scale = width // upscaled.plan.width
    side = scale * upscaled.plan.tile
    rows = zip(upscaled.plan.boxes, upscaled.scores.tolist(), upscaled.chosen.tolist(), strict=True)
    tiles = [
        {"box": [scale * left, scale * top, side, side]} | _verdict(scores, winner, upscaled.names)
        for (top, left), scores, winner in rows
    ]
    return {"size": [width, height], "identity": upscaled.identity, "candidates": list(upscaled.names), "tiles": tiles}


def _verdict(scores: list[float], winner: int, names: tuple[str, ...]) -> dict[str, Any]:
    verdict = {
        "winner": names[winner],
        "scores": dict(zip(names, (round(score, 4) for score in scores), strict=True)),
        "runner_up": None,
        "margin": None,
        "reason": "It is the only candidate.",
    }
    if len(scores) == 1:
        return verdict
    second = max((k for k in range(len(scores)) if k != winner), key=lambda k: scores[k])
    margin = round(scores[winner] - scores[second], 4)
    reason = "It has the highest score."
    if margin < 0:
        reason = f"Its score is lower than that of {names[second]}, but it fits the neighbouring tiles better."
    return verdict | {"runner_up": names[second], "margin": margin, "reason": reason}


def vote_map(upscaled: Upscaled) -> RGB:
    """Tint each tile of the picture in grey by its chosen candidate, with a legend below: (H + legend, W, 3)."""
    height, width = upscaled.image.shape[-2:]
    count = len(upscaled.names)
    winners = choice_map(upscaled.chosen, upscaled.plan, width // upscaled.plan.width, count)
    grey = luma(upscaled.image.cpu()).expand(3, -1, -1)
    tinted = to_rgb(torch.lerp(grey, winners, TINT))
    sheet = Image.new("RGB", (width, height + LINE * count), "white")
    sheet.paste(to_pillow(tinted), (0, 0))
    draw, tiles = ImageDraw.Draw(sheet), upscaled.chosen.bincount(minlength=count).tolist()
    for k, (name, colour) in enumerate(zip(upscaled.names, hues(count).mul(255).int().tolist(), strict=True)):
        top = height + LINE * k
        draw.rectangle((4, top + 3, 4 + LINE, top + LINE - 4), fill=tuple(colour))
        text = f"{name}: {tiles[k]} of {len(upscaled.chosen)} tiles"
        draw.text((10 + LINE, top + 2), text, fill="black", font=ImageFont.load_default())
    return np.array(sheet)


def write_stages(upscaled: Upscaled, face: Tensor, folder: Path) -> Path:
    """Write the steps from a face, (3, S, S) in [0, 1], to the picture as numbered PNG files; return the folder."""
    for number, (name, picture) in enumerate(stage_pictures(upscaled, face).items(), start=1):
        write_image(folder / f"{number}-{name}.png", picture, label="generated")
    return folder


def stage_pictures(upscaled: Upscaled, face: Tensor) -> dict[str, RGB]:
    """Return pictures of the steps: face, low-res, guide (if it is "rgb"), tiles, candidates, chosen, blended, final.
    """
    plan, count = upscaled.plan, upscaled.candidates.shape[1]
    scale = upscaled.image.shape[-1] // plan.width
    chosen = gather(upscaled.candidates, upscaled.chosen).float()
    candidates = [to_rgb(candidate) for tile in upscaled.candidates for candidate in tile]
    guide = {"guide": _enlarged(upscaled.stack[3:6])} if upscaled.stack.shape[0] in (6, 7) else {}
    return {
        "face": _enlarged(face),
        "low-res": _enlarged(upscaled.stack[:3]),
        **guide,
        "tiles": contact_sheet([to_rgb(tile) for tile in chosen], columns=len(plan.columns)),
        "candidates": contact_sheet(candidates, columns=count * len(plan.columns), side=128),
        "chosen": to_rgb(choice_map(upscaled.chosen, plan, scale, count)),
        "blended": to_rgb(blend(chosen, plan)),
        "final": to_rgb(upscaled.image),
    }


def _enlarged(image: Tensor) -> RGB:
    """Enlarge the pixels of a small picture to squares."""
    picture = to_rgb(image)
    times = max(1, SHOWN_SIDE // picture.shape[0])
    return np.asarray(cv2.resize(picture, None, fx=times, fy=times, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


@dataclass(frozen=True)
class Agreement:
    """Agreement of an area-downsampled picture with its source."""

    scale: int
    psnr: float
    """In dB; inf if they are equal."""
    largest: float
    """Largest difference, in 8-bit steps."""


@dataclass(frozen=True)
class Inspection:
    """Metadata and measures of a picture."""

    format: str
    width: int
    height: int
    command: str | None
    """The command that makes it; None, like `record`, if another program wrote the picture."""
    record: Record | None
    source_type: str | None
    sharpness: float
    """Variance of the Laplacian of luma in [0, 1]."""
    seams: SeamGauge | None
    """Measured in a sample; as recorded in a photo; None if unknown."""
    content: SeamGauge | None
    """The same measure at lines of a sample without tile borders; None in a photo."""
    agreement: Agreement | None


def inspect_picture(path: Path, source: Path | None = None) -> Inspection:
    """Measure a picture, and its agreement with the photo it was made from, if that is given."""
    facts = picture_facts(path)
    record = read_record(path) if RECORD_KEY in facts.text else None
    rgb = read_image(path, keep_profile=True).rgb
    seams, content = _seams(rgb, record) if record else (None, None)
    return Inspection(
        format=facts.format,
        width=rgb.shape[1],
        height=rgb.shape[0],
        command=facts.text.get(COMMAND_KEY),
        record=record,
        source_type=facts.source_type,
        sharpness=_sharpness(rgb),
        seams=seams,
        content=content,
        agreement=_agreement(path, rgb, source) if source else None,
    )


def _sharpness(rgb: RGB) -> float:
    if min(rgb.shape[:2]) < 3:
        return 0.0
    image = to_tensor(rgb)
    return float(laplacian(image[None, None], ScoreContext(image[None])))


def _seams(rgb: RGB, record: Record) -> tuple[SeamGauge | None, SeamGauge | None]:
    """Return the seam gauge, and the gauge of other lines if they can be measured."""
    if record.seams or not record.upscaled:
        return record.seams, None
    plan = record.upscaled[0].plan
    scale = rgb.shape[0] // plan.height
    if record.source is None and scale and rgb.shape[:2] == (scale * plan.height, scale * plan.width):
        image = to_tensor(rgb)
        return seam_gauge(image, plan), content_gauge(content_ratios(image, plan), border_count(plan))
    return over_all([upscaled.seams for upscaled in record.upscaled]), None


def _agreement(path: Path, rgb: RGB, source: Path) -> Agreement:
    wanted = read_image(source, keep_profile=True).rgb
    (height, width), (tall, wide) = wanted.shape[:2], rgb.shape[:2]
    scale = tall // height
    if scale > 1:
        wanted = read_image(source, keep_profile=True, smooth=True).rgb  # as it was upscaled
    if not scale or (tall, wide) != (scale * height, scale * width):
        mismatch = f"is {wide}x{tall}, not a whole number of times as large as {source}, {width}x{height}"
        raise ImageError(f"{path}: {mismatch}; choose the --source it was made from.")
    error = (downsample_area(to_tensor(rgb), (height, width)) - to_tensor(wanted)).double()
    return Agreement(scale, decibels(float(error.square().mean())), float(error.abs().max()) * 255)
