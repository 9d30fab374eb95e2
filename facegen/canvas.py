"""Enlarge the photo that heads are pasted on, and back-project the result, block by block.

A result of 400 megapixels is 1.2 GB; only one block of it at a time is held as floats.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Callable, Iterator
from itertools import count, product

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from facegen.arrays import Pixels, Sample, to_samples, to_tensor
from facegen.candidates import Progress
from facegen.errors import FileError
from facegen.masks import Mask
from facegen.media.images import resize
from facegen.ops.blending import ramp
from facegen.ops.consistency import add_missing_detail, back_project, decibels, downsample_area, resample
from facegen.ops.tiling import TilePlan, plan_tiles
from facegen.pipeline import FacePipeline

IN_MEMORY = 150_000_000
"""Bytes of the largest canvas that is kept in memory; a larger one is a temporary file."""
STRIP, LANCZOS_REACH = 256, 3
"""Photo rows enlarged at a time, and the rows above and below that the Lanczos filter reads."""
FLOAT_STRIP = 32
"""Photo rows enlarged at a time if they become floats, which take more memory."""
UPSCALED_BLOCK, OVERLAP = 128, 8
"""Side of the blocks upscaled at a time, to limit the memory, and their overlap, in photo pixels."""
BLOCK, MARGIN = 96, 8
"""Side of the blocks back-projected at a time, and the margin read around each, in photo pixels."""
SMOOTH_PASSES = 2
"""Passes of back-projection over a block; more would double the time to change one value in a thousand by one."""


def blank_canvas(height: int, width: int, depth: type[Sample]) -> NDArray[Sample]:
    """Create a black (height, width, 3) picture of 8 or 16 bits a sample; a large one is a temporary file, which is
    deleted with it.
    """
    shape = (height, width, 3)
    size = math.prod(shape) * np.dtype(depth).itemsize
    if size <= IN_MEMORY:
        return np.zeros(shape, depth)
    try:
        with tempfile.TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)  # a full disk fails here
            return np.memmap(file, depth, "r+" if hasattr(os, "posix_fallocate") else "w+", shape=shape)
    except OSError as error:
        reason = f"needs a temporary file of {size / 1e6:.0f} MB ({error.strerror}); free some space,"
        raise FileError(f"{width}x{height} pixels: {reason} or set TMPDIR to a larger disk.") from None


def free_pages(*canvases: Pixels) -> None:
    """Free the memory pages of canvases that are temporary files; their content stays."""
    for canvas in canvases:
        file: object = canvas.base
        if isinstance(file, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            file.madvise(mmap.MADV_DONTNEED)


def fill_background(
    canvas: NDArray[Sample],
    pipeline: FacePipeline,
    photo: NDArray[Sample],
    background: str,
    progress: Progress = lambda _done, _all: None,
) -> None:
    """Fill a canvas with the photo, enlarged as `facegen.photo.PhotoOptions.background` says."""
    if canvas.shape == photo.shape:
        canvas[:] = photo
    elif background == "tiles":
        upscale_blocks(canvas, photo, pipeline.upscale_plain, pipeline.config.tile, progress)
    else:
        enlarge(canvas, photo)


def enlarge(canvas: NDArray[Sample], photo: NDArray[Sample]) -> None:
    """Fill a canvas with the photo, enlarged an integer number of times by Lanczos, strip by strip."""
    step = STRIP if photo.dtype == np.uint8 else FLOAT_STRIP
    for rows, strip in _strips(photo, canvas.shape[0] // photo.shape[0], step):
        canvas[rows] = strip
        free_pages(canvas)


def restore_masked(canvas: NDArray[Sample], photo: NDArray[Sample], mask: Mask | None) -> None:
    """Replace the masked part of a canvas by the photo, enlarged by Lanczos.

    Args:
        canvas: (s*H, s*W, 3) for any integer s.
        photo: (H, W, 3).
        mask: (H, W), 255 where the canvas is replaced, 0 where it stays; None is 0 everywhere.
    """
    if mask is None:
        return
    scale = canvas.shape[0] // photo.shape[0]
    shares = _strips(np.repeat(mask[..., None], 3, axis=2), scale, FLOAT_STRIP)
    for (rows, strip), (_, share) in zip(_strips(photo, scale, FLOAT_STRIP), shares, strict=True):
        if share.any():
            place = canvas[rows].astype(np.float32)
            canvas[rows] = np.rint(place + share.astype(np.float32) / 255 * (strip - place))


def _strips(photo: NDArray[Sample], scale: int, step: int) -> Iterator[tuple[slice, NDArray[Sample]]]:
    """Enlarge `step` rows of a photo at a time by Lanczos; yield their rows in the enlarged photo, and the strip."""
    height, width = photo.shape[:2]
    for top in range(0, height, step):
        first, last = max(top - LANCZOS_REACH, 0), min(top + step + LANCZOS_REACH, height)
        end = min(top + step, height)
        strip = resize(np.ascontiguousarray(photo[first:last]), (scale * width, scale * (last - first)))
        yield slice(scale * top, scale * end), strip[scale * (top - first) : scale * (end - first)]


def upscale_blocks(
    canvas: NDArray[Sample],
    photo: NDArray[Sample],
    upscale: Callable[[Tensor], Tensor],
    smallest: int,
    progress: Progress = lambda _done, _all: None,
) -> None:
    """Upscale a photo block by block at its full resolution, and resize each block to the canvas.

    If the photo were shrunk first, detail would be drawn at the edges of the shrunk photo.

    Args:
        canvas: (s*H, s*W, 3) to fill, for any integer s.
        photo: (H, W, 3), any size; one smaller than a block is padded with its edge.
        upscale: enlarges a block, (3, b, b) in [0, 1], any number of times.
        smallest: side of the smallest block that it takes.
    """
    height, width = photo.shape[:2]
    scale = canvas.shape[0] // height
    if min(height, width) < smallest:
        padding = ((0, max(smallest - height, 0)), (0, max(smallest - width, 0)), (0, 0))
        padded = np.pad(photo, padding, mode="edge")
        larger = blank_canvas(scale * padded.shape[0], scale * padded.shape[1], photo.dtype.type)
        upscale_blocks(larger, padded, upscale, smallest, progress)
        canvas[:] = larger[: scale * height, : scale * width]
        return
    block = max(min(UPSCALED_BLOCK, height, width), smallest)
    plan = plan_tiles(height, width, tile=block, overlap=min(OVERLAP, block // 2))
    done = count(1)

    def make(top: int, left: int) -> NDArray[Sample]:
        upscaled = upscale(to_tensor(photo[top : top + block, left : left + block]))
        progress(next(done), len(plan))
        return to_samples(resample(upscaled, (scale * block, scale * block)), photo.dtype.type)

    mosaic(canvas, plan, make)


def mosaic(canvas: NDArray[Sample], plan: TilePlan, make: Callable[[int, int], NDArray[Sample]]) -> None:
    """Fill a canvas with overlapping blocks, made one at a time, with cosine cross-fades.

    Args:
        canvas: (s*H, s*W, 3) for a plan of H x W and any integer s.
        plan: positions of the blocks.
        make: (top, left) of a block -> its picture, (s*tile, s*tile, 3).
    """
    scale = canvas.shape[0] // plan.height
    side, written = scale * plan.tile, 0
    strip = np.empty((side, scale * plan.width, 3), canvas.dtype.type)
    for top in plan.rows:
        done = 0
        for left in plan.columns:
            _cross_fade(strip[:, scale * left : scale * left + side], make(top, left), done - scale * left, axis=1)
            done = scale * left + side
        _cross_fade(canvas[scale * top : scale * top + side], strip, written - scale * top, axis=0)
        written = scale * top + side
        free_pages(canvas)


def _cross_fade(place: NDArray[Sample], block: NDArray[Sample], shared: int, axis: int) -> None:
    """Write a block to its place, and cross-fade its first `shared` lines along the axis with its neighbour's."""
    across = (slice(None),) * axis
    before, after = (*across, slice(0, max(shared, 0))), (*across, slice(max(shared, 0), None))
    place[after] = block[after]
    if shared > 0:
        share = ramp(shared).numpy().astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        old = place[before].astype(np.float32)
        place[before] = np.rint(old + share * (block[before] - old))


