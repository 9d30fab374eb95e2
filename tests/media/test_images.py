"""Picture files are read as upright 8-bit sRGB, or refused with one clear error."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from facegen.arrays import RGB
from facegen.errors import ImageError, ShapeError, UsageError
from facegen.media.images import find_pictures, picture_text, read_image, resize, write_image

Reader = Callable[[Path], object]


def scene(height: int = 40, width: int = 60) -> RGB:
    """Return a smooth picture whose four corners differ, so that every rotation and reflection shows."""
    y, x = np.mgrid[:height, :width]
    red, green = 255 * x / (width - 1), 255 * y / (height - 1)
    return np.stack([red, green, (red + green) / 4], axis=-1).astype(np.uint8)


def write_png16(
    path: Path, samples: NDArray[np.uint16], colour_type: int, claimed: tuple[int, int] | None = None
) -> None:
    """Write a 16-bit PNG (PNG specification, section 5), which Pillow cannot, with a false size if one is claimed."""
    height, width = claimed or samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in chunks))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


# --- reading ---


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".gif", ".webp"])
def test_lossless_pictures_are_read_exactly(tmp_path: Path, suffix: str) -> None:
    rgb = np.repeat(np.repeat(scene(4, 6), 8, axis=0), 8, axis=1)  # few colours: a GIF keeps them
    Image.fromarray(rgb).save(tmp_path / f"a{suffix}", lossless=True)
    picture = read_image(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(picture.rgb, rgb)
    assert picture.alpha is None
    picture.rgb[0, 0] = 0  # a caller may write into it


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".tif"])
@pytest.mark.parametrize(
    ("orientation", "flip_y", "flip_x", "swap"),  # of the upright scene in the file (Exif 2.32, 4.6.4)
    [
        (1, False, False, False),
        (2, False, True, False),
        (3, True, True, False),
        (4, True, False, False),
        (5, False, False, True),
        (6, False, True, True),
        (7, True, True, True),
        (8, True, False, True),
    ],
)
def test_every_exif_orientation_is_set_upright(
    tmp_path: Path, orientation: int, flip_y: bool, flip_x: bool, swap: bool, suffix: str
) -> None:
    stored = scene()[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    stored = np.ascontiguousarray(stored.swapaxes(0, 1) if swap else stored)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / f"a{suffix}", exif=exif, quality=95)
    np.testing.assert_allclose(read_image(tmp_path / f"a{suffix}").rgb.astype(int), scene(), atol=24)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12", b"Exif\0\0"])
def test_damaged_exif_is_ignored(tmp_path: Path, exif: bytes) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").rgb.shape == (40, 60, 3)
    assert picture_text(tmp_path / "a.jpg") == {}


def linear_profile(space: bytes) -> bytes:
    """Return an ICC profile for linear light, made from Pillow's sRGB one: its curve becomes gamma 1 (ICC.1, 10.18)."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    curve = profile.index(b"para")
    profile[curve + 8 : curve + 16] = struct.pack(">HHI", 0, 0, 0x10000)
    profile[16:20] = space
    return bytes(profile).replace(b"rTRC", b"kTRC") if space == b"GRAY" else bytes(profile)


@pytest.mark.parametrize(
    ("mode", "space"),
    [("RGB", b"RGB "), ("RGBA", b"RGB "), ("P", b"RGB "), ("L", b"GRAY"), ("LA", b"GRAY"), ("I;16", b"GRAY")],
)
def test_icc_profile_is_converted_to_srgb(tmp_path: Path, mode: str, space: bytes) -> None:
    linear = np.full((8, 8), 55, np.uint8)  # 55 / 255 of linear light is 128 / 255 in sRGB (IEC 61966-2-1)
    gray = Image.fromarray(linear)
    picture = Image.fromarray(linear.astype(np.uint16) * 257) if mode == "I;16" else gray.convert(mode)
    picture.save(tmp_path / "a.png", icc_profile=linear_profile(space))
    np.testing.assert_allclose(read_image(tmp_path / "a.png").rgb.astype(int), 128, atol=2)


