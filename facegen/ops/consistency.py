"""Back-projection: a large picture is made to agree with the small one it was made from.

Iterative back-projection: M. Irani and S. Peleg, "Improving Resolution by Image Registration", CVGIP: Graphical Models
and Image Processing 53(3), 1991: x <- x + up(y - down(x)). Here down() is the area mean, and up() is bicubic after the
inverse of down(bicubic(.)), so that down(up(y)) == y. Without clamping one pass is then exact; the others repair what
clamping to [0, 1] took away, and what is left then is corrected within each low-res pixel by itself.
"""

from __future__ import annotations

import math
from functools import lru_cache, reduce

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import record_function as step

from facegen.arrays import widest_float
from facegen.errors import ShapeError, UsageError
from facegen.ops.color import luma

TOLERANCE = 1e-3
"""Largest low-res error that counts as none: a quarter of an 8-bit step, so at least 60 dB."""
ROUNDING = 0.25 / 255
"""Low-res error that the pipeline leaves alone. The input is rounded to half an 8-bit step, so it cannot tell whether
what a network draws within half of that is wrong; to enforce it would enlarge its rounding 8x, as terraces."""
NEGLIGIBLE = 1e-9
"""Weights below it, of low-res pixels far away, are left out."""


@step("facegen.back_project")
def back_project(
    image: Tensor, low_res: Tensor, fidelity: float = 1.0, iterations: int = 4, slack: float = 0.0
) -> Tensor:
    """Shift a picture smoothly so that its area-downsampled version returns the low-res input.

    With full fidelity no low-res pixel differs by more than `slack` and `TOLERANCE`, black and white ones included.
    Of several pictures each is shifted by itself.

    Args:
        image: (..., 3, s*h, s*w), any whole s.
        low_res: (..., 3, h, w) in [0, 1].
        fidelity: share of the low-res error to remove, 0..1; 0 leaves the picture as it is.
        iterations: smooth passes at most; it ends early once the error beyond the slack is below `TOLERANCE`.
        slack: error of a low-res pixel that is left alone.
    Returns:
        (..., 3, s*h, s*w) in [0, 1].
    Raises:
        ShapeError: if the image is not the low-res size times a whole number.
        UsageError: if the fidelity is outside 0..1.
    """
    if not 0 <= fidelity <= 1:
        raise UsageError(f"back_project: fidelity {fidelity} is outside 0..1; 0 is off, 1 is full agreement.")
    scale = _scale(image, low_res)
    size = (low_res.shape[-2], low_res.shape[-1])
    image = image.clamp(0, 1).contiguous()
    target = torch.lerp(downsample_area(image, size), low_res, fidelity)
    residual = _lacking(image, target, slack)  # (..., 3, h, w)
    for _ in range(iterations):
        if not residual.any():
            return image
        image = enlarge_smoothly(residual, scale).add_(image).clamp_(0, 1)
        residual = _lacking(image, target, slack)
    return _correct(image, residual) if residual.any() else image


def low_res_psnr(image: Tensor, low_res: Tensor) -> float:
    """Measure how well the area-downsampled picture agrees with the low-res one.

    Args:
        image: (3, s*h, s*w) in [0, 1].
        low_res: (3, h, w) in [0, 1].
    Returns:
        Peak signal-to-noise ratio in dB; inf if they are equal.
    Raises:
        ShapeError: if the image is not the low-res size times a whole number.
    """
    _scale(image, low_res)
    error = downsample_area(image, (low_res.shape[-2], low_res.shape[-1])) - low_res
    return decibels(error.cpu().double().square().mean().item())


def decibels(mean_square: float) -> float:
    """Peak signal-to-noise ratio of a mean squared error of values in [0, 1], in dB; inf if there is none."""
    return -10 * math.log10(mean_square) if mean_square else float("inf")


