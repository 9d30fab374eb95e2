"""The intermediate pictures of one run, as the original's figures show them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from facegen.competition import Raised
from facegen.images import write_image
from facegen.ops.blending import blend
from facegen.ops.choice import choice_map, gather
from facegen.sheets import contact_sheet
from facegen.tensors import to_picture

SHOWN_SIDE = 384
"""Small pictures are shown at about this side, each pixel a square."""


def write_stages(raised: Raised, face: Tensor, folder: Path) -> Path:
    """Write a run's stages as PNGs, numbered in the order of the flow.

    Args:
        raised: what the pipeline returned.
        face: (3, S, S) in [0, 1], what went in.
        folder: made if missing.
    """
    for number, (name, picture) in enumerate(stage_pictures(raised, face).items(), start=1):
        write_image(folder / f"{number}-{name}.png", picture, label="generated")
    return folder


def stage_pictures(raised: Raised, face: Tensor) -> dict[str, NDArray[np.uint8]]:
    """The stages by name: face, low-res, guide (an "rgb" one), tiles, candidates, chosen, blended, final."""
    plan, count = raised.plan, raised.candidates.shape[1]
    scale = raised.image.shape[-1] // plan.width
    chosen = gather(raised.candidates, raised.chosen).float()
    pictures = {
        "face": _shown(face),
        "low-res": _shown(raised.stack[:3]),
        "tiles": contact_sheet([to_picture(tile) for tile in chosen], columns=len(plan.columns)),
        "candidates": contact_sheet(
            [to_picture(candidate) for tile in raised.candidates for candidate in tile],
            columns=count * len(plan.columns),
            side=128,
        ),
        "chosen": to_picture(choice_map(raised.chosen, plan, scale, count)),
        "blended": to_picture(blend(chosen, plan)),
        "final": to_picture(raised.image),
    }
    if raised.stack.shape[0] == 6:
        pictures["guide"] = _shown(raised.stack[3:])
    order = ("face", "low-res", "guide", "tiles", "candidates", "chosen", "blended", "final")
    return {name: pictures[name] for name in order if name in pictures}


def _shown(image: Tensor) -> NDArray[np.uint8]:
    """A small picture, enlarged to squares."""
    picture = to_picture(image)
    times = max(1, SHOWN_SIDE // picture.shape[0])
    return np.asarray(cv2.resize(picture, None, fx=times, fy=times, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
