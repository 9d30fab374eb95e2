"""Pictures too large for the memory: a canvas that lies in a file, and work on it block by block.

A result of 400 megapixels is 1.2 GB. Nothing here holds more of it than a strip, as 8-bit samples, and a block, as
floats.
"""

from __future__ import annotations

import math
import mmap
import tempfile
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facegen.arrays import to_picture, to_tensor
from facegen.media.images import resize
from facegen.ops.blending import ramp
from facegen.ops.consistency import add_missing_detail, back_project, decibels, downsample_area
from facegen.ops.tiling import TilePlan

Picture = NDArray[np.uint8]

IN_MEMORY = 150_000_000
"""Bytes of the largest canvas that lies in memory rather than in a temporary file."""
STRIP = 256
"""Photo rows enlarged at a time."""
LANCZOS_REACH = 3
"""Photo pixels on either side that Lanczos' filter reads to enlarge one."""
BLOCK, MARGIN = 96, 8
"""Side of the blocks held to the photo at a time, and what is read around one, in photo pixels."""


class Canvas:
    """An (H, W, 3) uint8 picture to write to; a large one lies in a temporary file that goes with it."""

    def __init__(self, height: int, width: int) -> None:
        shape, self._file = (height, width, 3), None
        if math.prod(shape) <= IN_MEMORY:
            self.rgb: Picture = np.zeros(shape, np.uint8)
            return
        self._file = _temporary(math.prod(shape))
        self.rgb = np.frombuffer(self._file, np.uint8).reshape(shape)

    def release(self) -> None:
        """Let the system take back the memory of what was read or written so far; it is read from the file again."""
        if self._file is not None:
            _release(self._file)


def set_aside(values: Tensor) -> Tensor:
    """A copy on the CPU that lies in a temporary file, which goes with it, and is in memory only once it is read."""
    held = values.cpu().numpy()
    file = _temporary(held.nbytes)
    copy = np.frombuffer(file, held.dtype).reshape(held.shape)
    copy[:] = held
    _release(file)
    return torch.from_numpy(copy)


def _temporary(size: int) -> mmap.mmap:
    """So many bytes, at least one, of a file without a name."""
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        return mmap.mmap(file.fileno(), size)


def _release(file: mmap.mmap) -> None:
    if hasattr(mmap, "MADV_DONTNEED"):  # elsewhere the system does so by itself
        file.flush()
        file.madvise(mmap.MADV_DONTNEED)


def enlarge(canvas: Canvas, photo: Picture) -> None:
    """Fill a canvas of a whole number of times the photo's size with it, by Lanczos, strip by strip."""
    height, width = photo.shape[:2]
    scale = canvas.rgb.shape[0] // height
    for top in range(0, height, STRIP):
        first, last = max(top - LANCZOS_REACH, 0), min(top + STRIP + LANCZOS_REACH, height)
        strip = resize(np.ascontiguousarray(photo[first:last]), (scale * width, scale * (last - first)))
        end = min(top + STRIP, height)
        canvas.rgb[scale * top : scale * end] = strip[scale * (top - first) : scale * (end - first)]
        canvas.release()


def mosaic(canvas: Canvas, plan: TilePlan, make: Callable[[int, int], Picture]) -> None:
    """Fill a canvas with overlapping blocks, made one at a time, and cross-faded along cosines.

    Args:
        canvas: (s*H, s*W, 3) for a plan of H x W and any whole s.
        plan: where the blocks lie.
        make: (top, left) of a block to its picture, (s*tile, s*tile, 3).
    """
    scale = canvas.rgb.shape[0] // plan.height
    side, written = scale * plan.tile, 0
    strip = np.empty((side, scale * plan.width, 3), np.uint8)
    for top in plan.rows:
        done = 0
        for left in plan.columns:
            _merge(strip[:, scale * left : scale * left + side], make(top, left), done - scale * left, axis=1)
            done = scale * left + side
        _merge(canvas.rgb[scale * top : scale * top + side], strip, written - scale * top, axis=0)
        written = scale * top + side
        canvas.release()


