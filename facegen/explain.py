"""The vote map: which candidate won each tile of a picture, by how much, and over which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from facegen.competition import Raised
from facegen.errors import ImageError
from facegen.files import replacing
from facegen.images import to_pillow, write_image
from facegen.ops.choice import choice_map, hues
from facegen.tensors import to_picture

TINT = 0.4
"""Share of the winner's colour in the vote map; the rest is the picture."""
LINE = 18
"""Height, in pixels, of one line of the legend."""


def write_explanation(raised: Raised, stem: Path) -> list[Path]:
    """Write STEM-explain.png, the vote map with its legend, and STEM-explain.json, what `explain` says.

    Args:
        raised: what the pipeline returned.
        stem: path without an ending; missing folders are made.
    Returns:
        the two paths.
    Raises:
        ImageError: if a file cannot be written.
    """
    paths = [stem.with_name(f"{stem.name}-explain.{ending}") for ending in ("png", "json")]
    write_image(paths[0], vote_map(raised), label="composite")
    try:
        with replacing(paths[1]) as temporary:
            temporary.write_text(json.dumps(explain(raised), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ImageError(f"{paths[1]}: cannot be written ({error.strerror}); choose another folder.") from None
    return paths


def explain(raised: Raised) -> dict[str, Any]:
    """Tell how each tile was decided.

    Returns:
        "size": [width, height] of the picture; "candidates": their names, the first hue's first; "tiles", row by row:
        "box" [left, top, width, height] in pixels of the picture, "winner", "scores" by name (in deviations of the
        tile's candidates, higher is better), "runner_up", the best scored of the others, and "margin", the winner's
        score less the runner-up's: negative where the neighbours overruled the scores. A single candidate has neither.
    """
    height, width = raised.image.shape[-2:]
    scale = width // raised.plan.width
    side = scale * raised.plan.tile
    tiles = [
        {"box": [scale * left, scale * top, side, side]} | _verdict(scores, winner, raised.names)
        for (top, left), scores, winner in zip(
            raised.plan.boxes, raised.scores.tolist(), raised.chosen.tolist(), strict=True
        )
    ]
    return {"size": [width, height], "candidates": list(raised.names), "tiles": tiles}


def vote_map(raised: Raised) -> NDArray[np.uint8]:
    """The picture, tinted by the winner of each tile, with a legend below: (H + legend, W, 3)."""
    height, width = raised.image.shape[-2:]
    count = len(raised.names)
    won = choice_map(raised.chosen, raised.plan, width // raised.plan.width, count)
    tinted = to_picture(torch.lerp(raised.image.cpu(), won, TINT))
    sheet = Image.new("RGB", (width, height + LINE * count), "white")
    sheet.paste(to_pillow(tinted), (0, 0))
    draw, tiles = ImageDraw.Draw(sheet), raised.chosen.bincount(minlength=count).tolist()
    for k, (name, colour) in enumerate(zip(raised.names, hues(count).mul(255).int().tolist(), strict=True)):
        top = height + LINE * k
        draw.rectangle((4, top + 3, 4 + LINE, top + LINE - 4), fill=tuple(colour))
        text = f"{name}: {tiles[k]} of {len(raised.chosen)} tiles"
        draw.text((10 + LINE, top + 2), text, fill="black", font=ImageFont.load_default())
    return np.array(sheet)


def _verdict(scores: list[float], winner: int, names: tuple[str, ...]) -> dict[str, Any]:
    """How one tile was decided, for `explain`."""
    others = [k for k in range(len(scores)) if k != winner]
    second = max(others, key=lambda k: scores[k], default=None)
    return {
        "winner": names[winner],
        "scores": dict(zip(names, (round(score, 4) for score in scores), strict=True)),
        "runner_up": None if second is None else names[second],
        "margin": None if second is None else round(scores[winner] - scores[second], 4),
    }
