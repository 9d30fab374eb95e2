"""Mild degradation, and the steps of `facegen.ops.damage`, for batches on any device, with a JPEG of tensors.

Batches are (B, 3, h, w) in [0, 1]. Amounts, (B,), and random numbers differ from picture to picture.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.ops import damage as single
from facegen.ops.blocks import TO_PLANES
from facegen.ops.color import luma
from facegen.ops.damage import BEST_JPEG, BLUR, HALO, NOISE, WORST_JPEG
from facegen.training.random import ItemDraws

Step = Callable[[Tensor, ItemDraws, Tensor], Tensor]
"""Damages pictures by an amount, (B,) in 0..1."""
REACH = 6
"""Pixels that the widest blur reaches."""
SCRATCHES = 256
"""Number of scratches that are drawn once and then chosen from."""
# The quantisation tables of JPEG's annex K, at quality 50: for luma and for chroma
_LUMA = (
    "16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62 "
    "18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"
)
_CHROMA = "17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99" + " 99" * 36


def degrade(low: Tensor, draws: ItemDraws, strength: float, share: float) -> Tensor:
    """Degrade a `share` of the tiles mildly and at random, like DCGAN faces and small photos.

    A `strength` of 0 does nothing; 1 blurs by up to 0.9 px, adds noise of up to 0.02, and JPEG down to quality 50.
    """
    if strength == 0 or share == 0:
        return low
    sigma = 0.2 + 0.7 * strength * draws.uniform()
    worn = _where(draws.chance(0.6), _blurred(low, gaussian(sigma)), low)
    amount = 0.02 * strength * draws.uniform()
    grain = _wide(amount) * draws.normal(*low.shape[1:])
    worn = _where(draws.chance(0.5), (worn + grain).clamp(0, 1), worn)
    quality = 95 - 45 * strength * draws.uniform()
    return _where(draws.chance(share), _where(draws.chance(0.3), jpeg(worn, quality), worn), low)


def damage(low: Tensor, draws: ItemDraws, strength: Tensor) -> Tensor:
    """Damage low-res pictures at random, with the steps and shares of `facegen.ops.damage.damage`; WebP becomes JPEG.

    Args:
        low: square pictures.
        strength: (B,) in 0..1; 0 does nothing.
    Returns:
        the same shape, in 8-bit levels where the strength is above 0.
    """
    x = low
    for share, step in single.FIRST:
        if step is single.resized:
            there, back = _resizings(draws, low.shape[-1], share, strength)
            x = (there @ x @ there.mT).clamp(0, 1)
        else:
            x = _at_random(share, STEPS[step], x, draws, strength)
    x = (back @ x @ back.mT).clamp(0, 1)
    for share, step in single.SECOND:
        x = _at_random(share, STEPS[step], x, draws, 0.7 * strength)
    return _where(strength > 0, in_8_bits(x), low)


def _at_random(share: float, step: Step, images: Tensor, draws: ItemDraws, strength: Tensor) -> Tensor:
    """Do a step to a share of the pictures, by 0.3 to 1 times the strength."""
    chosen, amount = draws.chance(share), strength * draws.uniform(low=0.3)
    return _where(chosen, step(images, draws, amount).clamp(0, 1), images)


def in_8_bits(images: Tensor) -> Tensor:
    """Round [0, 1] to the 256 levels of a file."""
    return images.mul(255).round().div(255)


class Colours:
    """A random change of colours, the same for all pictures of the same items."""

    def __init__(self, draws: ItemDraws, reach: float, old: float) -> None:
        """Gain, contrast and saturation are within 1 +- `reach`; a share of `old` looks like old photos."""
        self.recolour = draws.uniform(3, 1, 1, 1, low=1 - reach, high=1 + reach).unbind(1)
        self.grey, toned, self.faded = draws.chance(2 / 3), draws.chance(1 / 2), draws.chance(1 / 2)
        self.depth = _wide(draws.uniform(low=0.3))
        self.tint = draws.uniform(3, 1, 1, low=-0.4, high=0.4) * self.depth * _wide(toned | ~(self.grey | self.faded))
        self.old = draws.chance(old) if old else None

    def __call__(self, images: Tensor) -> Tensor:
        """Change gain, contrast and saturation, then colours as `facegen.ops.damage.aged` does; clamped to [0, 1]."""
        gain, contrast, saturation = self.recolour
        images = (images * gain - 0.5) * contrast + 0.5
        images = torch.lerp(_luma(images), images, saturation).clamp(0, 1)
        if self.old is None:
            return images
        old = _where(self.grey, _luma(images).expand_as(images), images)
        old = _where(self.faded, 0.25 * self.depth + (1 - 0.4 * self.depth) * old, old)
        return _where(self.old, (old + self.tint * old * (1 - old)).clamp(0, 1), images)


def gaussian(long: Tensor, short: Tensor | None = None, angle: Tensor | None = None) -> Tensor:
    """Gaussian kernels (B, 13, 13) of (B,) deviations in pixels, along an angle and across it; round if omitted."""
    places = torch.arange(-REACH, REACH + 1, device=long.device, dtype=torch.float32)
    y, x = places[:, None], places[None, :]
    short = long if short is None else short
    cos, sin = (torch.ones_like(long), torch.zeros_like(long)) if angle is None else (angle.cos(), angle.sin())
    along = x * cos[:, None, None] + y * sin[:, None, None]
    across = y * cos[:, None, None] - x * sin[:, None, None]
    kernel = (-0.5 * ((along / long[:, None, None]) ** 2 + (across / short[:, None, None]) ** 2)).exp()
    return kernel / kernel.sum((1, 2), keepdim=True)


def _blurred_at_random(images: Tensor, draws: ItemDraws, amount: Tensor) -> Tensor:
    """Gaussian blur, in half of the cases longer in one direction."""
    long = 0.2 + (BLUR - 0.2) * amount
    short = long * torch.where(draws.chance(0.5), draws.uniform(low=0.2), torch.ones_like(long))
    return _blurred(images, gaussian(long, short.clamp(min=0.2), draws.uniform(high=np.pi)))


def _blurred(images: Tensor, kernels: Tensor) -> Tensor:
    """Convolve each picture with its kernel, (B, 2r + 1, 2r + 1)."""
    b, c, h, w = images.shape
    padded = F.pad(images, (REACH,) * 4, mode="reflect").reshape(1, b * c, h + 2 * REACH, w + 2 * REACH)
    return F.conv2d(padded, kernels.repeat_interleave(c, 0)[:, None], groups=b * c).view(b, c, h, w)


def _noisy(images: Tensor, draws: ItemDraws, amount: Tensor) -> Tensor:
    """Gaussian, Poisson or sensor noise, as in `facegen.ops.damage.noisy`."""
    size = images.shape[2:]
    grain = draws.normal(3, *size)
    grain = _where(draws.chance(0.4), grain[:, :1].expand_as(grain), grain) * _wide(NOISE * amount)
    photons = grain * (2 * images.clamp(0.02, 1)).sqrt()
    light, colour = (_wide(draws.uniform(low=low, high=high)) for low, high in ((0.3, 0.7), (0.6, 1.2)))
    grey = _luma(photons)
    sensor = 2 * _blurred(light * grey + colour * (photons - grey), gaussian(draws.uniform(low=0.4, high=0.9)))
    kind = draws.uniform()
    return images + _where(kind < 0.5, grain, _where(kind < 0.8, photons, sensor))


def _sharpened(images: Tensor, draws: ItemDraws, amount: Tensor) -> Tensor:
    return images + _wide(HALO * amount) * (images - _blurred(images, gaussian(draws.uniform(low=0.7, high=1.6))))


def _scratched(images: Tensor, draws: ItemDraws, amount: Tensor) -> Tensor:
    masks = _scratches(images.shape[-1], images.device)
    share = masks[draws.integers(len(masks))]  # (B, 1, h, w)
    share = share * _wide(draws.uniform(low=0.3, high=0.9) * (2 * amount).clamp(max=1))
    return images + share * (_wide(draws.chance(0.6)).float() - images)


@lru_cache(maxsize=4)
def _scratches(side: int, device: torch.device) -> Tensor:
    """(SCRATCHES, 1, side, side): white where `facegen.ops.damage.scratched` draws on black, at full strength."""
    black = np.zeros((side, side, 3), np.float32)
    drawn = []
    for number in range(4 * SCRATCHES):
        mask = single.scratched(black, np.random.default_rng((7, number)), 1.0)[..., 0]
        if mask.max() > 0:  # dark ones leave no trace on black
            drawn.append(np.minimum(mask / mask.max(), 1))
    return torch.from_numpy(np.stack(drawn[:SCRATCHES])[:, None]).to(device)


def _resizings(draws: ItemDraws, side: int, share: float, strength: Tensor) -> tuple[Tensor, Tensor]:
    """Matrices, (B, 1, n, m), that resize an axis of a share of the pictures to 0.5 to 1.5 times, and those back."""
    chosen, amount = draws.chance(share), strength * draws.uniform(low=0.3)
    factor = torch.where(draws.chance(0.7), 1 - 0.5 * amount, 1 + 0.5 * amount)
    factor = torch.where(chosen, factor, torch.ones_like(factor))
    there, back = (_resizing(draws, side, 3 * side // 2, factor, reverse)[:, None] for reverse in (False, True))
    return there, back


def _resizing(draws: ItemDraws, side: int, room: int, factor: Tensor, reverse: bool) -> Tensor:
    """Matrices that resize an axis of `side` pixels to `factor` times as many, padded to `room`; or back if `reverse`.

    Returns (B, room, side), or (B, side, room) if `reverse`. Each picture's kernel is chosen at random from area,
    linear, cubic and Lanczos interpolation, as in OpenCV; the padding repeats the last pixel.
    """
    size = (side * factor).round().clamp(1, room)
    taken, given = (size, torch.full_like(size, side)) if reverse else (torch.full_like(size, side), size)
    rows, columns = (side, room) if reverse else (room, side)
    step = (taken / given)[:, None, None]
    row = torch.arange(rows, device=factor.device, dtype=torch.float32)[:, None]
    row = torch.minimum(row, given[:, None, None] - 1)
    column = torch.arange(columns, device=factor.device, dtype=torch.float32)
    last = taken[:, None, None] - 1
    low, high = row * step, (row + 1) * step
    area = (torch.minimum(high, column + 1) - torch.maximum(low, column)).clamp(min=0)
    centre = ((low + high) / 2 - 0.5).clamp(min=0).minimum(last)
    away = (centre - column).abs()
    tent = (1 - away).clamp(min=0)
    kinds = torch.stack([torch.where(step > 1, area, tent), tent, _cubic(away), _lanczos(away)])  # (4, B, ...)
    kind = draws.integers(4)
    weights = kinds[kind, torch.arange(len(kind), device=kind.device)] * (column <= last)
    return weights / weights.sum(2, keepdim=True)


def _cubic(x: Tensor) -> Tensor:
    """Keys's cubic kernel with a = -0.75, at distances in pixels."""
    near, far = (1.25 * x - 2.25) * x * x + 1, -0.75 * (((x - 5) * x + 8) * x - 4)
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _lanczos(x: Tensor) -> Tensor:
    return torch.where(x < 4, torch.sinc(x) * torch.sinc(x / 4), torch.zeros_like(x))