@pytest.mark.parametrize("profile", [b"no profile at all", linear_profile(b"GRAY"), linear_profile(b"RGB ")[:200]])
def test_unusable_icc_profile_is_ignored(tmp_path: Path, profile: bytes) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.png", icc_profile=profile)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").rgb, scene())


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])  # Pillow writes JPEG the Adobe way, inverted
def test_cmyk_is_read_in_its_colours(tmp_path: Path, suffix: str) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / f"a{suffix}")
    np.testing.assert_allclose(read_image(tmp_path / f"a{suffix}").rgb.astype(int)[8, 8], (255, 0, 0), atol=3)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_gray_is_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    samples = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(samples).save(tmp_path / f"a{suffix}")
    expected = np.rint(samples / 257).astype(np.uint8)
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}").rgb, np.stack([expected] * 3, axis=-1))


def test_sixteen_bit_gray_with_alpha_is_rounded(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(0, 65536, (9, 7, 2), np.uint16)
    write_png16(tmp_path / "a.png", samples, colour_type=4)
    picture = read_image(tmp_path / "a.png")
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.rgb[..., 1], np.rint(samples[..., 0] / 257))
    np.testing.assert_array_equal(picture.alpha, np.rint(samples[..., 1] / 257))


@pytest.mark.parametrize("mode", ["1", "L"])
def test_gray_and_one_bit_become_rgb(tmp_path: Path, mode: str) -> None:
    black_white = np.kron(np.eye(4), np.full((3, 3), 255)).astype(np.uint8)
    Image.fromarray(black_white).convert(mode).save(tmp_path / "a.png")
    picture = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.rgb, np.stack([black_white] * 3, axis=-1))
    assert picture.alpha is None


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_kept_apart(tmp_path: Path, mode: str) -> None:
    alpha = scene()[..., 0]
    picture = Image.new("L", (60, 40), 90).convert(mode)
    picture.putalpha(Image.fromarray(alpha))
    picture.save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(read.alpha, alpha)
    assert (read.rgb == 90).all()


@pytest.mark.parametrize("transparency", [1, b"\xff\x00\x80"])
def test_a_palette_may_have_transparency(tmp_path: Path, transparency: int | bytes) -> None:
    picture = Image.new("P", (3, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture.putdata([0, 1, 2])
    picture.save(tmp_path / "a.png", transparency=transparency)
    read = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(read.rgb, [[[10, 20, 30], [40, 50, 60], [70, 80, 90]]])
    np.testing.assert_array_equal(read.alpha, [[255, 0, 255 if transparency == 1 else 128]])


def test_paths_may_have_spaces_and_any_letters(tmp_path: Path) -> None:
    path = write_image(tmp_path / "Ordner mit Zwischenräumen" / "портрет 顔 é.png", scene())
    np.testing.assert_array_equal(read_image(path).rgb, scene())
    assert find_pictures([path.parent]) == [path]
    np.testing.assert_array_equal(read_image(str(path)).rgb, scene())


# --- refusing ---


@pytest.mark.parametrize("read", [read_image, picture_text])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.jpg", "no such file; check the path"),
        ("text.jpg/below a file.jpg", "no such file"),
        ("folder", "is a folder, expected a picture file"),
        ("empty.jpg", r"is empty \(0 bytes\); copy or download"),
        ("text.jpg", r"not a picture of a known format \(JPEG, .*save it as PNG or JPEG"),
        ("drawing.eps", "not a picture of a known format"),
    ],
)
def test_unreadable_file_is_refused_by_name(tmp_path: Path, read: Reader, name: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("Dear Sir or Madam")
    (tmp_path / "drawing.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(ImageError, match=message) as caught:
        read(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))


def test_metadata_of_a_picture_too_large_to_decode_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    write_png16(path, np.zeros((1, 1), np.uint16), colour_type=0, claimed=(20_000, 20_000))
    with pytest.raises(ImageError, match=r"huge\.png: has more than 178 megapixels; make it smaller"):
        read_image(path)
    assert picture_text(path) == {}
    with pytest.raises(ImageError, match="has more than 178 megapixels"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".gif"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_file_cut_short_is_refused(tmp_path: Path, suffix: str, part: float) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(ImageError, match=r"copy or download the file again|not a picture of a known format"):
        read_image(path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", scene())
    path.chmod(0)
    with pytest.raises(ImageError, match=r"may not be read .*change its permissions"):
        read_image(path)


# --- writing ---


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".tiff"])
def test_lossless_formats_return_what_was_written(tmp_path: Path, suffix: str) -> None:
    alpha = scene()[..., 1]
    path = write_image(tmp_path / "new" / "folders" / f"a{suffix}", scene(), alpha)
    read = read_image(path)
    np.testing.assert_array_equal(read.rgb, scene())
    np.testing.assert_array_equal(read.alpha, alpha)
    assert [entry.name for entry in path.parent.iterdir()] == [f"a{suffix}"]


def test_jpeg_keeps_full_colour_resolution(tmp_path: Path) -> None:
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2] = (255, 0, 0)
    stripes[:, 1::2] = (0, 0, 255)
    read = read_image(write_image(tmp_path / "a.jpg", stripes)).rgb
    assert np.abs(read.astype(float) - stripes).max() < 40


