"""The colours of frames, there and back: RGB to a film's BT.709 in limited range, and whatever a film has to RGB."""

from __future__ import annotations

import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from numpy.typing import NDArray

Frame = NDArray[np.uint8]

HD_LINES = 720
"""From so many lines on, a film that does not say so is BT.709, below BT.601, as players take it."""
UNTOLD = 2
"""A frame that says nothing of its matrix."""
_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT


def coded_size(size: tuple[int, int], pixels: str) -> tuple[int, int]:
    """Width and height of a film's frames in a pixel format of FFmpeg's: even in YCbCr, which may halve the chroma."""
    return (size[0] + size[0] % 2, size[1] + size[1] % 2) if _is_ycbcr(pixels) else size


def tag(target: VideoCodecContext | VideoFrame, pixels: str) -> None:
    """Say of a film, or a frame of it, that it is BT.709 in limited range if it is YCbCr."""
    if _is_ycbcr(pixels):
        target.colorspace, target.color_range = Colorspace.ITU709, ColorRange.MPEG
        target.color_primaries, target.color_trc = ColorPrimaries.BT709, ColorTrc.BT709


def from_rgb(rgb: Frame, pixels: str) -> VideoFrame:
    """(H, W, 3) to a frame of `coded_size`; an odd side's last row or column is there twice."""
    height, width = rgb.shape[:2]
    wide, high = coded_size((width, height), pixels)
    whole = np.pad(rgb, ((0, high - height), (0, wide - width), (0, 0)), mode="edge")
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(whole), "rgb24")
    if not _is_ycbcr(pixels):
        return frame.reformat(format=pixels, threads=1)
    frame = frame.reformat(
        format=pixels, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG, interpolation=_EXACT,
        threads=1,
    )  # fmt: skip
    tag(frame, pixels)
    return frame


def to_rgb(frame: VideoFrame, width: int) -> Frame:
    """A film's frame to (H, width, 3), in full range."""
    likely = Colorspace.ITU709 if frame.height >= HD_LINES else Colorspace.ITU601
    rgb = frame.reformat(
        width=width, format="rgb24", interpolation=_EXACT, threads=1,
        src_colorspace=likely if frame.colorspace == UNTOLD else None, dst_color_range=ColorRange.JPEG,
    )  # fmt: skip
    return np.asarray(rgb.to_ndarray(), dtype=np.uint8)


def _is_ycbcr(pixels: str) -> bool:
    return pixels.startswith("yuv")