def _compressed(images: Tensor, draws: ItemDraws, amount: Tensor) -> Tensor:
    """Encode as JPEG on a grid that begins at a random pixel, and decode."""
    side = images.shape[-1]
    padded_side = -(-(side + 7) // 16) * 16
    shift = draws.integers(8, 2)[..., None]  # (B, 2, 1)
    places = torch.arange(padded_side, device=images.device) - shift
    padded = _taken(images, places.abs().clamp(max=side - 1))
    decoded = jpeg(padded, BEST_JPEG - (BEST_JPEG - WORST_JPEG) * amount)
    return _taken(decoded, shift + torch.arange(side, device=images.device))


def _taken(images: Tensor, places: Tensor) -> Tensor:
    """Take each picture's rows and columns, (B, 2, n): (B, C, n, n)."""
    b = torch.arange(len(images), device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[b, places[:, 0, :, None], places[:, 1, None, :]].permute(0, 3, 1, 2)


def jpeg(images: Tensor, quality: Tensor) -> Tensor:
    """Quantise pictures as libjpeg does, with colours at half the side (4:2:0).

    Args:
        images: their side is a multiple of 8; unless it is one of 16, colours are kept at the full side.
        quality: (B,) from 1 to 100.
    """
    matrix, back = _ycc(images.device)
    ycc = torch.einsum("ij,bjhw->bihw", matrix, images.float()).mul(255)
    bright, chroma = ycc[:, :1], ycc[:, 1:]
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality) / 100
    halved = images.shape[-1] % 16 == 0
    bright = _quantised(bright - 128, _table(_LUMA, images.device), scale) + 128
    chroma = _quantised(F.avg_pool2d(chroma, 2) if halved else chroma, _table(_CHROMA, images.device), scale)
    if halved:
        chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    return torch.einsum("ij,bjhw->bihw", back, torch.cat([bright, chroma], 1) / 255).clamp(0, 1)


def _quantised(planes: Tensor, table: Tensor, scale: Tensor) -> Tensor:
    """Round the cosine transform of the 8 x 8 blocks of (B, C, h, w) to multiples of the table's entries."""
    b, c, h, w = planes.shape
    cosines = _cosines(planes.device)
    blocks = planes.reshape(b, c, h // 8, 8, w // 8, 8).transpose(3, 4)
    steps = (table * scale.view(-1, 1, 1)).round().clamp(1, 255).view(b, 1, 1, 1, 8, 8)
    rounded = (cosines @ blocks @ cosines.T / steps).round() * steps
    return (cosines.T @ rounded @ cosines).transpose(3, 4).reshape(b, c, h, w)


@lru_cache(maxsize=4)
def _ycc(device: torch.device) -> tuple[Tensor, Tensor]:
    """The (3, 3) matrix from RGB to JPEG's colours, and its inverse."""
    matrix = torch.tensor(TO_PLANES)
    return matrix.to(device), torch.linalg.inv(matrix).to(device)


@lru_cache(maxsize=4)
def _cosines(device: torch.device) -> Tensor:
    """The orthonormal cosine transform of 8 values: (frequency, place)."""
    k, n = np.mgrid[:8, :8]
    matrix = np.cos((2 * n + 1) * k * np.pi / 16) * np.where(k == 0, 8**-0.5, 0.5)
    return torch.from_numpy(matrix.astype(np.float32)).to(device)


@lru_cache(maxsize=4)
def _table(text: str, device: torch.device) -> Tensor:
    return torch.tensor([float(value) for value in text.split()], device=device).view(8, 8)


def _luma(images: Tensor) -> Tensor:
    return luma(images)[:, None]


def _wide(values: Tensor) -> Tensor:
    """(B,) as (B, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1)


def _where(chosen: Tensor, changed: Tensor, kept: Tensor) -> Tensor:
    return torch.where(_wide(chosen), changed, kept)


STEPS: dict[single.Step, Step] = {
    single.blurred: _blurred_at_random, single.noisy: _noisy, single.scratched: _scratched,
    single.sharpened: _sharpened, single.compressed: _compressed,
}  # fmt: skip
"""The steps of `facegen.ops.damage`, all but `resized`, for batches."""
