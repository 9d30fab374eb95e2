"""A picture's colours brought back to those of the picture it was made from."""

from __future__ import annotations

import numpy as np
import torch
from skimage.exposure import match_histograms
from torch import Tensor

from facegen.errors import ShapeError


def match_histogram(picture: Tensor, reference: Tensor) -> Tensor:
    """Map each channel's values, in their order, onto the distribution of the reference's (scikit-image's rule).

    Args:
        picture: (C, H, W) in [0, 1].
        reference: (C, h, w) in [0, 1], of any size.
    Returns:
        (C, H, W) float32 in [0, 1], on the picture's device.
    Raises:
        ShapeError: if the two are not pictures of as many channels.
    """
    if picture.ndim != 3 or reference.ndim != 3 or len(picture) != len(reference):
        raise ShapeError(
            f"match_histogram: picture has shape {tuple(picture.shape)} and reference {tuple(reference.shape)}, "
            "expected (C, H, W) and (C, h, w)."
        )
    ours, theirs = (x.detach().float().cpu().numpy() for x in (picture, reference))
    matched = np.asarray(match_histograms(ours, theirs, channel_axis=0), np.float32)
    return torch.from_numpy(matched).clamp(0, 1).to(picture.device)
