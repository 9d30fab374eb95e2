"""Restore a photo: detect the heads, upscale each, paste it back, and back-project the result to the photo."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Generic, Literal, get_args

from numpy.typing import NDArray
from torch import Tensor

from facegen.arrays import Pixels, Sample, check_picture, eight_bits, to_samples, to_tensor
from facegen.candidates import Progress, Upscaled
from facegen.canvas import back_project_photo, blank_canvas, fill_background, restore_masked
from facegen.errors import ShapeError, UsageError, suggest
from facegen.faces.align import HeadFrame, crop_head, paste_head, soft_mask
from facegen.faces.detect import heads_in_photo
from facegen.masks import Mask, is_covered
from facegen.media.images import resize
from facegen.ops.consistency import back_project, detail_ratio, downsample_area, resample
from facegen.ops.grain import add_grain, grain_patch
from facegen.ops.seams import SeamGauge, over_all, seam_gauge
from facegen.pipeline import FacePipeline
from facegen.sizes import HEAD_SIDE, Enlargement, plan_size

UpscaleFace = Callable[[Tensor, int], Upscaled]
"""Upscales an aligned head (3, S, S) to a size, as `FacePipeline.__call__` does."""
Background = Literal["lanczos", "tiles", "keep"]
FACES = ("all", "largest")
BACKGROUNDS: tuple[Background, ...] = get_args(Background)

SHARP = 0.25
"""Smallest `detail_ratio` of a head that is as sharp as its pixels allow; 95 % of sharp portraits have more."""


@dataclass(frozen=True)
class PhotoOptions:
    """Options of `restore_photo`.

    Raises:
        UsageError: if a value is out of range, or the background is kept at a scale other than 1.
    """

    scale: float | None = None
    """Enlargement of the photo, at least 1. None is `photo_scale` of the heads to upscale, or 1 to keep the background.
    At 1 the photo stays as it is, and its heads get the detail below 2 x 2 pixels that they lack. A result at a scale
    that is not an integer is made at the next larger integer, and shrunk."""
    width: int | None = None
    """Width of the result in pixels, instead of the scale."""
    faces: str = "all"
    """Heads to upscale: "all", "largest", or their numbers, counted from the largest: "1,3"; "0" is none."""
    face_size_min: int = 0
    """Side of the smallest head to upscale, in pixels of the photo; a face is about half as wide as its head."""
    background: Background = "lanczos"
    """The rest of the photo: "lanczos" enlarges it; "tiles" upscales it by the same network without a guide, in a
    minute or two per megapixel on a CPU; "keep" leaves it unchanged, at the photo's size."""

    def __post_init__(self) -> None:
        if self.scale is not None and not 1 <= self.scale < math.inf:
            raise UsageError(f"scale is {self.scale}, expected at least 1, or None for the largest head's.")
        if self.scale is not None and self.width is not None:
            raise UsageError(f"scale {self.scale} and width {self.width} are both given; leave one of them out.")
        if self.background == "keep" and (self.width or self.scale not in (None, 1)):
            raise UsageError(
                f"background 'keep' goes with scale 1, not {self.scale or self.width}: the photo's pixels are kept. "
                "Omit the scale, or choose background 'tiles' or 'lanczos'."
            )
        if self.face_size_min < 0:
            raise UsageError(f"face_size_min is {self.face_size_min}, expected 0 or more pixels of the photo.")
        if self.faces not in FACES and not re.fullmatch(r"\d{1,4}(,\d{1,4})*", self.faces):
            raise UsageError(f"faces {self.faces!r}" + suggest(self.faces, (*FACES, "numbers as in 1,3"), "'"))
        if self.background not in BACKGROUNDS:
            raise UsageError(f"background {self.background!r}" + suggest(self.background, BACKGROUNDS, "'"))

    @property
    def keeps_size(self) -> bool:
        """True if all pixels outside the heads are the photo's."""
        return self.scale == 1 or self.background == "keep"


@dataclass(frozen=True)
class Restored(Generic[Sample]):
    """An upscaled photo, its heads, and its measures."""

    rgb: NDArray[Sample]
    """(scale*H, scale*W, 3), of as many bits as the photo; a large one is a temporary file, which is deleted with it.
    """
    scale: float
    upscaled: int
    """Number of heads upscaled and pasted back."""
    left: int
    """Number of heads treated as background: those not wanted, and the following."""
    sharp: int
    """Number of those heads that are already sharp at the photo's size."""
    large: int
    """Number of those heads that the photo shows finer than the upscaler could draw them."""
    heads: tuple[Upscaled, ...]
    """The upscaled heads before pasting, the largest first. Their `candidates` are empty, (0, K, ...), to save memory.
    """
    smallest: float | None
    """Side of the smallest of these heads, in pixels of the photo; None without heads."""
    fit: float
    """PSNR in dB between the area-downsampled result and the photo (at scale 1, both shrunk by 2); inf if equal. At a
    scale that is not an integer, it is measured before the result is shrunk."""
    seams: SeamGauge | None
    """Seam gauge of the heads' tiles in the result, relative to the photo at the same lines; None without heads. It is
    measured when `fit` is."""