def downsample_area(image: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Shrink by the mean over each target pixel's exact area, parts of pixels included.

    Args:
        image: (..., H, W) with at least one leading axis.
        size_hw: target height and width, at most H and W.
    Returns:
        (..., height, width).
    Raises:
        UsageError: if the target is empty or larger than the image.
    """
    (height, width), (tall, wide) = size_hw, image.shape[-2:]
    if not (0 < height <= tall and 0 < width <= wide):
        raise UsageError(f"downsample_area: cannot shrink {tall} × {wide} px to {height} × {width} px.")
    if tall % height == 0 and wide % width == 0:
        return _block_means(image, tall // height, wide // width)
    vertical, horizontal = _area_matrix(tall, height, image.device), _area_matrix(wide, width, image.device)
    return vertical.to(image.dtype) @ image @ horizontal.to(image.dtype).T


def _block_means(image: Tensor, rows: int, columns: int) -> Tensor:
    """Means of blocks of whole pixels: (..., rows*h, columns*w) -> (..., h, w)."""
    if image.device.type != "cpu":
        return F.avg_pool2d(image, (rows, columns))
    summed = reduce(torch.add, (image[..., n::rows, :] for n in range(rows)))  # up to four times as quick as pooling
    return reduce(torch.add, (summed[..., n::columns] for n in range(columns))) / (rows * columns)


def resample(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """(..., 3, H, W) to (..., 3, h, w), each axis by area where it shrinks, bicubic where it grows; in [0, 1]."""
    shrunk = downsample_area(picture, (min(size[0], picture.shape[-2]), min(size[1], picture.shape[-1])))
    if shrunk.shape[-2:] == size:
        return shrunk
    planes = shrunk.reshape(-1, *shrunk.shape[-3:])
    grown = F.interpolate(planes, size=size, mode="bicubic", align_corners=False).clamp(0, 1)
    return grown.reshape(*shrunk.shape[:-2], *size)


def finest_reference(picture: Tensor, low_res: Tensor, scale: int) -> Tensor:
    """Shrink a picture to the largest size at which a result made from its low-res version can be compared with it.

    Args:
        picture: (..., 3, H, W).
        low_res: (..., 3, h, w), the picture resampled.
        scale: of the result to the low-res picture.
    Returns:
        (..., 3, n*h, n*w) for the largest divisor n of the scale for which the picture is as large; else `low_res`.
    """
    height, width = low_res.shape[-2:]
    for n in range(scale, 1, -1):
        fits = n * height <= picture.shape[-2] and n * width <= picture.shape[-1]
        if scale % n == 0 and fits:
            return downsample_area(picture, (n * height, n * width))
    return low_res


def enlarge_smoothly(low_res: Tensor, scale: int) -> Tensor:
    """Enlarge so that the area mean is the input again: (..., h, w) -> (..., s*h, s*w); not clamped."""
    vertical, horizontal = (_lift(length, scale, low_res.device).to(low_res) for length in low_res.shape[-2:])
    return vertical @ low_res @ horizontal.T


def _lacking(image: Tensor, target: Tensor, slack: float) -> Tensor:
    """Subtract each picture's means from the target, beyond the slack, (..., 3, h, w); 0 if negligible."""
    residual = target - downsample_area(image, (target.shape[-2], target.shape[-1]))
    residual = residual - residual.clamp(-slack, slack)
    return residual * (residual.abs().amax((-3, -2, -1), keepdim=True) >= TOLERANCE)


def _correct(image: Tensor, residual: Tensor) -> Tensor:
    """Add what each low-res pixel lacks: lighten or darken each pixel in it by a share of its room to move.

    The room is what is left to 1 or to 0, so that nothing needs clamping: x + r (1 - x) / mean(1 - x), or with x for
    1 - x to darken. One channel after the other, in place: all at once would need the picture's memory eight times.
    """
    planes = image.view(-1, 1, *image.shape[-2:]), residual.reshape(-1, 1, *residual.shape[-2:])
    for channel, lacking in zip(*planes, strict=True):  # (1, s*h, s*w), (1, h, w)
        missing = _repeat(lacking, channel)
        room = torch.where(missing > 0, 1 - channel, channel)
        usual = _repeat(downsample_area(room, (lacking.shape[-2], lacking.shape[-1])), channel)
        channel.add_(missing * room / usual.clamp(min=1e-6)).clamp_(0, 1)
    return image


def _repeat(low_res: Tensor, image: Tensor) -> Tensor:
    """Every low-res pixel as often as the image has pixels for it."""
    return F.interpolate(low_res[None], size=image.shape[-2:], mode="nearest")[0]


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def _area_matrix(source: int, target: int, device: torch.device) -> Tensor:
    """The share of each source pixel in each target pixel's mean: (target, source), rows sum to one."""
    edges = torch.arange(target + 1, dtype=torch.float64) * source / target
    pixels = torch.arange(source, dtype=torch.float64)
    covered = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
    return (covered.clamp(min=0) * target / source).to(device, widest_float(device))


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _lift(length: int, scale: int, device: torch.device) -> Tensor:
    """Smooth upscaling of one axis whose area mean is the input again: (s*length, length).

    It is bicubic interpolation U times the inverse of D U, where D is the area mean, so that D (U (D U)^-1) = 1.
    """
    impulses = torch.eye(length, dtype=torch.float64)[:, None, None]  # (length, 1, 1, length): pictures of one row
    upscaled = F.interpolate(impulses, scale_factor=(1, scale), mode="bicubic", align_corners=False)
    up = upscaled[:, 0, 0].T  # (s*length, length)
    lift: Tensor = torch.linalg.solve(up.reshape(length, scale, length).mean(1), up, left=False)
    lift = torch.where(lift.abs() < NEGLIGIBLE, 0, lift)  # they fall to denormal numbers, which cost 30 times the time
    return lift.to(device, widest_float(device))


def _scale(image: Tensor, low_res: Tensor) -> int:
    """The whole s between (..., 3, s*h, s*w) and (..., 3, h, w)."""
    small, large = tuple(low_res.shape), tuple(image.shape)
    scale = large[-1] // small[-1] if len(large) == len(small) >= 3 and small[-1] else 0
    if not scale or large != (*small[:-2], scale * small[-2], scale * small[-1]):
        leading = ", ".join(map(str, small[:-2]))
        raise ShapeError(
            f"consistency: image has shape {large}, expected ({leading}, s*h, s*w) for a whole s and low_res {small}."
        )
    return scale


CELL = 2
"""Detail is what lies below means of so many pixels squared."""
REACH = 6
"""Cells on either side over which the strength of detail is averaged."""
ROUNDING_ENERGY = 4e-6
"""Largest mean square of detail that was seen in pictures enlarged four times, from rounding to 8 bits alone."""
_FLAT = 1e-12
"""Variance added where there is no detail at all."""


def add_missing_detail(picture: Tensor, finer: Tensor) -> Tensor:
    """Add as much of another rendering's detail as a picture falls short of it.

    Detail is x - up(down(x)), with means of 2 x 2 pixels for down(), so that adding it leaves those means as they are.
    Its share is 1 - a/b, but at least 0, for a and b the deviations of the picture's own and of the other detail in the
    neighbourhood. So a blurred cheek gets pores, and one that shows pores or grain keeps them to the bit.

    Args:
        picture: (3, 2h, 2w) in [0, 1].
        finer: (3, 2h, 2w) in [0, 1], the same motif; cells in which it is the picture itself stay as they are.
    Returns:
        (3, 2h, 2w), not clamped.
    Raises:
        ShapeError: if the two differ in shape, or a side is odd.
    """
    if picture.shape != finer.shape or picture.shape[1] % CELL or picture.shape[2] % CELL:
        shapes = f"{tuple(picture.shape)} and {tuple(finer.shape)}"
        raise ShapeError(f"add_missing_detail: shapes {shapes}, expected the same (3, 2h, 2w).")
    own, other = _detail(picture), _detail(finer)
    share = 1 - (_strength(own) / (_strength(other) + _FLAT)).sqrt()  # (1, h, w)
    changed = F.max_pool2d((picture != finer).any(0, keepdim=True).to(picture), CELL)  # (1, h, w)
    cells = share.clamp(min=0) * changed
    return picture + other * F.interpolate(cells[None], scale_factor=CELL, mode="nearest")[0]


def detail_ratio(picture: Tensor) -> float:
    """Energy of luma below the means of 2 x 2 pixels, over that of the same picture at half the size, in its middle.

    It is about 0.4 for a sharp portrait, 0.2 for one that was enlarged by a third, and 0.08 for one enlarged twice.
    What rounding to 8 bits leaves counts as nothing.

    Args:
        picture: (3, 4h, 4w) in [0, 1].
    """
    half = downsample_area(picture, (picture.shape[1] // CELL, picture.shape[2] // CELL))
    fine, coarse = (_middle(luma(_detail(image))).square().mean() for image in (picture, half))
    return float((fine - ROUNDING_ENERGY).clamp(min=0) / (coarse + _FLAT))


def _middle(plane: Tensor) -> Tensor:
    """The inner half of a (H, W) plane along both axes."""
    height, width = plane.shape
    return plane[height // 4 : height - height // 4, width // 4 : width - width // 4]


def _detail(image: Tensor) -> Tensor:
    """Detail below the means of cells: (3, 2h, 2w) -> (3, 2h, 2w)."""
    height, width = image.shape[-2:]
    return image - enlarge_smoothly(downsample_area(image, (height // CELL, width // CELL)), CELL)


def _strength(detail: Tensor) -> Tensor:
    """Mean square of luma in the neighbourhood of each cell: (3, 2h, 2w) -> (1, h, w)."""
    energy = F.avg_pool2d(luma(detail).square()[None], CELL)
    return F.avg_pool2d(energy, 2 * REACH + 1, stride=1, padding=REACH, count_include_pad=False)
