"""Damage pictures like real photos: two rounds of blur, resizing, noise and compression, after BSRGAN and Real-ESRGAN.

One number, the strength, scales all steps. The damage is applied at the low-res size, at which real photos have their
noise and the 8 px blocks of JPEG. K. Zhang et al., "Designing a Practical Degradation Model for Deep Blind Image
Super-Resolution", ICCV 2021; X. Wang et al., "Real-ESRGAN", ICCV Workshops 2021.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facegen.arrays import RGB
from facegen.ops.color import WEIGHTS

Float = NDArray[np.float32]
Rng = np.random.Generator
Step = Callable[[Float, Rng, float], Float]
"""Damages an (H, W, 3) image in [0, 1] by an amount in 0..1."""
LEVELS = {"mild": 0.25, "medium": 0.5, "strong": 0.8}
"""Strengths by name, as in tables of results."""
BLUR, NOISE, WORST_JPEG, BEST_JPEG, HALO = 1.8, 0.08, 20, 95, 1.5
"""At amount 1: standard deviation of the blur in pixels, and of the noise; JPEG quality at amounts 1 and 0; weight of
sharpening at amount 1."""
KERNELS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


def damage(image: Float, rng: Rng, strength: float) -> Float:
    """Damage a low-res picture at random.

    Args:
        image: (H, W, 3) in [0, 1].
        rng: chooses the steps, and the amount of each: 0.3 to 1 times the strength.
        strength: 0 does nothing; 1 may blur by 1.8 px, halve the resolution, add noise of 0.08, and JPEG at quality 20.
    Returns:
        (H, W, 3) in [0, 1], in 8-bit levels.
    """
    if strength == 0:
        return image
    size = image.shape[1], image.shape[0]
    for share, step in FIRST:
        image = _at_random(share, step, image, rng, strength)
    if image.shape[1::-1] != size:
        image = _resize(image, size, rng)
    for share, step in SECOND:
        image = _at_random(share, step, image, rng, 0.7 * strength)
    return in_8_bits(image)


def _at_random(share: float, step: Step, image: Float, rng: Rng, strength: float) -> Float:
    """Apply a step with a probability of `share`; the number of draws from `rng` is the same in all cases."""
    wanted, amount, seed = rng.random() < share, strength * rng.uniform(0.3, 1), rng.integers(2**62)
    return _clipped(step(image, np.random.default_rng(seed), amount)) if wanted else image


def _clipped(image: NDArray[Any]) -> Float:
    return np.asarray(np.clip(image, 0, 1), np.float32)


def in_8_bits(image: Float) -> Float:
    """Round (H, W, C) in [0, 1] to 8-bit levels."""
    return (np.rint(image * 255) / 255).astype(np.float32)


def blur(image: Float, sigma: float) -> Float:
    """Blur an (H, W, C) image by a Gaussian; sigma is in pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), dtype=np.float32)


def blurred(image: Float, rng: Rng, amount: float) -> Float:
    """Blur by a Gaussian, which is elongated in half of the cases."""
    long = 0.2 + (BLUR - 0.2) * amount
    short = long * (rng.uniform(0.2, 1) if rng.random() < 0.5 else 1)
    angle = rng.uniform(0, np.pi)
    reach = int(np.ceil(3 * long))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    kernel = np.exp(-0.5 * ((along / long) ** 2 + (across / max(short, 0.2)) ** 2))
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT), np.float32)


def resized(image: Float, rng: Rng, amount: float) -> Float:
    """Resize to 0.5 to 1.5 times the side, usually smaller; the next steps work at that size."""
    factor = 1 - 0.5 * amount if rng.random() < 0.7 else 1 + 0.5 * amount
    height, width = image.shape[:2]
    return _resize(image, (max(round(width * factor), 1), max(round(height * factor), 1)), rng)


def _resize(image: Float, size: tuple[int, int], rng: Rng) -> Float:
    kernel = KERNELS[rng.integers(len(KERNELS))]
    return _clipped(cv2.resize(image, size, interpolation=kernel))


