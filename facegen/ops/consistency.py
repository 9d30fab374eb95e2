"""Back-project a large picture, so that it agrees with the small one it was made from; shrink and resample pictures.

Iterative back-projection: M. Irani and S. Peleg, "Improving Resolution by Image Registration", CVGIP: Graphical Models
and Image Processing 53(3), 1991: x <- x + up(y - down(x)). Here down() is the area mean, and up() is bicubic after the
inverse of down(bicubic(.)), so that down(up(y)) == y. One pass is exact unless values are clamped to [0, 1]; further
passes correct the error of clamping, and the rest is corrected within each low-res pixel.
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
"""Largest low-res error that is ignored: a quarter of an 8-bit step, so at least 60 dB."""
ROUNDING = 0.25 / 255
"""Low-res error that the pipeline does not correct. The input is rounded to 8 bits, and to enforce its exact values
would show the rounding as terraces."""
NEGLIGIBLE = 1e-9
"""Smaller weights, of distant low-res pixels, are set to zero."""
CELL = 2
"""Detail is the difference to the means of cells of CELL x CELL pixels."""
REACH = 6
"""Cells in each direction over which the strength of detail is averaged."""
ROUNDING_ENERGY = 4e-6
"""Largest mean square of detail that rounding to 8 bits leaves in pictures enlarged four times."""
_FLAT = 1e-12
"""Added to variances, which may be zero."""


@step("facegen.back_project")
def back_project(
    image: Tensor, low_res: Tensor, fidelity: float = 1.0, iterations: int = 4, slack: float = 0.0
) -> Tensor:
    """Shift a picture smoothly so that its area-downsampled version is the low-res input.

    At fidelity 1 no low-res pixel, not even a black or white one, differs by more than `slack` plus `TOLERANCE`. Each
    of several pictures is shifted independently.

    Args:
        image: (..., 3, s*h, s*w) for any integer s.
        low_res: (..., 3, h, w) in [0, 1].
        fidelity: share of the low-res error to remove, 0..1; 0 changes nothing.
        iterations: largest number of smooth passes; they end when the error beyond the slack is below `TOLERANCE`.
        slack: error of a low-res pixel that is not corrected.
    Returns:
        (..., 3, s*h, s*w) in [0, 1].
    Raises:
        ShapeError: if the image is not an integer times as large as the low-res input.
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
    """Compute the PSNR between an area-downsampled picture and a low-res one.

    Args:
        image: (3, s*h, s*w) in [0, 1].
        low_res: (3, h, w) in [0, 1].
    Returns:
        Peak signal-to-noise ratio in dB; inf if they are equal.
    Raises:
        ShapeError: if the image is not an integer times as large as the low-res one.
    """
    _scale(image, low_res)
    error = downsample_area(image, (low_res.shape[-2], low_res.shape[-1])) - low_res
    return decibels(error.cpu().double().square().mean().item())


def decibels(mean_square: float) -> float:
    """Convert the mean squared error of values in [0, 1] to a peak signal-to-noise ratio in dB; 0 gives inf."""
    return -10 * math.log10(mean_square) if mean_square else float("inf")