@dataclass(frozen=True)
class UpscaledHead(Generic[Sample]):
    """A head that was upscaled without its photo."""

    rgb: NDArray[Sample]
    """(size, size, 3)."""
    upscaled: Upscaled
    """The head before it was back-projected and resized; `candidates` is empty, as in `Restored`."""


def restore_photo(
    pipeline: FacePipeline,
    rgb: NDArray[Sample],
    options: PhotoOptions | None = None,
    progress: Progress = lambda _done, _all: None,
    mask: Mask | None = None,
    begin: Callable[[float, int], object] = lambda _scale, _heads: None,
    known: Sequence[HeadFrame] | None = None,
) -> Restored[Sample]:
    """Upscale a photo so that the result, shrunk by area means, is the photo again.

    Every head is upscaled with its guide, the rest as `options.background` says. At fidelity 1 no value of the shrunk
    result differs from the photo by more than 1/255, not even at the soft edges of pasted heads.

    Args:
        rgb: (H, W, 3) photo, any size, uint8 or uint16.
        progress: called after each block of a background upscaled in tiles.
        mask: (H, W), 255 where the photo is only enlarged by Lanczos interpolation.
        begin: called before the work with the scale and the number of heads to upscale; an exception ends the work.
        known: the photo's heads, the largest first, if they were detected before.
    Raises:
        ShapeError: if `rgb` is not (H, W, 3) uint8 or uint16, or the mask has another shape.
        UsageError: if the result would exceed `sizes.LARGEST` pixels, or be smaller than the photo.
    """
    options = options or PhotoOptions()
    plan, found = _plan(rgb, options, known)
    if mask is not None and mask.shape != rgb.shape[:2]:
        raise ShapeError(f"mask has shape {mask.shape}, expected the photo's, {rgb.shape[:2]}.")
    scale = plan.made
    wanted = [frame for frame in wanted_heads(found, options) if not is_covered(mask, frame)]
    lacking = [frame for frame in wanted if scale > 1 or pipeline.recipe.strength or not _is_sharp(rgb, frame)]
    begin(plan.times, len(lacking))
    canvas = blank_canvas(rgb.shape[0] * scale, rgb.shape[1] * scale, rgb.dtype.type)
    fill_background(canvas, pipeline, rgb, options.background, progress)
    heads = paste_heads(canvas, pipeline, rgb, lacking, grain=options.background != "tiles")
    restore_masked(canvas, rgb, mask)
    result, fit = back_project_photo(canvas, rgb, pipeline.recipe.fidelity, damaged=bool(pipeline.recipe.strength))
    return Restored(
        result if plan.times == scale else resize(result, plan.size), plan.times,
        upscaled=len(heads), left=len(found) - len(heads), sharp=len(wanted) - len(lacking),
        large=len(lacking) - len(heads),
        heads=tuple(upscaled for _, upscaled in heads),
        smallest=min((place.side / scale for place, _ in heads), default=None),
        fit=fit, seams=_seams(result, rgb, heads),
    )  # fmt: skip


def _plan(
    rgb: Pixels, options: PhotoOptions, known: Sequence[HeadFrame] | None
) -> tuple[Enlargement, Sequence[HeadFrame]]:
    """Check the photo, plan the size of the result, and detect the heads unless they are known."""
    check_picture("photo", rgb)
    frames = cache(lambda: [head.frame for head in heads_in_photo(eight_bits(rgb))] if known is None else known)
    scale = 1 if options.background == "keep" else options.scale
    plan = plan_size((rgb.shape[1], rgb.shape[0]), scale, options.width, lambda: wanted_heads(frames(), options))
    return plan, frames()


def restore_face(
    pipeline: FacePipeline, rgb: Pixels, frame: HeadFrame, scale: int, upscale_face: UpscaleFace
) -> Upscaled | None:
    """Upscale one head of a photo, aligned, from its full resolution, up to the recipe's `head_side`.

    If the head were shrunk first, detail would be drawn at the edges of the shrunk head. At scale 1 the head is taken
    at half its size, as the network adds detail only to an enlarged head.

    Args:
        upscale_face: upscales the aligned head, such as the pipeline.
    Returns:
        the head, not much larger than `scale` times its side in the photo, without candidates, as in `Restored`; None
        if the photo shows it finer than the upscaler could draw it.
    """
    side = round(frame.side)
    shown = side if scale > 1 or pipeline.recipe.strength else math.ceil(side / 2)
    size = pipeline.scale * min(max(pipeline.low_res_side(side * scale), shown), pipeline.recipe.head_side)
    if side >= size:
        return None
    return _shrunk(upscale_face(to_tensor(crop_head(rgb, frame, shown)), size), side * scale)


