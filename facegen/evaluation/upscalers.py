"""Upscalers to compare: interpolations, facegen's weights, and files published by others, read by spandrel.

A new upscaler is one function and one line in `BY_NAME` or `BY_KIND`.
"""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor

from facegen.arrays import to_rgb, to_tensor
from facegen.errors import MissingExtraError, UsageError, WeightsError, one_line, suggest
from facegen.evaluation.report import INPUT, ORIGINAL
from facegen.media.images import resize
from facegen.models.srgan import SRGANGenerator
from facegen.models.unet import UNet
from facegen.ops.color import match_histogram
from facegen.ops.consistency import downsample_area
from facegen.pipeline import DEFAULT_RECIPE, FacePipeline
from facegen.recipe import assignment
from facegen.weights import CARD_FILE, find_weights, load_network, read_card, weight_folders

FILE_SUFFIXES = (".pth", ".safetensors")
"""Suffixes of published files; spandrel runs no code in them."""


@dataclass(frozen=True)
class Setting:
    """The comparison that upscalers are made for."""

    scale: int  # for interpolations; a network has a fixed scale
    recipe: Path = DEFAULT_RECIPE  # of the pipeline that runs a J-net
    overrides: tuple[str, ...] = ()  # of the recipe
    device: str = "cpu"


@dataclass(frozen=True)
class Upscaler:
    """A way to upscale a picture."""

    name: str  # heads its column
    scale: int  # at least 2
    function: Callable[[Tensor], Tensor]  # (3, h, w) to (3, scale*h, scale*w), in [0, 1]
    about: str  # a description for the page
    folders: tuple[Path, ...] = ()  # of weights; their recipes say which pictures were trained on

    def __post_init__(self) -> None:
        if self.scale < 2:
            raise UsageError(f"{self.name}: makes pictures {self.scale}x as large, expected at least 2x; leave it out.")

    def __call__(self, low_res: Tensor) -> Tensor:
        """Upscale (3, h, w) to (3, scale*h, scale*w) on the CPU, both in [0, 1]."""
        with torch.inference_mode():
            return self.function(low_res).float().clamp(0, 1).cpu()

    def upscale_to(self, low_res: Tensor, scale: int) -> Tensor:
        """Apply it until the result is large enough, then reduce it by area to (3, scale*h, scale*w)."""
        image, size = low_res, (low_res.shape[-2] * scale, low_res.shape[-1] * scale)
        for _ in range(self.passes(scale)):
            image = self(image)
        return image if tuple(image.shape[-2:]) == size else downsample_area(image, size)

    def passes(self, scale: int) -> int:
        """Count the applications needed to reach at least `scale` times the size."""
        return next(n for n in count(1) if self.scale**n >= scale)

    def steps(self, scale: int) -> str:
        """Describe how it reaches `scale` times the size."""
        passes = self.passes(scale)
        reached = self.scale**passes
        text = f"{self.scale}x" if passes == 1 else f"{self.scale}x applied {passes} times"
        return text if reached == scale else f"{text}, reduced by area from {reached}x to {scale}x"


Maker = Callable[[str, str, Setting], Upscaler]
"""Makes an upscaler of the column's name, its source (a name, folder or file), and the setting."""


def _bicubic(name: str, source: str, setting: Setting) -> Upscaler:
    def enlarge(low_res: Tensor) -> Tensor:
        return F.interpolate(low_res[None], scale_factor=setting.scale, mode="bicubic", align_corners=False)[0]

    return Upscaler(name, setting.scale, enlarge, "interpolation (PyTorch, a = -0.75)")


def _lanczos(name: str, source: str, setting: Setting) -> Upscaler:
    def enlarge(low_res: Tensor) -> Tensor:
        size = (low_res.shape[-1] * setting.scale, low_res.shape[-2] * setting.scale)
        return to_tensor(resize(to_rgb(low_res), size))

    return Upscaler(name, setting.scale, enlarge, "interpolation (Pillow, 3 lobes)")


def _jnet(name: str, source: str, setting: Setting) -> Upscaler:
    """Make an upscaler of the recipe's pipeline, with the J-net in `source` if that is not just "jnet"."""
    named = () if source in BY_NAME else (assignment("weights.upscaler", str(find_weights(source))),)
    pipeline = FacePipeline.load(setting.recipe, (*setting.overrides, *named), device=setting.device)
    return from_pipeline(name, pipeline, setting.recipe.name)


def from_pipeline(name: str, pipeline: FacePipeline, recipe: str) -> Upscaler:
    """Make an upscaler of a pipeline; a square picture is taken for an aligned head, any other gets no guide."""

    def enlarge(low_res: Tensor) -> Tensor:
        height, width = low_res.shape[-2:]
        if height == width:
            return pipeline(low_res, height * pipeline.scale).image
        return pipeline(low_res, min(height, width) * pipeline.scale, landmarks=None).image

    weights = pipeline.recipe.weights.upscaler
    about = f"J-net {weights} in {recipe}, tile by tile"
    return Upscaler(name, pipeline.scale, enlarge, about, (find_weights(weights),))


