"""Features of pictures for the distances between sets of them.

The network is EfficientNet-Lite2 (Tan & Le 2019, the "Lite" variant), trained on ImageNet, which no training here uses.
It is not Inception, so its Frechet distances are no FIDs and must not be compared with published ones.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from facegen.errors import ShapeError
from facegen.models.efficientnet import EfficientNetLite

Features = NDArray[np.float64]
LAYER = "EfficientNet-Lite2 (ImageNet), mean over the stride-32 map"
MAPS = "EfficientNet-Lite2 (ImageNet), five maps, strides 2 to 32"


def pooled_features(
    network: EfficientNetLite, pictures: NDArray[np.uint8], side: int, *, batch: int = 16, device: str = "cpu"
) -> Features:
    """Look at pictures with the network; one vector for each.

    Args:
        network: on `device`.
        pictures: (N, H, W, 3) uint8.
        side: pictures of another side are brought to this one, antialiased bicubic.
    Returns:
        (N, C) global averages of the last map; C is 352 for Lite2.
    Raises:
        ShapeError: if the pictures are not (N, H, W, 3) uint8.
    """
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
        raise ShapeError(f"pictures are {pictures.dtype} of shape {pictures.shape}, expected uint8 (N, H, W, 3).")
    found = []
    with torch.inference_mode():
        for start in range(0, len(pictures), batch):
            x = torch.from_numpy(pictures[start : start + batch]).to(device).permute(0, 3, 1, 2).float()
            x = x.div(127.5).sub(1)  # (B, 3, H, W) in [-1, 1]
            if x.shape[-2:] != (side, side):
                x = F.interpolate(x, size=(side, side), mode="bicubic", align_corners=False, antialias=True)
            found.append(network(x)[-1].mean(dim=(2, 3)).double().cpu())
    return torch.cat(found).numpy() if found else np.zeros((0, network.channels[-1]))
