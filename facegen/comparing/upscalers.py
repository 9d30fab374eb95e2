"""Everything that can stand in a comparison: interpolations, weights of ours, published files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from facegen.arrays import to_picture, to_tensor
from facegen.comparing.published import FILE_SUFFIXES, published
from facegen.comparing.upscaler import Setting, Upscaler
from facegen.errors import UsageError, WeightsError, did_you_mean
from facegen.media.images import resize
from facegen.pipeline import FacePipeline
from facegen.upscaling import load_upscaler, upscale
from facegen.weights import CARD_FILE, find_weights, read_card, weight_folders

Maker = Callable[[str, str, Setting], Upscaler]
"""Takes the column's name, and the name, folder or file that was asked for."""


def _bicubic(name: str, source: str, setting: Setting) -> Upscaler:
    def enlarge(low_res: Tensor) -> Tensor:
        return F.interpolate(low_res[None], scale_factor=setting.scale, mode="bicubic", align_corners=False)[0]

    return Upscaler(name, setting.scale, enlarge, "interpolation (PyTorch, a = -0.75)")


def _lanczos(name: str, source: str, setting: Setting) -> Upscaler:
    def enlarge(low_res: Tensor) -> Tensor:
        size = (low_res.shape[-1] * setting.scale, low_res.shape[-2] * setting.scale)
        return to_tensor(resize(to_picture(low_res), size))

    return Upscaler(name, setting.scale, enlarge, "interpolation (Pillow, 3 lobes)")


def _recipes_jnet(name: str, source: str, setting: Setting) -> Upscaler:
    """The J-net that the recipe names, or that the overrides put in its place."""
    return _in_pipeline(name, setting, setting.overrides)


def _jnet(name: str, source: str, setting: Setting) -> Upscaler:
    folder = json.dumps(str(find_weights(source)))
    return _in_pipeline(name, setting, (*setting.overrides, f"weights.upscaler={folder}"))


def _in_pipeline(name: str, setting: Setting, overrides: Sequence[str]) -> Upscaler:
    """A J-net in its flow. A square picture is taken for an aligned head; another is upscaled with an empty guide."""
    pipeline = FacePipeline.load(setting.recipe, overrides, device=setting.device)

    def enlarge(low_res: Tensor) -> Tensor:
        height, width = low_res.shape[-2:]
        if height == width:
            return pipeline(low_res, height * pipeline.scale).image
        return pipeline(low_res, min(height, width) * pipeline.scale, landmarks=None).image

    weights = pipeline.recipe.weights.upscaler
    about = f"J-net {weights} in {setting.recipe.name}, tile by tile"
    return Upscaler(name, pipeline.scale, enlarge, about, (find_weights(weights),))


def _whole(name: str, source: str, setting: Setting) -> Upscaler:
    """A network that takes the whole picture at once."""
    folder = find_weights(source)
    card = read_card(folder)
    network = load_upscaler(source).to(setting.device)

    def enlarge(low_res: Tensor) -> Tensor:
        return upscale(network, low_res.to(setting.device))

    return Upscaler(name, network.config.scale, enlarge, f"{card.kind} {card.name}", (folder,))


BY_NAME: dict[str, Maker] = {"bicubic": _bicubic, "lanczos": _lanczos, "jnet": _recipes_jnet}
"""What needs no file named."""
BY_KIND: dict[str, Maker] = {"jnet": _jnet, "srgan": _whole, "unet": _whole}
"""Kind of a weight folder, as its card says -> what is made of it."""


def load_upscalers(sources: Sequence[str], setting: Setting) -> list[Upscaler]:
    """Make the upscalers asked for.

    Args:
        sources: each a key of `BY_NAME`, shipped weights by name, a weight folder, or a published file.
    Raises:
        UsageError: if one is named twice, or enlarges nothing.
        WeightsError: if weights are missing, damaged, or make no pictures of pictures; names what is known.
        MissingExtraError: if spandrel is needed and not there.
    """
    if len(set(sources)) < len(sources):
        raise UsageError(f"--models {','.join(sources)}: names one twice; name each once.")
    return [_maker(source)(name, source, setting) for name, source in zip(_columns(sources), sources, strict=True)]


def _columns(sources: Sequence[str]) -> list[str]:
    """The last part of each path, or the whole where two agree in it."""
    short = [Path(source).stem if _is_file(source) else Path(source).name for source in sources]
    return [name if short.count(name) == 1 else source for name, source in zip(short, sources, strict=True)]


def _is_file(source: str) -> bool:
    return source.endswith(FILE_SUFFIXES)


def _maker(source: str) -> Maker:
    if source in BY_NAME:
        return BY_NAME[source]
    if _is_file(source):
        return published
    try:
        kind = read_card(find_weights(source)).kind
    except WeightsError as error:
        if (Path(source) / CARD_FILE).is_file():
            raise
        known = [*BY_NAME, *(folder.name for folder in weight_folders() if read_card(folder).kind in BY_KIND)]
        raise WeightsError(
            f"--models {source!r}: neither an upscaler's name, a folder with a {CARD_FILE}, nor a "
            f"{' or '.join(FILE_SUFFIXES)} file{did_you_mean(source, known)} Known: {', '.join(known)}."
        ) from error
    if kind not in BY_KIND:
        raise WeightsError(
            f"--models {source}: holds a {kind}, which enlarges no picture; name a {', '.join(BY_KIND)}."
        )
    return BY_KIND[kind]