def back_project_photo(
    canvas: NDArray[Sample], photo: NDArray[Sample], fidelity: float, *, damaged: bool = False
) -> tuple[NDArray[Sample], float]:
    """Shift a canvas smoothly so that the photo is its area-downsampled version; see `back_project`.

    A canvas of the photo's size has no pixels finer than the photo's. So the result there is the photo, plus the detail
    below 2 x 2 pixels that the canvas has and the photo lacks; see `add_missing_detail`.

    Args:
        canvas: (s*H, s*W, 3) for any integer s; not changed.
        photo: (H, W, 3).
        fidelity: share of the error to remove, 0..1.
        damaged: do not change the canvas, as the photo has damage; only measure.
    Returns:
        the result, (s*H, s*W, 3), and its agreement with the photo: PSNR in dB, inf if they are equal.
    """
    scale = canvas.shape[0] // photo.shape[0]
    cell = max(scale, 2)  # means of cell x cell pixels of the canvas are compared with per x per pixels of the photo
    per = cell // scale
    rows, columns = photo.shape[0] // per, photo.shape[1] // per
    result, error = blank_canvas(canvas.shape[0], canvas.shape[1], canvas.dtype.type), 0.0
    if per > 1:  # the last line of an odd number belongs to no cell
        result[per * rows :], result[:, per * columns :] = photo[per * rows :], photo[:, per * columns :]
    for (top, bottom), (left, right) in product(_spans(rows), _spans(columns)):
        if left == 0:
            free_pages(canvas, result)
        first, last = max(top - MARGIN, 0), min(bottom + MARGIN, rows)
        outer, end = max(left - MARGIN, 0), min(right + MARGIN, columns)
        image = to_tensor(canvas[cell * first : cell * last, cell * outer : cell * end])
        shown = to_tensor(photo[per * first : per * last, per * outer : per * end])
        low_res = downsample_area(shown, (last - first, end - outer))
        agreeing = image if damaged else _agreeing(image, shown, low_res, fidelity)
        inner = (slice(None), slice(top - first, bottom - first), slice(left - outer, right - outer))
        place = result[cell * top : cell * bottom, cell * left : cell * right]
        place[:] = to_samples(agreeing[_scaled(inner, cell)], canvas.dtype.type)
        error += _squared_error(place, low_res[inner])
    free_pages(canvas, result)
    return result, decibels(error / max(3 * rows * columns, 1))


def _agreeing(image: Tensor, shown: Tensor, low_res: Tensor, fidelity: float) -> Tensor:
    """Back-project a block (3, s*H, s*W) to the photo there, (3, H, W), or to means of the photo."""
    if image.shape == shown.shape:
        return back_project(add_missing_detail(shown, image), low_res, iterations=0)
    return back_project(image, low_res, fidelity, SMOOTH_PASSES)


def _scaled(part: tuple[slice, ...], cell: int) -> tuple[slice, ...]:
    """Return the same part of a picture that is `cell` times as large."""
    return (part[0], *(slice(cell * along.start, cell * along.stop) for along in part[1:]))


def _squared_error(block: Pixels, low_res: Tensor) -> float:
    """Sum the squared differences between the area means of a block and a low-res block."""
    error = downsample_area(to_tensor(block), (low_res.shape[1], low_res.shape[2])) - low_res
    return float(error.double().square().sum())


def _spans(length: int) -> Iterator[tuple[int, int]]:
    """Yield the first and last + 1 cell of each block along an axis of `length` cells."""
    return ((start, min(start + BLOCK, length)) for start in range(0, length, BLOCK))