def downsample_area(image: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Shrink a picture by the mean over the exact area of each target pixel, including parts of pixels.

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
    """Compute the means of blocks of pixels: (..., rows*h, columns*w) -> (..., h, w)."""
    if image.device.type != "cpu":
        return F.avg_pool2d(image, (rows, columns))
    summed = reduce(torch.add, (image[..., n::rows, :] for n in range(rows)))  # up to four times as fast as pooling
    return reduce(torch.add, (summed[..., n::columns] for n in range(columns))) / (rows * columns)


def resample(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (..., 3, H, W) to (..., 3, h, w) in [0, 1], each axis by area means to shrink, bicubic to enlarge."""
    shrunk = downsample_area(picture, (min(size[0], picture.shape[-2]), min(size[1], picture.shape[-1])))
    if shrunk.shape[-2:] == size:
        return shrunk
    planes = shrunk.reshape(-1, *shrunk.shape[-3:])
    grown = F.interpolate(planes, size=size, mode="bicubic", align_corners=False).clamp(0, 1)
    return grown.reshape(*shrunk.shape[:-2], *size)


def finest_reference(picture: Tensor, low_res: Tensor, scale: int) -> Tensor:
    """Shrink a picture to the largest size at which the upscaled result of its low-res version must agree with it.

    Args:
        picture: (..., 3, H, W).
        low_res: (..., 3, h, w), the resampled picture.
        scale: enlargement of the result relative to `low_res`.
    Returns:
        (..., 3, n*h, n*w) for the largest divisor n of the scale at which the picture is not enlarged; else `low_res`.
    """
    height, width = low_res.shape[-2:]
    for n in range(scale, 1, -1):
        fits = n * height <= picture.shape[-2] and n * width <= picture.shape[-1]
        if scale % n == 0 and fits:
            return downsample_area(picture, (n * height, n * width))
    return low_res


def enlarge_smoothly(low_res: Tensor, scale: int) -> Tensor:
    """Enlarge (..., h, w) to (..., s*h, s*w), not clamped, so that its area means are the input again."""
    vertical, horizontal = (_lift(length, scale, low_res.device).to(low_res) for length in low_res.shape[-2:])
    return vertical @ low_res @ horizontal.T


def _lacking(image: Tensor, target: Tensor, slack: float) -> Tensor:
    """Compute the low-res error of each picture beyond the slack, (..., 3, h, w); 0 if it is below `TOLERANCE`."""
    residual = target - downsample_area(image, (target.shape[-2], target.shape[-1]))
    residual = residual - residual.clamp(-slack, slack)
    return residual * (residual.abs().amax((-3, -2, -1), keepdim=True) >= TOLERANCE)


def _correct(image: Tensor, residual: Tensor) -> Tensor:
    """Correct the error of each low-res pixel by lightening or darkening its pixels in proportion to their room.

    The room is the distance to 1, or to 0, so that nothing is clamped: x + r (1 - x) / mean(1 - x), or with x in place
    of 1 - x to darken. Each channel is corrected in place: all at once would need eight times the picture's memory.
    """
    planes = image.view(-1, 1, *image.shape[-2:]), residual.reshape(-1, 1, *residual.shape[-2:])
    for channel, error in zip(*planes, strict=True):  # (1, s*h, s*w), (1, h, w)
        missing = _repeat(error, channel)
        room = torch.where(missing > 0, 1 - channel, channel)
        mean_room = _repeat(downsample_area(room, (error.shape[-2], error.shape[-1])), channel)
        channel.add_(missing * room / mean_room.clamp(min=1e-6)).clamp_(0, 1)
    return image


def _repeat(low_res: Tensor, image: Tensor) -> Tensor:
    """Enlarge a low-res plane to the size of an image by repeating its pixels."""
    return F.interpolate(low_res[None], size=image.shape[-2:], mode="nearest")[0]


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def _area_matrix(source: int, target: int, device: torch.device) -> Tensor:
    """Return the (target, source) matrix of area means along one axis."""
    edges = torch.arange(target + 1, dtype=torch.float64) * source / target
    pixels = torch.arange(source, dtype=torch.float64)
    covered = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
    return (covered.clamp(min=0) * target / source).to(device, widest_float(device))


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _lift(length: int, scale: int, device: torch.device) -> Tensor:
    """Return the (s*length, length) matrix that enlarges one axis smoothly so that its area means are the input again.

    It is bicubic interpolation U times the inverse of D U, where D is the area mean, so that D (U (D U)^-1) = 1.
    """
    impulses = torch.eye(length, dtype=torch.float64)[:, None, None]  # (length, 1, 1, length): pictures of one row
    upscaled = F.interpolate(impulses, scale_factor=(1, scale), mode="bicubic", align_corners=False)
    up = upscaled[:, 0, 0].T  # (s*length, length)
    lift: Tensor = torch.linalg.solve(up.reshape(length, scale, length).mean(1), up, left=False)
    lift = torch.where(lift.abs() < NEGLIGIBLE, 0, lift)  # denormal numbers would take 30 times as long
    return lift.to(device, widest_float(device))


def _scale(image: Tensor, low_res: Tensor) -> int:
    """Return the integer s of an image (..., 3, s*h, s*w) and a low-res one (..., 3, h, w), or raise a ShapeError."""
    small, large = tuple(low_res.shape), tuple(image.shape)
    scale = large[-1] // small[-1] if len(large) == len(small) >= 3 and small[-1] else 0
    if not scale or large != (*small[:-2], scale * small[-2], scale * small[-1]):
        leading = ", ".join(map(str, small[:-2]))
        raise ShapeError(
            f"consistency: image has shape {large}, expected ({leading}, s*h, s*w) for a whole s and low_res {small}."
        )
    return scale


def add_missing_detail(picture: Tensor, finer: Tensor) -> Tensor:
    """Add the detail that a picture lacks relative to a finer version of it.

    Detail is x - up(down(x)), where down() takes means of 2 x 2 pixels, so that adding detail does not change the
    means. Its share is max(0, 1 - a/b), where a and b are the local standard deviations of detail in the picture and in
    the finer version. So a blurred cheek gets pores, and one with pores or grain stays unchanged to the bit.

    Args:
        picture: (3, 2h, 2w) in [0, 1].
        finer: (3, 2h, 2w) in [0, 1], the same motif; cells that are equal in both stay unchanged.
    Returns:
        (3, 2h, 2w), not clamped.
    Raises:
        ShapeError: if the two differ in shape, or a side is odd.
    """
    if picture.shape != finer.shape or picture.shape[1] % CELL or picture.shape[2] % CELL:
        shapes = f"{tuple(picture.shape)} and {tuple(finer.shape)}"
        raise ShapeError(f"add_missing_detail: shapes {shapes}, expected the same (3, 2h, 2w).")
    detail = _detail(finer)
    share = 1 - (_strength(_detail(picture)) / (_strength(detail) + _FLAT)).sqrt()  # (1, h, w)
    changed = F.max_pool2d((picture != finer).any(0, keepdim=True).to(picture), CELL)  # (1, h, w)
    cells = share.clamp(min=0) * changed
    return picture + detail * F.interpolate(cells[None], scale_factor=CELL, mode="nearest")[0]


def detail_ratio(picture: Tensor) -> float:
    """Compute the energy of luma's detail in the middle of a picture, relative to that of the picture at half the size.

    It is about 0.4 for a sharp portrait, 0.2 for one enlarged by a third, and 0.08 for one enlarged twice. The energy
    of rounding to 8 bits is subtracted.

    Args:
        picture: (3, 4h, 4w) in [0, 1].
    """
    half = downsample_area(picture, (picture.shape[1] // CELL, picture.shape[2] // CELL))
    fine, coarse = (_middle(luma(_detail(image))).square().mean() for image in (picture, half))
    return float((fine - ROUNDING_ENERGY).clamp(min=0) / (coarse + _FLAT))


def _middle(plane: Tensor) -> Tensor:
    """Cut out the inner half of an (H, W) plane along both axes."""
    height, width = plane.shape
    return plane[height // 4 : height - height // 4, width // 4 : width - width // 4]


def _detail(image: Tensor) -> Tensor:
    """Subtract the smoothly enlarged means of cells: (3, 2h, 2w) -> (3, 2h, 2w)."""
    height, width = image.shape[-2:]
    return image - enlarge_smoothly(downsample_area(image, (height // CELL, width // CELL)), CELL)


def _strength(detail: Tensor) -> Tensor:
    """Compute the mean square of luma around each cell: (3, 2h, 2w) -> (1, h, w)."""
    energy = F.avg_pool2d(luma(detail).square()[None], CELL)
    return F.avg_pool2d(energy, 2 * REACH + 1, stride=1, padding=REACH, count_include_pad=False)