def test_transparent_parts_become_white_in_jpeg(tmp_path: Path) -> None:
    alpha = np.full((40, 60), 128, np.uint8)
    alpha[:, :30] = 0
    read = read_image(write_image(tmp_path / "a.jpg", np.zeros((40, 60, 3), np.uint8), alpha))
    assert read.alpha is None
    np.testing.assert_allclose(read.rgb[20, [8, 50]].astype(int), [[255] * 3, [127] * 3], atol=3)


@pytest.mark.parametrize("name", ["a.bmp", "a", "a.png.bak"])
def test_unknown_suffix_is_refused_with_the_known_ones(tmp_path: Path, name: str) -> None:
    listed = r"unknown picture suffix .*\.png, \.jpg, \.jpeg, \.webp, \.avif, \.jxl, \.tif, \.tiff"
    with pytest.raises(UsageError, match=listed):
        write_image(tmp_path / name, scene())
    assert not list(tmp_path.iterdir())


def test_arrays_that_are_not_pictures_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"float64 of shape \(4, 4, 3\), expected uint8 or uint16 \(H, W, 3\)"):
        write_image(tmp_path / "a.png", np.zeros((4, 4, 3)))  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"shape \(3, 4, 4\)"):
        write_image(tmp_path / "a.png", np.zeros((3, 4, 4), np.uint8))
    with pytest.raises(ShapeError, match=r"alpha is uint8 of shape \(4, 5\), expected uint8 \(4, 4\)"):
        write_image(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.uint8))


def test_a_failure_leaves_only_the_old_picture(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.webp", scene())
    before = path.read_bytes()
    with pytest.raises(ImageError, match="cannot be written"):
        write_image(path, np.zeros((1, 20_000, 3), np.uint8))  # WebP ends at 16,383 pixels
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_not_replaced_by_a_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(ImageError, match="cannot be written"):
        write_image(tmp_path / "a.png", scene())
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("below", ["a.png", "more/a.png"])
def test_unwritable_folder_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match=r"cannot be written .*choose another folder"):
        write_image(tmp_path / "file" / below, scene())


# --- resizing ---


def test_resize_takes_width_then_height() -> None:
    assert resize(scene(), (30, 10)).shape == (10, 30, 3)
    np.testing.assert_array_equal(resize(scene(), (60, 40)), scene())


def test_resize_does_not_alias() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(resize(stripes, (9, 9)).astype(float) - 127.5).max() < 8


def test_resize_refuses_empty_sizes_and_other_shapes() -> None:
    with pytest.raises(UsageError, match="size is 0 x 4"):
        resize(scene(), (0, 4))
    with pytest.raises(ShapeError, match="expected uint8"):
        resize(np.zeros((4, 4), np.uint8), (2, 2))


# --- finding ---


def test_find_pictures_expands_folders_and_keeps_files(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "inner.jpg").mkdir(parents=True)
    for name in ("b.JPG", "A.png", "c.webp", "notes.txt", "._b.JPG", "d.tiff"):
        (folder / name).touch()
    (tmp_path / "named.dat").touch()
    found = find_pictures([tmp_path / "named.dat", folder])
    assert found == [tmp_path / "named.dat", *(folder / name for name in ("A.png", "b.JPG", "c.webp", "d.tiff"))]


def test_find_pictures_refuses_empty_folder_and_missing_path(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no pictures in this folder; expected \.avif, \.bmp"):
        find_pictures([tmp_path])
    with pytest.raises(ImageError, match="no such file or folder"):
        find_pictures([tmp_path / "missing"])