def _whole(name: str, source: str, setting: Setting) -> Upscaler:
    """Make an upscaler of SRGAN's generator or the U-net, which take a picture as a whole."""
    network: SRGANGenerator | UNet
    kind = SRGANGenerator if read_card(find_weights(source)).kind == "srgan" else UNet
    network, card = load_network(source, kind)
    network = network.to(setting.device)
    matches = isinstance(network, SRGANGenerator) and network.config.match_histogram

    def enlarge(low_res: Tensor) -> Tensor:
        low_res = low_res.float().to(setting.device)
        image: Tensor = network(low_res[None])[0].clamp(0, 1)
        return match_histogram(image, low_res) if matches else image

    return Upscaler(name, network.config.scale, enlarge, f"{card.kind} {card.name}", (find_weights(source),))


def _published(name: str, source: str, setting: Setting) -> Upscaler:
    """Make an upscaler of a file of any architecture that spandrel supports."""
    if find_spec("spandrel") is None:
        raise MissingExtraError(f"{source}: published files are read by spandrel: pip install 'facegen[spandrel]'")
    try:
        spandrel = importlib.import_module("spandrel")
    except (ImportError, RuntimeError) as error:  # a torchvision that is missing, or made for another torch
        raise MissingExtraError(
            f"{source}: spandrel is installed but does not work here ({one_line(error)}); install the torchvision that "
            f"fits torch {torch.__version__}."
        ) from None
    model = _read_published(spandrel, source, setting.device)
    about = f"{model.architecture.name}, {Path(source).name}, read by spandrel {spandrel.__version__}"
    return Upscaler(name, model.scale, lambda low_res: model(low_res[None].to(setting.device))[0], about)


def _read_published(spandrel: Any, source: str, device: str) -> Any:
    try:
        model = spandrel.ModelLoader(device=torch.device(device)).load_from_file(source)
    except (
        OSError, EOFError, ValueError, KeyError, RuntimeError, pickle.UnpicklingError, SafetensorError,
        spandrel.UnsupportedModelError,
    ) as error:  # fmt: skip
        reason = one_line(error) or type(error).__name__
        raise WeightsError(
            f"{source}: spandrel {spandrel.__version__} cannot read it ({reason}); of weights that facegen published, "
            "name the folder."
        ) from None
    if not isinstance(model, spandrel.ImageModelDescriptor) or (model.input_channels, model.output_channels) != (3, 3):
        raise WeightsError(f"{source}: holds a {model.architecture.name}, which does not turn RGB pictures into RGB.")
    model.eval()
    return model


BY_NAME: dict[str, Maker] = {"bicubic": _bicubic, "lanczos": _lanczos, "jnet": _jnet}
"""Upscalers that are named without weights."""
BY_KIND: dict[str, Maker] = {"jnet": _jnet, "srgan": _whole, "unet": _whole}
"""Kind of weights, as stated by their card -> the function that makes an upscaler of them."""


def load_upscalers(sources: Sequence[str], setting: Setting) -> list[Upscaler]:
    """Make upscalers, each named by the last part of its source, or by all of it if that part is taken.

    Args:
        sources: each a key of `BY_NAME`, shipped weights by name, a weight folder, or a published file.
    Raises:
        UsageError: if one is named twice or like another column of the comparison, or enlarges nothing.
        WeightsError: if weights are missing, damaged, or of a network that does not upscale.
        MissingExtraError: if spandrel is needed and not installed.
    """
    if len(set(sources)) < len(sources):
        raise UsageError(f"--models {','.join(sources)}: names one twice; name each once.")
    short = [Path(source).stem if source.endswith(FILE_SUFFIXES) else Path(source).name for source in sources]
    taken = {INPUT, ORIGINAL, *(name for name in short if short.count(name) > 1)}
    names = [source if name in taken else name for name, source in zip(short, sources, strict=True)]
    for name in {INPUT, ORIGINAL} & set(names):
        raise UsageError(f"--models {name}: another column has this name; give the folder's path, ./{name}.")
    return [_maker(source)(name, source, setting) for name, source in zip(names, sources, strict=True)]


def _maker(source: str) -> Maker:
    if source in BY_NAME:
        return BY_NAME[source]
    if source.endswith(FILE_SUFFIXES):
        return _published
    try:
        kind = read_card(find_weights(source)).kind
    except WeightsError as error:
        if (Path(source) / CARD_FILE).is_file():
            raise
        known = [*BY_NAME, *(folder.name for folder in weight_folders() if read_card(folder).kind in BY_KIND)]
        raise WeightsError(
            f"--models {source!r}: neither an upscaler's name, a folder with a {CARD_FILE}, nor a "
            f"{' or '.join(FILE_SUFFIXES)} file" + suggest(source, known, "'")
        ) from error
    if kind not in BY_KIND:
        raise WeightsError(
            f"--models {source}: holds a {kind}, which does not upscale pictures; name one of {', '.join(BY_KIND)}."
        )
    return BY_KIND[kind]