def noisy(image: Float, rng: Rng, amount: float) -> Float:
    """Add Gaussian, Poisson or sensor noise, sometimes grey; sensor noise is coarser, and stronger in colour."""
    kind, channels = rng.random(), 1 if rng.random() < 0.4 else 3
    grain = rng.standard_normal((*image.shape[:2], channels), np.float32) * np.float32(NOISE * amount)
    if kind < 0.5:
        return image + grain
    grain = grain * np.sqrt(2 * np.clip(image, 0.02, 1))  # Poisson: as strong as Gaussian noise at middle grey
    if kind < 0.8:
        return image + grain
    light, colour = rng.uniform(0.3, 0.7), rng.uniform(0.6, 1.2)
    luma = (np.broadcast_to(grain, image.shape) @ np.array(WEIGHTS, np.float32))[..., None]
    return image + 2 * blur(np.asarray(light * luma + colour * (grain - luma), np.float32), rng.uniform(0.4, 0.9))


def sharpened(image: Float, rng: Rng, amount: float) -> Float:
    """Sharpen by unsharp masking, with halos like those of phones and scanners."""
    return image + HALO * amount * (image - blur(image, rng.uniform(0.7, 1.6)))


def scratched(image: Float, rng: Rng, amount: float) -> Float:
    """Draw a few light or dark scratches, and specks of dust."""
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(1, 3)):
        start = rng.uniform(0, 1, 2) * (width, height)
        bend = np.cumsum(rng.normal(0, 1, (6, 2)) + rng.normal(0, 3, 2), axis=0)
        cv2.polylines(mask, [(16 * (start + bend)).astype(np.int32)], False, 255, 1, cv2.LINE_AA, 4)
    for _ in range(rng.integers(0, 4)):
        place = (16 * rng.uniform(0, 1, 2) * (width, height)).astype(int)
        cv2.circle(mask, (int(place[0]), int(place[1])), int(rng.integers(4, 16)), 255, -1, cv2.LINE_AA, 4)
    share = (mask[..., None] / np.float32(255)) * np.float32(rng.uniform(0.3, 0.9) * min(2 * amount, 1))
    return image + share * (np.float32(rng.random() < 0.6) - image)


def compressed(image: Float, rng: Rng, amount: float) -> Float:
    """Encode as JPEG, or in a quarter of the cases as WebP, with a random offset of the blocks, and decode again."""
    kind, option = (".webp", cv2.IMWRITE_WEBP_QUALITY) if rng.random() < 0.25 else (".jpg", cv2.IMWRITE_JPEG_QUALITY)
    quality = round(BEST_JPEG - (BEST_JPEG - WORST_JPEG) * amount)
    top, left = (int(n) for n in rng.integers(0, 8, 2))
    bgr = cv2.copyMakeBorder(image[..., ::-1], top, 0, left, 0, cv2.BORDER_REFLECT_101)
    _, data = cv2.imencode(kind, (bgr * 255 + 0.5).astype(np.uint8), [option, quality])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[top:, left:, ::-1]
    return np.asarray(np.divide(decoded, 255, dtype=np.float32))


FIRST: tuple[tuple[float, Step], ...] = ((0.8, blurred), (0.6, resized), (0.7, noisy), (0.6, compressed))
SECOND: tuple[tuple[float, Step], ...] = (
    (0.3, blurred), (0.1, scratched), (0.4, noisy), (0.4, sharpened), (0.8, compressed)
)  # fmt: skip
"""The steps of each round, and their probabilities."""


def aged(image: Float, rng: Rng) -> Float:
    """Give an (H, W, 3) picture in [0, 1] the colours of an old photo: grey, toned or faded.

    Networks learn to keep these colours.
    """
    grey, toned, faded = rng.random() < 2 / 3, rng.random() < 1 / 2, rng.random() < 1 / 2
    depth = rng.uniform(0.3, 1)
    if grey:
        image = np.repeat((image @ np.array(WEIGHTS, np.float32))[..., None], 3, axis=2)
    if faded:
        image = 0.25 * depth + (1 - 0.4 * depth) * image
    tint = rng.uniform(-0.4, 0.4, 3) * depth if toned or not (grey or faded) else 0.0
    return _clipped(image + tint * image * (1 - image))


def of_item(picture: RGB, strength: float, item: int, seed: int = 0) -> RGB:
    """Damage an (H, W, 3) uint8 picture reproducibly, as determined by (seed, item), for measurements."""
    unit = np.asarray(np.divide(picture, 255, dtype=np.float32))
    return np.rint(damage(unit, np.random.default_rng((seed, item)), strength) * 255).astype(np.uint8)
