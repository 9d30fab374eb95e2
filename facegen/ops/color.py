"""Brightness of an RGB picture as one plane, and histograms matched to another picture's."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from facegen.errors import ShapeError

WEIGHTS = (0.299, 0.587, 0.114)
"""ITU-R BT.601, which JPEG uses too; they sum to one, so a grey picture is its own luma."""

TONED = 6 / 255
"""Largest distance to the tone of 99 % of a toned photo's pixels. As a JPEG of quality 90, one is within 6.5; of 550
portraits in colour, none is within 11."""
FLAT = 1e-6
"""Share of a unit matrix by which the fit of the tone stays solvable where a picture has one brightness."""


def luma(images: Tensor) -> Tensor:
    """Weigh red, green and blue into one brightness plane.

    Args:
        images: (..., 3, H, W), any range.
    Returns:
        (..., H, W), in the same range.
    Raises:
        ShapeError: if the third axis from the end is not 3 long.
    """
    if images.ndim < 3 or images.shape[-3] != 3:
        raise ShapeError(f"luma: images have shape {tuple(images.shape)}, expected (..., 3, H, W).")
    red, green, blue = (weight * plane for weight, plane in zip(WEIGHTS, images.unbind(-3), strict=True))
    return red + green + blue


def in_tone(image: Tensor, low_res: Tensor) -> Tensor:
    """Give a picture its input's tone, where that has one, grey, sepia or another: a colour for each brightness.

    The tone is a cubic polynomial of luma, fitted to the input.

    Args:
        image: (3, H, W) in [0, 1].
        low_res: (3, h, w) in [0, 1], the input, of any size.
    Returns:
        (3, H, W) in [0, 1], of the same luma; the picture itself if the input has colours.
    """
    light = luma(low_res)
    colours = (low_res - light).flatten(1).T  # (h*w, 3)
    powers = torch.stack([light.flatten() ** n for n in range(4)], dim=1)  # (h*w, 4)
    normal = powers.T @ powers + FLAT * len(powers) * torch.eye(4, device=powers.device)
    curve = torch.linalg.solve(normal, powers.T @ colours)  # (4, 3)
    if (powers @ curve - colours).abs().amax(dim=1).quantile(0.99) > TONED:
        return image
    bright = luma(image)
    known = bright.clamp(light.min(), light.max())
    tint = sum(known**n * factors[:, None, None] for n, factors in enumerate(curve))
    toned: Tensor = (bright + tint).clamp(0, 1)
    return toned


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
    from skimage.exposure import match_histograms  # slow to import, and `luma` is on every picture's way

    ours, theirs = (x.detach().float().cpu().numpy() for x in (picture, reference))
    matched = np.asarray(match_histograms(ours, theirs, channel_axis=0), np.float32)
    return torch.from_numpy(matched).clamp(0, 1).to(picture.device)