def hold(canvas: Canvas, photo: Picture, fidelity: float) -> float:
    """Shift a canvas smoothly so that its area-downsampled version returns the photo; see `back_project`.

    A canvas of the photo's own size has no room below the photo's pixels. So the photo itself comes back there, with
    the detail below 2 x 2 pixels that the canvas has and the photo lacks; see `add_missing_detail`.

    Args:
        canvas: (s*H, s*W, 3) for any whole s.
        photo: (H, W, 3).
        fidelity: share of the error to remove, 0..1.
    Returns:
        How well the two agree then, with all values rounded to 8 bits: PSNR in dB; inf if they are equal.
    """
    error = 0.0
    scale = canvas.rgb.shape[0] // photo.shape[0]
    cell = max(scale, 2)  # pixels of the canvas that are held to one mean; `per` x `per` pixels of the photo
    per = cell // scale
    rows, columns = photo.shape[0] // per, photo.shape[1] // per
    for source, first, top, bottom in _strips(canvas, rows, cell):
        for left, right in _spans(columns):
            outer = (max(left - MARGIN, 0), min(right + MARGIN, columns))
            last = first + source.shape[0] // cell
            image = to_tensor(source[:, cell * outer[0] : cell * outer[1]])
            shown = to_tensor(photo[per * first : per * last, per * outer[0] : per * outer[1]])
            low_res = downsample_area(shown, (last - first, outer[1] - outer[0]))
            held = _held(image, shown, low_res, fidelity)
            inner = (slice(None), slice(top - first, bottom - first), slice(left - outer[0], right - outer[0]))
            error += _write(canvas.rgb[cell * top : cell * bottom, cell * left : cell * right], held, low_res, inner)
        canvas.release()
    if per > 1:  # the last of an odd number has no other to make a mean with
        canvas.rgb[per * rows :], canvas.rgb[:, per * columns :] = photo[per * rows :], photo[:, per * columns :]
    return decibels(error / max(3 * rows * columns, 1))


def _held(image: Tensor, shown: Tensor, low_res: Tensor, fidelity: float) -> Tensor:
    """A block (3, s*H, s*W) held to what the photo shows there, (3, H, W), or to means of it."""
    if image.shape == shown.shape:
        return back_project(add_missing_detail(shown, image), low_res, iterations=0)
    return back_project(image, low_res, fidelity)


def _write(place: Picture, held: Tensor, low_res: Tensor, inner: tuple[slice, ...]) -> float:
    """Write the inner part of a held block to its place; returns the sum of its squared low-res errors."""
    low_res = low_res[inner]
    cell = place.shape[0] // low_res.shape[1]
    rows, columns = (slice(cell * part.start, cell * part.stop) for part in inner[1:])
    place[:] = to_picture(held[:, rows, columns])
    error = downsample_area(to_tensor(place), (low_res.shape[1], low_res.shape[2])) - low_res
    return float(error.double().square().sum())


def _strips(canvas: Canvas, rows: int, cell: int) -> Iterator[tuple[Picture, int, int, int]]:
    """Strips of the canvas with `MARGIN` cells around, as they were before anything was written to any of them.

    Yields the strip, the cell row it starts at, and the first and last + 1 of those cell rows it is there for.
    """
    above = canvas.rgb[:0]
    for top, bottom in _spans(rows):
        below = min(bottom + MARGIN, rows)
        source = np.concatenate([above, canvas.rgb[cell * top : cell * below]])
        first = top - above.shape[0] // cell
        above = source[cell * (max(bottom - MARGIN, first) - first) : cell * (bottom - first)].copy()
        yield source, first, top, bottom


def _spans(length: int) -> Iterator[tuple[int, int]]:
    """First and last + 1 of the cells of each block along an axis of so many cells."""
    return ((start, min(start + BLOCK, length)) for start in range(0, length, BLOCK))


def _merge(place: Picture, block: Picture, shared: int, axis: int) -> None:
    """Write a block over its place, whose first `shared` lines along the axis hold its neighbour: cross-faded there."""
    across = (slice(None),) * axis
    before, after = (*across, slice(0, max(shared, 0))), (*across, slice(max(shared, 0), None))
    place[after] = block[after]
    if shared > 0:
        share = ramp(shared).numpy().astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        old = place[before].astype(np.float32)
        place[before] = np.rint(old + share * (block[before] - old))
