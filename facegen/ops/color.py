"""Luma of RGB pictures, the tone of toned photos, and histogram matching."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from facegen.errors import ShapeError

WEIGHTS = (0.299, 0.587, 0.114)
"""ITU-R BT.601, as in JPEG; they sum to one, so a grey picture is equal to its luma."""

TONED = 6 / 255
"""Largest distance of 99 % of a toned photo's pixels to the tone. It is 6.5 / 255 in a JPEG of quality 90, and over
11 / 255 in each of 550 portraits in colour."""
FLAT = 1e-6
"""Weight of the unit matrix that keeps the fit of the tone solvable if a picture has only one brightness."""


def luma(images: Tensor) -> Tensor:
    """Compute luma, the weighted sum of red, green and blue.

    Args:
        images: (..., 3, H, W), any range.
    Returns:
        (..., H, W), in the same range.
    Raises:
        ShapeError: if the third axis from the end does not have length 3.
    """
    if images.ndim < 3 or images.shape[-3] != 3:
        raise ShapeError(f"luma: images have shape {tuple(images.shape)}, expected (..., 3, H, W).")
    red, green, blue = (weight * plane for weight, plane in zip(WEIGHTS, images.unbind(-3), strict=True))
    return red + green + blue


def in_tone(image: Tensor, low_res: Tensor) -> Tensor:
    """Give a picture the tone of its input, such as grey or sepia, if the input has one colour for each brightness.

    The tone is a cubic polynomial of luma, fitted to the input.

    Args:
        image: (3, H, W) in [0, 1].
        low_res: (3, h, w) in [0, 1], the input, of any size.
    Returns:
        (3, H, W) in [0, 1] with the same luma; unchanged if the input has more colours.
    """
    light = luma(low_res)
    colours = (low_res - light).flatten(1).T  # (h*w, 3)
    powers = torch.stack([light.flatten() ** n for n in range(4)], dim=1)  # (h*w, 4)
    normal = powers.T @ powers + FLAT * len(powers) * torch.eye(4, device=powers.device)
    curve = torch.linalg.solve(normal, powers.T @ colours)  # (4, 3)
    if (powers @ curve - colours).abs().amax(dim=1).quantile(0.99) > TONED:
        return image
    bright = luma(image)
    fitted = bright.clamp(light.min(), light.max())  # the curve holds for the brightness of the input only
    tint = sum(fitted**n * factors[:, None, None] for n, factors in enumerate(curve))
    toned: Tensor = (bright + tint).clamp(0, 1)
    return toned


def match_histogram(picture: Tensor, reference: Tensor) -> Tensor:
    """Match the histogram of each channel to the reference's, as scikit-image does.

    Args:
        picture: (C, H, W) in [0, 1].
        reference: (C, h, w) in [0, 1], of any size.
    Returns:
        (C, H, W) float32 in [0, 1], on the picture's device.
    Raises:
        ShapeError: if the two do not have the same number of channels.
    """
    if picture.ndim != 3 or reference.ndim != 3 or len(picture) != len(reference):
        raise ShapeError(
            f"match_histogram: picture has shape {tuple(picture.shape)} and reference {tuple(reference.shape)}, "
            "expected (C, H, W) and (C, h, w)."
        )
    from skimage.exposure import match_histograms  # slow to import, and most programs need only `luma`

    arrays = (x.detach().float().cpu().numpy() for x in (picture, reference))
    matched = np.asarray(match_histograms(*arrays, channel_axis=0), np.float32)
    return torch.from_numpy(matched).clamp(0, 1).to(picture.device)
