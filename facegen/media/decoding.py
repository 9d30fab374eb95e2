"""Open picture files and convert their pixels to upright RGB with 8 bits a sample."""

from __future__ import annotations

import logging
import math
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from facegen.arrays import eight_bits
from facegen.errors import FacegenError, ImageError, MissingExtraError
from facegen.files import refuse_special
from facegen.media.deep import Deep
from facegen.media.jxl import CODESTREAM, CONTAINER, JXLFacts, jxl_facts
from facegen.media.metadata import orientation
from facegen.ops.blocks import Quantisation, smooth_blocks

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF", "HEIF", "JXL")  # EPS would start Ghostscript
_ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")  # in HEIF and a phone's JPEG, one of several pictures is the main one
_ISO_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIF", b"heix": "HEIF", b"hevc": "HEIF", b"mif1": "HEIF"}
_PACKAGES = {
    "HEIF": ("HEIC", "pip install 'facegen[heic]'"), "AVIF": ("AVIF", "pip install --upgrade pillow"),
    "JXL": ("JPEG XL", "pip install 'facegen[jxl]'"),
}  # fmt: skip
"""Pillow's name of a format that needs another package -> its common name, and how to install the package."""
_UPRIGHT = {  # EXIF orientation -> the transposition that sets the picture upright (Exif 2.32, 4.6.4)
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
COARSE = 8
"""A JPEG's blocks are visible from this mean quantisation step of luma on: quality 93 and less."""
_NEAR_SRGB = 2
"""Steps of 255 by which a profile may differ from sRGB and still count as sRGB; common ones differ by rounding."""
_LIMIT_LOCK = threading.Lock()

logging.getLogger("PIL").addHandler(logging.NullHandler())  # its messages on damaged files repeat the errors


class _UnsupportedError(Exception):
    """A valid file has content that facegen cannot read; the text says what to do."""


@contextmanager
def opened(path: Path, any_size: bool = False) -> Iterator[ImageFile.ImageFile]:
    """Open a picture file; any error of Pillow inside the block becomes an ImageError that names the file.

    Args:
        any_size: also open pictures that are too large to be decoded.
    Raises:
        MissingExtraError: if it is HEIC, AVIF or JPEG XL, and its reader is not installed.
    """
    try:
        _check_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as damaged EXIF: nothing the user could act on
            with _open(path, any_size) as file:
                yield file
    except FacegenError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(f"{path}: no such file; check the path.") from error
    except PermissionError as error:
        raise ImageError(f"{path}: may not be read ({error.strerror}); change its permissions.") from error
    except UnidentifiedImageError as error:
        _refuse_iso(path)
        known = ", ".join(_readable())
        raise ImageError(f"{path}: not a picture of a known format ({known}); save it as PNG or JPEG.") from error
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise ImageError(f"{path}: has more than {limit} megapixels; make it smaller first.") from error
    except _UnsupportedError as error:
        raise ImageError(f"{path}: has {error}") from error
    except Exception as error:  # Pillow's decoders fail in almost any way on damaged bytes
        raise ImageError(f"{path}: cannot be decoded ({error}); copy or download the file again.") from error


def need_package(path: Path, file_format: str, doing: str) -> None:
    """Raise a MissingExtraError if a format (Pillow's name) needs a package that is not installed."""
    if file_format in _PACKAGES and file_format not in _readable():
        name, command = _PACKAGES[file_format]
        raise MissingExtraError(f"{path}: {doing} {name} needs a package that is not here: {command}")


def refuse_several(path: Path, file: ImageFile.ImageFile) -> None:
    """Refuse animations and files of several pages."""
    count = getattr(file, "n_frames", 1)
    if count > 1 and file.format in _ANIMATED:
        raise ImageError(f"{path}: is an animation of {count} frames; save the one you want as PNG.")
    if count > 1 and file.format == "TIFF":
        raise ImageError(f"{path}: holds {count} pages; save each as a file of its own.")


def upright(path: Path, file: ImageFile.ImageFile, blocks: Quantisation | None) -> tuple[Image.Image, Deep | None]:
    """Decode an open file, and turn and mirror it as its EXIF says.

    Args:
        blocks: how a JPEG's blocks are quantised, to smooth them; None leaves them.
    Returns:
        the picture with 8 bits a sample, and its 16 bits, (H, W, 3), if it has them.
    """
    deep = file.mode in ("RGB", "RGBA") and any(";16" in str(tile) for tile in file.tile)
    file.load()
    turn = _UPRIGHT.get(orientation(file))  # after loading: Pillow, and OpenCV too, turn a TIFF themselves
    samples: Deep | None = None
    if deep:
        samples = _sixteen_bits(path)
    elif file.mode.startswith("I"):  # 16-bit gray, which Pillow's own conversion would clip
        samples = np.asarray(file).clip(0, 65535).astype(np.uint16)
    if samples is None:
        picture: Image.Image = file
        if blocks is not None:
            picture = Image.fromarray(smooth_blocks(np.asarray(file.convert("RGB")), blocks)).convert(file.mode)
        return (picture if turn is None else picture.transpose(turn)), None
    if turn is not None:
        planes = [Image.fromarray(plane).transpose(turn) for plane in np.moveaxis(np.atleast_3d(samples), 2, 0)]
        samples = np.squeeze(np.dstack([np.asarray(plane) for plane in planes]))
    colour = samples[..., :3] if samples.ndim == 3 else np.repeat(samples[..., None], 3, axis=2)
    return Image.fromarray(eight_bits(samples)), colour


def quantisation(file: ImageFile.ImageFile) -> Quantisation | None:
    """Read how an open JPEG's blocks are quantised; None for other files, other colours than YCbCr, or fine steps."""
    if not isinstance(file, JpegImageFile) or file.mode not in ("L", "RGB") or file.info.get("adobe_transform", 1) != 1:
        return None
    (_, across, down, luma), *others = file.layer
    steps = {number: tuple(table) for number, table in file.quantization.items()}
    if np.mean(steps[luma]) < COARSE:
        return None
    _, narrow, low, chroma = others[0] if others else file.layer[0]
    return Quantisation(steps[luma], steps[chroma], (max(down // low, 1), max(across // narrow, 1)))


def split_alpha(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Split a picture into colour (mode L, RGB or CMYK, which a colour profile may describe) and alpha."""
    if picture.mode == "F":
        raise _UnsupportedError("32-bit float samples; save it with 8 or 16 bits a sample.")
    plain = "L" if picture.mode in ("1", "L", "LA", "La") else "RGB"
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return picture.convert(plain), picture.getchannel("A")
    return (picture if picture.mode == "CMYK" else picture.convert(plain)), None


def to_srgb(colour: Image.Image, profile: bytes | None, keep_profile: bool) -> tuple[Image.Image, bytes | None]:
    """Convert L, RGB or CMYK to sRGB; `keep_profile` leaves RGB unchanged. A damaged profile is ignored.

    Returns:
        the picture, and the profile of its values; None stands for sRGB.
    """
    transform = _srgb_transform(profile, colour.mode) if profile else None
    if transform is None:
        return colour.convert("RGB"), None
    if colour.mode == "RGB" and _is_srgb(transform):
        return colour, None
    if colour.mode == "RGB" and keep_profile:
        return colour, profile
    return transform.apply(colour), None


def _open(path: Path, any_size: bool) -> ImageFile.ImageFile:
    jxl = _jxl_facts(path) if "JXL" in _readable() else None
    with _without_limit() if any_size else nullcontext():
        file = Image.open(path, formats=_readable())
    if jxl is not None and jxl.xmp is not None:
        file.info["xmp"] = jxl.xmp
    return file


@contextmanager
def _without_limit() -> Iterator[None]:
    """Lift Pillow's limit of a picture's size, which all threads share."""
    with _LIMIT_LOCK:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _jxl_facts(path: Path) -> JXLFacts | None:
    """Read the facts of a JPEG XL file, and refuse one that is too large, as its plugin decodes pixels on opening."""
    with path.open("rb") as file:
        head = file.read(len(CONTAINER))
        facts = jxl_facts(head + file.read()) if head.startswith((CODESTREAM, CONTAINER)) else None
    if facts is not None and math.prod(facts.size) > 2 * (Image.MAX_IMAGE_PIXELS or math.inf):
        raise Image.DecompressionBombError
    return facts


@cache
def _readable() -> tuple[str, ...]:
    """List the formats that can be read here; readers of AVIF, HEIF and JPEG XL may not be installed."""
    if find_spec("pillow_heif"):
        import pillow_heif

        pillow_heif.register_heif_opener()
    if find_spec("pillow_jxl"):
        import pillow_jxl  # noqa: F401 - registers itself
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _check_file(path: Path) -> None:
    refuse_special(path, ImageError)
    if path.is_dir():
        raise ImageError(f"{path}: is a folder, expected a picture file; name a picture in it.")
    if path.stat().st_size == 0:
        raise ImageError(f"{path}: is empty (0 bytes); copy or download the file again.")


def _refuse_iso(path: Path) -> None:
    """Explain why a HEIC, AVIF or JPEG XL file was not recognised: its reader is missing, or the file is damaged."""
    with path.open("rb") as file:
        head = file.read(12)
    name = _ISO_BRANDS.get(head[8:12]) if head[4:8] == b"ftyp" else None
    if head.startswith((CODESTREAM, CONTAINER)):
        name = "JXL"
    if name:
        need_package(path, name, "reading")
        raise ImageError(
            f"{path}: is a damaged {_PACKAGES[name][0]} picture, or cut short; copy or download the file again."
        )


def _sixteen_bits(path: Path) -> Deep:
    """Read 16-bit colour, (H, W, 3 or 4); Pillow would cut off the lower bits."""
    samples = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)  # BGR or BGRA
    if samples is None:
        raise _UnsupportedError("16 bits a sample in a layout that cannot be read, or is damaged; save it with 8 bits.")
    order = cv2.COLOR_BGRA2RGBA if samples.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(samples, order), dtype=np.uint16)


def _srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Build the transform from a profile to sRGB; None if the profile is damaged or belongs to another mode."""
    with suppress(ImageCms.PyCMSError, OSError, ValueError):
        source, target = ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(source, target, mode, "RGB")
    return None


def _is_srgb(transform: ImageCms.ImageCmsTransform) -> bool:
    """Return whether a transform to sRGB leaves a grid of colours unchanged."""
    steps = np.arange(0, 256, 51, dtype=np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    moved = np.asarray(transform.apply(Image.fromarray(cube)))
    return bool(np.abs(moved.astype(int) - cube).max() <= _NEAR_SRGB)
