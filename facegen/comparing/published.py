"""Super-resolution files that others published, of any architecture that the package spandrel knows."""

from __future__ import annotations

import importlib
import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from facegen.comparing.upscaler import Setting, Upscaler
from facegen.errors import MissingExtraError, WeightsError, one_line

FILE_SUFFIXES = (".pth", ".safetensors")
"""Of files that are read; no code in them is run."""


def published(name: str, source: str, setting: Setting) -> Upscaler:
    """Read a file.

    Raises:
        MissingExtraError: if spandrel is missing or does not work.
        WeightsError: if the file is missing, of no known architecture, or does not turn RGB into RGB.
    """
    spandrel = _spandrel(source)
    try:
        model = spandrel.ModelLoader(device=torch.device(setting.device)).load_from_file(source)
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
        raise WeightsError(f"{source}: a {model.architecture.name}, which makes no RGB picture of an RGB picture.")
    model.eval()

    def enlarge(low_res: Tensor) -> Tensor:
        upscaled: Tensor = model(low_res[None].to(setting.device))[0]
        return upscaled

    about = f"{model.architecture.name}, {Path(source).name}, read by spandrel {spandrel.__version__}"
    return Upscaler(name, model.scale, enlarge, about)


def _spandrel(source: str) -> Any:
    """The package, if it is there and works.

    Raises:
        MissingExtraError: with the pip command, or with what is wrong with it.
    """
    if find_spec("spandrel") is None:
        raise MissingExtraError(f"{source}: published files are read by spandrel: pip install 'facegen[spandrel]'")
    try:
        return importlib.import_module("spandrel")
    except (ImportError, RuntimeError) as error:  # a torchvision that is missing, or made for another torch
        reason = one_line(error)
        raise MissingExtraError(
            f"{source}: spandrel is installed but does not work here ({reason}); install the torchvision that fits "
            f"torch {torch.__version__}."
        ) from None
