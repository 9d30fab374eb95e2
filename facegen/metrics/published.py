"""FID and LPIPS, the figures that papers quote, where the packages and weights that define them are at hand.

Neither comes with facegen, and nothing is downloaded: what is missing is named, and the figure left out.
"""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facegen.errors import MissingExtraError, WeightsError, one_line
from facegen.metrics.features import Features

Extractor = Callable[[NDArray[np.uint8]], Features]
"""Pictures, (N, H, W, 3), to features, (N, D)."""
PairDistance = Callable[[Tensor, Tensor], float]
"""How far two pictures, (3, H, W) in [0, 1], are apart."""
INCEPTION_FILE, ALEXNET_FILE = "weights-inception-2015-12-05-6726825d.pth", "alexnet-owt-7be5be79.pth"
INCEPTION = "Inception-v3 of 2015-12-05 (torch-fidelity), 2048 features"
INCEPTION_SIDE = 299
LPIPS = "LPIPS 0.1 with AlexNet (torchmetrics)"


def hub_file(name: str) -> Path:
    """Where torch.hub keeps a weight file of this name once something has downloaded it."""
    return Path(torch.hub.get_dir()) / "checkpoints" / name


def load_inception(file: Path | None = None, device: str = "cpu") -> Extractor:
    """The features of the FID (Heusel et al. 2017): torch-fidelity's port of TensorFlow's Inception-v3.

    Args:
        file: its weights; by default torch.hub's copy.
    Returns:
        (N, H, W, 3) uint8 to (N, 2048); pictures are brought to 299 px as TensorFlow 1 did, bilinear.
    Raises:
        MissingExtraError: if the package or the file is missing; names both.
        WeightsError: if the file holds something else.
    """
    file = file or hub_file(INCEPTION_FILE)
    _require("FID", ("torch_fidelity", "torchvision"), file, "or name it by --inception FILE")
    module = _import("FID", "torch_fidelity.feature_extractor_inceptionv3")
    try:
        network = module.FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(file))
    except (OSError, EOFError, RuntimeError, TypeError, pickle.UnpicklingError) as error:
        reason = one_line(error)
        raise WeightsError(f"{file}: holds no weights of torch-fidelity's Inception ({reason}).") from None
    network = network.to(device)
    return lambda pictures: _look(network, pictures, device)


def load_lpips(device: str = "cpu") -> PairDistance:
    """LPIPS (Zhang et al. 2018) with AlexNet, as torchmetrics computes it.

    Raises:
        MissingExtraError: if a package, or AlexNet's weights in torch.hub's folder, are missing; names them.
    """
    _require("LPIPS", ("torchmetrics", "torchvision"), hub_file(ALEXNET_FILE), "from download.pytorch.org/models")
    module = _import("LPIPS", "torchmetrics.image.lpip")
    try:
        metric = module.LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True).to(device)
    except (ImportError, RuntimeError) as error:  # a torchvision made for another torch
        raise _broken("LPIPS", "torchvision", error) from None

    def apart(a: Tensor, b: Tensor) -> float:
        with torch.inference_mode():
            return float(metric(a[None].to(device), b[None].to(device)))

    return apart


def _require(figure: str, modules: tuple[str, ...], file: Path, source: str) -> None:
    """Upscale what says everything that is missing, if anything is."""
    absent = [name.replace("_", "-") for name in modules if find_spec(name) is None]
    needs = [f"pip install {' '.join(absent)}"] if absent else []
    if not file.is_file():
        needs.append(f"the weights {file} ({source})")
    if needs:
        raise MissingExtraError(f"{figure} left out; for it: {' and '.join(needs)}.")


def _import(figure: str, name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:
        raise _broken(figure, name, error) from None


def _broken(figure: str, name: str, error: Exception) -> MissingExtraError:
    reason = one_line(error)
    return MissingExtraError(f"{figure} left out: {name} is installed but does not work here ({reason}).")


def _look(network: Any, pictures: NDArray[np.uint8], device: str, batch: int = 16) -> Features:
    """(N, H, W, 3) uint8 -> (N, D)."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(pictures), batch):
            x = torch.from_numpy(pictures[start : start + batch]).permute(0, 3, 1, 2).to(device)  # (B, 3, H, W)
            found.append(network(x)[0].double().cpu())
    return np.asarray(torch.cat(found).numpy())
