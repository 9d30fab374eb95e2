"""Features of pictures, and the networks behind FID and LPIPS.

facegen's feature network is EfficientNet-Lite2 (Tan & Le 2019, the "Lite" variant), trained on ImageNet, which no
training here uses. It is not Inception, so its Frechet distances are not FIDs and must not be compared with published
ones. FID and LPIPS are measured where the packages and weights that define them are installed; nothing is downloaded.
"""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from facegen.arrays import RGB
from facegen.errors import MissingExtraError, ShapeError, WeightsError, one_line
from facegen.models.efficientnet import EfficientNetLite

Features = NDArray[np.float64]
"""(N, D)."""
Extractor = Callable[[RGB], Features]
"""Computes features, (N, D), of pictures, (N, H, W, 3)."""
PairDistance = Callable[[Tensor, Tensor], float]
"""Measures the distance of two images, (3, H, W) in [0, 1]."""
LAYER = "EfficientNet-Lite2 (ImageNet), mean over the stride-32 map"
MAPS = "EfficientNet-Lite2 (ImageNet), five maps, strides 2 to 32"
INCEPTION_FILE, ALEXNET_FILE = "weights-inception-2015-12-05-6726825d.pth", "alexnet-owt-7be5be79.pth"
INCEPTION = "Inception-v3 of 2015-12-05 (torch-fidelity), 2048 features"
INCEPTION_SIDE = 299
LPIPS = "LPIPS 0.1 with AlexNet (torchmetrics)"
BATCH = 16


def pooled_features(network: EfficientNetLite, pictures: RGB, side: int, *, device: str = "cpu") -> Features:
    """Average the network's last map over each picture.

    Args:
        network: on `device`.
        pictures: (N, H, W, 3) uint8; resized to `side` if they have another, antialiased bicubic.
    Returns:
        (N, C); C is 352 for Lite2.
    """
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
        raise ShapeError(f"pictures are {pictures.dtype} of shape {pictures.shape}, expected uint8 (N, H, W, 3).")

    def pool(x: Tensor) -> Tensor:
        x = x.float().div(127.5).sub(1)  # (B, 3, H, W) in [-1, 1]
        if x.shape[-2:] != (side, side):
            x = F.interpolate(x, size=(side, side), mode="bicubic", align_corners=False, antialias=True)
        pooled: Tensor = network(x)[-1].mean(dim=(2, 3))
        return pooled

    return _in_batches(pool, pictures, device) if len(pictures) else np.zeros((0, network.channels[-1]))


def _in_batches(extract: Callable[[Tensor], Tensor], pictures: RGB, device: str) -> Features:
    """Compute features, (N, D), of (N, H, W, 3) uint8; `extract` takes (B, 3, H, W) uint8 and returns (B, D)."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(pictures), BATCH):
            x = torch.from_numpy(pictures[start : start + BATCH]).to(device).permute(0, 3, 1, 2)
            found.append(extract(x).cpu().double())
    return np.asarray(torch.cat(found).numpy())


def hub_file(name: str) -> Path:
    """Return the path at which torch.hub keeps downloaded weights."""
    return Path(torch.hub.get_dir()) / "checkpoints" / name


def load_inception(file: Path | None = None, device: str = "cpu") -> Extractor:
    """Load the network of the FID (Heusel et al. 2017): torch-fidelity's port of TensorFlow's Inception-v3.

    Pictures, (N, H, W, 3) uint8, are resized to 299 px as by TensorFlow 1, bilinear, and become (N, 2048).

    Args:
        file: its weights; by default torch.hub's copy.
    Raises:
        MissingExtraError: if a package or the file is missing; names all that is.
        WeightsError: if the file holds something else.
    """
    file = file or hub_file(INCEPTION_FILE)
    _require("FID", ("torch_fidelity", "torchvision"), file, "or name it by --inception FILE")
    with _working("FID", "torch_fidelity"):
        module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    try:
        network = module.FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(file))
    except (OSError, EOFError, RuntimeError, TypeError, pickle.UnpicklingError) as error:
        raise WeightsError(f"{file}: holds no weights of torch-fidelity's Inception ({one_line(error)}).") from None
    network = network.to(device)
    return lambda pictures: _in_batches(lambda x: network(x)[0], pictures, device)


def load_lpips(device: str = "cpu") -> PairDistance:
    """Load LPIPS (Zhang et al. 2018) with AlexNet, as torchmetrics computes it.

    Raises:
        MissingExtraError: if a package, or AlexNet's weights in torch.hub's folder, is missing; names all that is.
    """
    _require("LPIPS", ("torchmetrics", "torchvision"), hub_file(ALEXNET_FILE), "from download.pytorch.org/models")
    with _working("LPIPS", "torchmetrics or torchvision"):  # a torchvision may be made for another torch
        module = importlib.import_module("torchmetrics.image.lpip")
        metric = module.LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True).to(device)

    def distance(a: Tensor, b: Tensor) -> float:
        with torch.inference_mode():
            return float(metric(a[None].to(device), b[None].to(device)))

    return distance


def _require(figure: str, modules: tuple[str, ...], file: Path, source: str) -> None:
    """Raise a MissingExtraError that names every missing package and file."""
    absent = [name.replace("_", "-") for name in modules if find_spec(name) is None]
    needs = [f"pip install {' '.join(absent)}"] if absent else []
    if not file.is_file():
        needs.append(f"the weights {file} ({source})")
    if needs:
        raise MissingExtraError(f"{figure} left out; for it: {' and '.join(needs)}.")


@contextmanager
def _working(figure: str, package: str) -> Iterator[None]:
    """Turn the failure of an installed package into a MissingExtraError."""
    try:
        yield
    except (ImportError, RuntimeError) as error:
        text = f"{figure} left out: {package} is installed but does not work here ({one_line(error)})."
        raise MissingExtraError(text) from None