def upscale_aligned(pipeline: FacePipeline, head: NDArray[Sample], size: int = HEAD_SIDE) -> UpscaledHead[Sample]:
    """Upscale an aligned head, (S, S, 3) to (size, size, 3), and back-project it to its full resolution."""
    check_picture("head", head)
    picture = to_tensor(head)
    side = head.shape[0] * math.ceil(size / head.shape[0])
    upscaled = pipeline(picture, max(size, pipeline.scale * min(head.shape[0], pipeline.recipe.head_side)))
    image = resample(upscaled.image, (side, side))
    fidelity = 0 if upscaled.strength else pipeline.recipe.fidelity
    rgb = to_samples(back_project(image, picture.to(image.device), fidelity), head.dtype.type)
    return UpscaledHead(rgb if side == size else resize(rgb, (size, size)), _shrunk(upscaled, side))


def _shrunk(upscaled: Upscaled, side: int) -> Upscaled:
    """Drop the candidates, and shrink the image by the largest divisor of the scale that leaves at least `side`."""
    height, width = upscaled.plan.height, upscaled.plan.width
    scale = upscaled.image.shape[-1] // width
    times = next((n for n in range(1, scale) if scale % n == 0 and n * width >= side), scale)
    image = upscaled.image if times == scale else downsample_area(upscaled.image, (times * height, times * width))
    return replace(upscaled, image=image, candidates=upscaled.candidates[:0].clone())


def wanted_heads(found: Sequence[HeadFrame], options: PhotoOptions) -> list[HeadFrame]:
    """Select the heads that the options ask for from heads sorted by size."""
    if options.faces in FACES:
        chosen = found[:1] if options.faces == "largest" else found
    else:
        numbers = {int(number) for number in options.faces.split(",")}
        chosen = [frame for number, frame in enumerate(found, start=1) if number in numbers]
    return [frame for frame in chosen if frame.side >= options.face_size_min]


def _is_sharp(rgb: Pixels, frame: HeadFrame) -> bool:
    side = math.ceil(frame.side / 4) * 4
    return detail_ratio(to_tensor(crop_head(rgb, frame, side))) >= SHARP


def paste_heads(
    canvas: Pixels,
    pipeline: FacePipeline,
    rgb: Pixels,
    frames: Sequence[HeadFrame],
    upscale_faces: Sequence[UpscaleFace] = (),
    grain: bool = False,
) -> list[tuple[HeadFrame, Upscaled]]:
    """Upscale heads of a photo and paste them on a canvas, the largest on top.

    Args:
        canvas: (s*H, s*W, 3), the enlarged photo, written to.
        frames: the heads, the largest first.
        upscale_faces: one for each head, as for `restore_face`; empty is the pipeline for all.
        grain: add the surrounding grain to cleaned heads, as much as the recipe says.
    Returns:
        the heads that were upscaled, in the order of `frames`, each with its frame on the canvas.
    """
    scale = canvas.shape[0] // rgb.shape[0]
    heads: list[tuple[HeadFrame, Upscaled]] = []
    for frame, upscale_face in reversed(list(zip(frames, upscale_faces or [pipeline] * len(frames), strict=True))):
        upscaled = restore_face(pipeline, rgb, frame, scale, upscale_face)
        if upscaled is not None:
            clean = upscaled.strength == 0 or not grain
            image = upscaled.image if clean else _grained(upscaled.image, rgb, frame, pipeline.recipe.grain)
            picture, place = to_samples(image, canvas.dtype.type), frame.scaled(scale)
            paste_head(canvas, picture, place, soft_mask(len(picture)))
            heads.insert(0, (place, upscaled))
    return heads


def _grained(image: Tensor, rgb: Pixels, frame: HeadFrame, share: float) -> Tensor:
    """Add a share of the grain in and around a head of the photo to the cleaned head, (3, S, S)."""
    (x, y), reach = frame.center, frame.side
    left, top = max(int(x - reach), 0), max(int(y - reach), 0)
    near = eight_bits(rgb[top : int(y + reach) + 1, left : int(x + reach) + 1])
    patch = grain_patch(near) if share else None
    return image if patch is None else add_grain(image, patch, max(round(frame.side), 1), share)


def _seams(canvas: Pixels, rgb: Pixels, heads: Sequence[tuple[HeadFrame, Upscaled]]) -> SeamGauge | None:
    """Measure the tile borders of the heads on the canvas, relative to the same lines of the photo."""
    if not heads:
        return None
    scale = canvas.shape[0] // rgb.shape[0]
    gauges = []
    for place, upscaled in heads:
        side = upscaled.image.shape[-1]
        plain = crop_head(rgb, place.scaled(1 / scale), side)
        gauges.append(seam_gauge(to_tensor(crop_head(canvas, place, side)), upscaled.plan, to_tensor(plain)))
    return over_all(gauges)
