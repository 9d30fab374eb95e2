"""The only border to picture files: read and write, upright, in sRGB, 8 bits a sample; resize.

Everything inside facegen sees (H, W, 3) uint8 sRGB arrays. What files bring along (EXIF orientation, colour profiles,
alpha, palettes, 16 bits) is settled here, and every failure is one ImageError that names the file.
"""

import json
import stat
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, PngImagePlugin, UnidentifiedImageError

from facegen.errors import ImageError, ShapeError, UsageError

PICTURE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""What `find_pictures` takes for a picture."""

_READABLE = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM")  # EPS would start Ghostscript on a stranger's file
_ORIENTATION, _DESCRIPTION = 0x0112, 0x010E  # EXIF tags
_UPRIGHT = {  # EXIF orientation -> what sets the picture upright (Exif 2.32, 4.6.4)
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Of 768 px portraits, Z_RLE takes 26-37 ms for 516-666 KiB; Pillow's own choice 119-177 ms for 492-646 KiB.
_WRITABLE: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {"compress_level": 1, "compress_type": zlib.Z_RLE}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"quality": 95}),
    ".tif": ("TIFF", {"compression": "tiff_deflate"}),
    ".tiff": ("TIFF", {"compression": "tiff_deflate"}),
}


@dataclass(frozen=True)
class Picture:
    """A decoded picture: upright, sRGB, 8 bits a sample."""

    rgb: NDArray[np.uint8]
    """(H, W, 3) sRGB."""
    alpha: NDArray[np.uint8] | None = None
    """(H, W), 0 is transparent; None if the file has no transparency."""


def read_image(path: str | Path) -> Picture:
    """Read a picture file; of an animated one, the first frame.

    Raises:
        ImageError: if the file is missing, empty, unreadable, damaged, cut short, too large, or no picture.
    """
    with _opened(Path(path)) as file:
        file.load()
        profile = file.info.get("icc_profile")  # taken now: the steps below make new pictures without it
        upright = _UPRIGHT.get(_exif_tag(file, _ORIENTATION))
        picture = file if upright is None else file.transpose(upright)
        colour, alpha = _split_alpha(_to_eight_bit(picture))
        return Picture(np.array(_to_srgb(colour, profile)), None if alpha is None else np.array(alpha))


def write_image(
    path: str | Path,
    rgb: NDArray[np.uint8],
    alpha: NDArray[np.uint8] | None = None,
    text: Mapping[str, str] | None = None,
) -> Path:
    """Write a picture, complete or not at all; the suffix chooses the format, missing folders are made.

    Args:
        rgb: (H, W, 3) uint8 sRGB.
        alpha: (H, W) uint8; JPEG has none, so there the picture is laid on white.
        text: kept in the file for `picture_text`: PNG text chunks, elsewhere JSON in the EXIF ImageDescription.
    Raises:
        UsageError: if the suffix is unknown, or a key of `text` is not 1 to 79 printable ASCII characters.
        ShapeError: if an array has another shape or type than stated.
        ImageError: if the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITABLE:
        raise UsageError(f"{path}: unknown picture suffix {path.suffix!r}; use one of {', '.join(_WRITABLE)}.")
    file_format, options = _WRITABLE[path.suffix.lower()]
    picture = to_pillow(rgb, alpha, keep_alpha=file_format != "JPEG")
    options = options | _text_options(file_format, text or {})
    temporary = path.with_name(f".{uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(temporary, file_format, **options)
        temporary.replace(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path}: cannot be written ({reason}); choose another folder, name or format.") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    return path


def picture_text(path: str | Path) -> dict[str, str]:
    """Read the text that `write_image` put into a picture file (of a PNG, all its text chunks); {} if there is none.

    Raises:
        ImageError: if the file cannot be read.
    """
    with _opened(Path(path)) as file:
        if isinstance(file, PngImagePlugin.PngImageFile):
            return {key: str(value) for key, value in file.text.items()}
        try:
            found = json.loads(_exif_tag(file, _DESCRIPTION) or "{}")
        except (TypeError, ValueError):  # another program's description
            return {}
        return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def resize(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize (H, W, 3) uint8 to `size` = (width, height) with Pillow's Lanczos filter, antialiased when shrinking.

    Raises:
        ShapeError: if `rgb` is not (H, W, 3) uint8.
        UsageError: if a side of `size` is below 1.
    """
    if min(size) < 1:
        raise UsageError(f"resize: size is {size[0]} x {size[1]}, expected at least 1 x 1.")
    return np.array(to_pillow(rgb).resize(size, Image.Resampling.LANCZOS))


def find_pictures(paths: Iterable[Path]) -> list[Path]:
    """Replace each folder by the picture files directly in it, in order of name; files stay as given.

    Raises:
        ImageError: if a path does not exist, or a folder cannot be listed or holds no picture.
    """
    return [found for path in paths for found in _expanded(path)]


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture file; whatever Pillow raises inside the block becomes an ImageError."""
    try:
        _check_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged EXIF, much text: nothing a person could act on
            with Image.open(path, formats=_READABLE) as file:
                yield file
    except ImageError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(f"{path}: no such file; check the path.") from error
    except PermissionError as error:
        raise ImageError(f"{path}: may not be read ({error.strerror}); change its permissions.") from error
    except UnidentifiedImageError as error:
        known = ", ".join(_READABLE)
        raise ImageError(f"{path}: not a picture of a known format ({known}); save it as PNG or JPEG.") from error
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise ImageError(f"{path}: has more than {limit} megapixels; make it smaller first.") from error
    except Exception as error:  # Pillow's decoders raise almost anything on damaged bytes
        raise ImageError(f"{path}: cannot be decoded ({error}); copy or download the file again.") from error


def _check_file(path: Path) -> None:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"{path}: is a folder, expected a picture file; name a picture in it.")
    if status.st_size == 0:
        raise ImageError(f"{path}: is empty (0 bytes); copy or download the file again.")


def _exif_tag(file: Image.Image, tag: int) -> Any:
    try:
        return file.getexif().get(tag)
    except Exception:  # damaged EXIF is no reason to refuse the picture
        return None


def _to_eight_bit(picture: Image.Image) -> Image.Image:
    """Scale 16-bit gray, which Pillow's own convert would clip, to 8 bits; other modes have 8 already."""
    if not picture.mode.startswith("I"):
        return picture
    values = np.rint(np.asarray(picture) / 257)  # 65535 / 257 = 255
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def _split_alpha(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Part a picture into colour (mode L, RGB or CMYK, as a colour profile describes it) and alpha."""
    if picture.mode == "F":
        raise ValueError("32-bit float samples; save it with 8 or 16 bits a sample")
    plain = "L" if picture.mode in ("1", "L", "LA", "La") else "RGB"
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return picture.convert(plain), picture.getchannel("A")
    return (picture if picture.mode == "CMYK" else picture.convert(plain)), None


def _to_srgb(colour: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert L, RGB or CMYK to sRGB; a profile that is damaged or belongs to another mode is ignored."""
    if profile:
        with suppress(ImageCms.PyCMSError, OSError, ValueError):
            transform = ImageCms.buildTransform(
                ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB"), colour.mode, "RGB"
            )
            return transform.apply(colour)
    return colour.convert("RGB")


def to_pillow(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None = None, keep_alpha: bool = True) -> Image.Image:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ShapeError(f"picture is {rgb.dtype} of shape {rgb.shape}, expected uint8 (H, W, 3).")
    picture = Image.fromarray(rgb)
    if alpha is None:
        return picture
    if alpha.dtype != np.uint8 or alpha.shape != rgb.shape[:2]:
        raise ShapeError(f"alpha is {alpha.dtype} of shape {alpha.shape}, expected uint8 {rgb.shape[:2]}.")
    mask = Image.fromarray(alpha)
    if keep_alpha:
        picture.putalpha(mask)
        return picture
    return Image.composite(picture, Image.new("RGB", picture.size, "white"), mask)


def _text_options(file_format: str, text: Mapping[str, str]) -> dict[str, Any]:
    for key in text:
        if not (1 <= len(key) <= 79 and key.isascii() and key.isprintable()):
            raise UsageError(f"text key {key!r}: expected 1 to 79 printable ASCII characters.")
    if not text:
        return {}
    if file_format == "PNG":
        chunks = PngImagePlugin.PngInfo()
        for key, value in text.items():
            chunks.add_text(key, value)
        return {"pnginfo": chunks}
    exif = Image.Exif()
    exif[_DESCRIPTION] = json.dumps(dict(text))
    return {"exif": exif.tobytes()}


def _expanded(path: Path) -> list[Path]:
    try:
        if path.is_file():
            return [path]
        entries = sorted(path.iterdir(), key=lambda entry: (entry.name.casefold(), entry.name))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(f"{path}: no such file or folder; check the path.") from error
    except OSError as error:
        raise ImageError(f"{path}: cannot be listed ({error.strerror}); change its permissions.") from error
    found = [p for p in entries if p.suffix.lower() in PICTURE_SUFFIXES and not p.name.startswith(".") and p.is_file()]
    if not found:
        raise ImageError(f"{path}: no pictures in this folder; expected {', '.join(PICTURE_SUFFIXES)} files.")
    return found
