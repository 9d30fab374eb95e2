"""Degradations of single pictures by OpenCV and its JPEG; those of batches in facegen.training.damage are like them."""

from __future__ import annotations

import cv2
import numpy as np

from facegen.ops.damage import Float, blur


def noise(image: Float, sigma: float, rng: np.random.Generator) -> Float:
    """Add Gaussian noise of standard deviation `sigma` to an (H, W, C) image in [0, 1]; clipped."""
    noisy = image + rng.normal(0, sigma, image.shape).astype(np.float32)
    return np.asarray(np.clip(noisy, 0, 1), dtype=np.float32)


def jpeg(image: Float, quality: int) -> Float:
    """Encode an (H, W, 3) image in [0, 1] as JPEG of a quality in 1..100 and decode it again."""
    bgr = np.ascontiguousarray((image[..., ::-1] * 255 + 0.5).astype(np.uint8))
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return np.asarray(np.divide(decoded[..., ::-1], 255, dtype=np.float32))


def degrade(image: Float, rng: np.random.Generator, strength: float, share: float = 1.0) -> Float:
    """A random mild degradation of a low-res tile, as DCGAN faces and small photos show.

    Args:
        image: (H, W, 3) in [0, 1].
        rng: decides which degradations are applied.
        strength: 0 does nothing; 1 blurs up to 0.9 px, adds noise up to 0.02 and JPEGs down to quality 50.
        share: share of the calls that may change the tile; most input should stay clean.
    """
    if strength == 0 or rng.random() >= share:
        return image
    if rng.random() < 0.6:
        image = blur(image, 0.2 + 0.7 * strength * rng.random())
    if rng.random() < 0.5:
        image = noise(image, 0.02 * strength * rng.random(), rng)
    if rng.random() < 0.3:
        image = jpeg(image, int(95 - 45 * strength * rng.random()))
    return image
