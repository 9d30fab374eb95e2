"""Read and write picture files; resize pictures; find them in folders.

Inside facegen, pictures are (H, W, 3) uint8 arrays, upright, in sRGB unless the caller keeps the file's profile. EXIF,
profiles, alpha, palettes and 16 bits are handled here, in `decoding` and in `metadata`.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from io import BufferedRandom, FileIO, UnsupportedOperation
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facegen.arrays import RGB, Pixels, Sample, check_picture, eight_bits
from facegen.errors import ImageError, ShapeError, UsageError
from facegen.files import is_plain, refuse_special, replacing
from facegen.media.decoding import need_package, opened, quantisation, refuse_several, split_alpha, to_srgb, upright
from facegen.media.deep import DEEP_FORMATS, Deep, save_deep
from facegen.media.metadata import PLAIN, Facts, Label, Origin, facts_of, fit_jpeg, origin_of, save_options

PICTURE_SUFFIXES = (
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".jpeg", ".jpg", ".jxl", ".png", ".tif", ".tiff", ".webp",
)  # fmt: skip
"""Suffixes of the files that `find_pictures` lists."""
CLIP_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv")
"""Suffixes of the files that are read as films."""

# Z_RLE writes 768 px portraits four times as fast as Pillow's default; the files are 3 to 5 % larger.
WRITABLE: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {"compress_level": 1, "compress_type": zlib.Z_RLE}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"quality": 95}),
    ".avif": ("AVIF", {"quality": 90, "subsampling": "4:4:4"}),
    ".jxl": ("JXL", {"quality": 95, "use_container": True}),
    ".tif": ("TIFF", {"compression": "tiff_deflate"}),
    ".tiff": ("TIFF", {"compression": "tiff_deflate"}),
}
"""Suffix -> Pillow's name of the format, and the options for writing."""


class _WithoutDescriptor(FileIO):
    """A file that hides its descriptor from Pillow, which would write to it without noticing a full disk."""

    def fileno(self) -> int:
        raise UnsupportedOperation


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright."""

    rgb: RGB
    """(H, W, 3), in sRGB, or in `origin.profile` if there is one."""
    alpha: RGB | None = None
    """(H, W), 0 is transparent; None if the file has no transparency."""
    origin: Origin = PLAIN
    """The metadata that results made from it keep."""
    deep: Deep | None = None
    """`rgb` with 16 bits a sample, if the file has them and the caller asked for them."""
    smoothed: bool = False
    """True for a JPEG whose blocks were smoothed."""

    @property
    def pixels(self) -> Pixels:
        """`deep` if there is one, else `rgb`."""
        return self.rgb if self.deep is None else self.deep


def read_image(
    path: str | Path, *, keep_profile: bool = False, keep_depth: bool = False, smooth: bool = False
) -> Picture:
    """Read a picture file.

    16 bits a sample are rounded to 8 in `rgb`. A phone's JPEG may hold several pictures; the first is read.

    Args:
        keep_profile: leave RGB values unchanged, with the file's ICC profile in `origin`, unless that is sRGB's;
            otherwise convert them to sRGB. Gray and CMYK with a profile are always converted.
        keep_depth: also return 16 bits a sample, unless they were converted.
        smooth: smooth a JPEG's blocks as far as its quantisation permits; see `facegen.ops.blocks`.
    Raises:
        ImageError: if the file is missing, empty, unreadable, damaged, cut short, too large, animated, of several
            pages, or not a picture.
        MissingExtraError: if it is HEIC, AVIF or JPEG XL, and its reader is not installed.
    """
    path = Path(path)
    with opened(path) as file:
        refuse_several(path, file)
        blocks = quantisation(file) if smooth else None
        picture, deep = upright(path, file, blocks)
        embedded = file.info.get("icc_profile")  # `picture` lacks it once it was turned or rounded
        colour, alpha = split_alpha(picture)
        rgb, profile = to_srgb(colour, embedded, keep_profile)
        return Picture(
            np.array(rgb),
            None if alpha is None else np.array(alpha),
            origin_of(file, profile),
            deep if keep_depth and (not embedded or embedded == profile) else None,
            smoothed=blocks is not None,
        )


def write_image(
    path: str | Path,
    rgb: Pixels,
    alpha: RGB | None = None,
    text: Mapping[str, str] | None = None,
    *,
    origin: Origin = PLAIN,
    label: Label | None = None,
) -> Path:
    """Write a picture, complete or not at all; the suffix chooses the format, missing folders are made.

    Args:
        rgb: (H, W, 3) uint8 or uint16, in sRGB or the origin's profile; only PNG and TIFF keep 16 bits.
        alpha: (H, W) uint8; in JPEG, which has none, transparent parts become white.
        text: for `picture_text`: in PNG's text chunks, in other formats in the XMP packet.
        origin: metadata of the photo that the picture was made from; JPEG XL, whose writer takes no profile, is
            converted to sRGB.
        label: marks the picture as made by networks, wholly or in part (IPTC digital source type).
    Raises:
        MissingExtraError: if it is JPEG XL, and its writer is not installed.
        UsageError: if the suffix is unknown, or a key of `text` is not 1 to 79 printable ASCII characters.
        ShapeError: if an array has another shape or type than stated.
        ImageError: if the file cannot be written.
    """
    path = Path(path)
    file_format, options = check_format(path)
    _check_arrays(rgb, alpha)
    if file_format == "JPEG":
        text, origin, omitted = fit_jpeg(text or {}, origin, label)
        if omitted:
            message = f"{path}: {', '.join(omitted)} left out, as JPEG has room for 64 KB; choose another format."
            warnings.warn(message, stacklevel=2)
    if file_format == "JXL" and origin.profile:
        rgb, origin = _in_srgb(eight_bits(rgb), origin)
    options = options | save_options(file_format, text or {}, origin, label)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, BufferedRandom(_WithoutDescriptor(temporary, "w+")) as file:
            _save(file, file_format, rgb, alpha, options)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path}: cannot be written ({reason}); choose another folder, name or format.") from error
    return path


def _save(file: BinaryIO, file_format: str, rgb: Pixels, alpha: RGB | None, options: Mapping[str, Any]) -> None:
    if rgb.dtype == np.uint16 and file_format in DEEP_FORMATS:
        save_deep(file, file_format, np.asarray(rgb, dtype=np.uint16), alpha, **options)
    else:
        picture = to_pillow(eight_bits(rgb), alpha, keep_alpha=file_format != "JPEG")
        picture.save(file, file_format, **options)


def check_format(path: Path) -> tuple[str, dict[str, Any]]:
    """Return Pillow's name of a path's format, and the options for writing; raises errors as `write_image` does."""
    if path.suffix.lower() not in WRITABLE:
        raise UsageError(f"{path}: unknown picture suffix {path.suffix!r}; use one of {', '.join(WRITABLE)}.")
    file_format, options = WRITABLE[path.suffix.lower()]
    need_package(path, file_format, "writing")
    return file_format, options


def picture_facts(path: str | Path) -> Facts:
    """Read format and metadata of a picture file, of any size or animated, without decoding its pixels."""
    with opened(Path(path), any_size=True) as file:
        return facts_of(file)


def picture_text(path: str | Path) -> dict[str, str]:
    """Read the text that `write_image` wrote into a picture file (a PNG's text chunks); {} if there is none."""
    return dict(picture_facts(path).text)


def resize(rgb: NDArray[Sample], size: tuple[int, int]) -> NDArray[Sample]:
    """Resize (H, W, 3), uint8 or uint16, to `size` = (width, height), with Pillow's antialiased Lanczos filter.

    A picture of that size is returned without a copy.
    """
    if min(size) < 1:
        raise UsageError(f"resize: size is {size[0]} x {size[1]}, expected at least 1 x 1.")
    if size == (rgb.shape[1], rgb.shape[0]):
        return rgb
    depth = rgb.dtype.type
    if depth is np.uint8:
        return np.array(to_pillow(eight_bits(rgb)).resize(size, Image.Resampling.LANCZOS), dtype=depth)
    planes = (Image.fromarray(rgb[..., channel].astype(np.float32)) for channel in range(3))
    resized = np.dstack([np.asarray(plane.resize(size, Image.Resampling.LANCZOS)) for plane in planes])
    return np.asarray(np.rint(resized).clip(0, np.iinfo(depth).max), dtype=depth)


def find_pictures(paths: Iterable[Path]) -> list[Path]:
    """Replace each folder by the picture files directly in it, in order of name; files stay as given.

    Raises:
        ImageError: if a path does not exist, or a folder cannot be listed or holds no picture.
    """
    return [found for path in paths for found in _expanded(path)]


def to_pillow(rgb: RGB, alpha: RGB | None = None, keep_alpha: bool = True) -> Image.Image:
    """Convert (H, W, 3) uint8 and (H, W) alpha to a picture of Pillow; without `keep_alpha`, put it on white."""
    _check_arrays(rgb, alpha)
    picture = Image.fromarray(rgb)
    if alpha is None:
        return picture
    mask = Image.fromarray(alpha)
    if keep_alpha:
        picture.putalpha(mask)
        return picture
    return Image.composite(picture, Image.new("RGB", picture.size, "white"), mask)


def _in_srgb(rgb: RGB, origin: Origin) -> tuple[RGB, Origin]:
    colour, profile = to_srgb(Image.fromarray(rgb), origin.profile, keep_profile=False)
    return np.array(colour), replace(origin, profile=profile)


def _check_arrays(rgb: Pixels, alpha: RGB | None) -> None:
    check_picture("picture", rgb)
    if alpha is not None and (alpha.dtype != np.uint8 or alpha.shape != rgb.shape[:2]):
        raise ShapeError(f"alpha is {alpha.dtype} of shape {alpha.shape}, expected uint8 {rgb.shape[:2]}.")


def _expanded(path: Path) -> list[Path]:
    try:
        if is_plain(path):
            return [path]
        refuse_special(path, ImageError)
        entries = sorted(path.iterdir(), key=lambda entry: (entry.name.casefold(), entry.name))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(f"{path}: no such file or folder; check the path.") from error
    except OSError as error:
        raise ImageError(f"{path}: cannot be listed ({error.strerror}); change its permissions.") from error
    found = [p for p in entries if p.suffix.lower() in PICTURE_SUFFIXES and not p.name.startswith(".") and is_plain(p)]
    if not found:
        raise ImageError(f"{path}: no pictures in this folder; expected {', '.join(PICTURE_SUFFIXES)} files.")
    return found
