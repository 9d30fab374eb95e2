"""Special content of picture files: 16-bit samples, profiles, several pictures, formats that need a reader."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.ExifTags import Base

from facegen.arrays import RGB
from facegen.errors import ImageError, MissingExtraError
from facegen.media import decoding
from facegen.media.images import picture_facts, read_image, write_image
from tests.media.test_images import linear_profile, scene, write_png16


@cache  # a profile contains the time at which it was made
def display_p3() -> bytes:
    """Return an ICC profile for Display P3, made from Pillow's sRGB one, which has the same curve and white."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    colourants = {b"rXYZ": (0.51512, 0.24120, -0.00105), b"gXYZ": (0.29198, 0.69225, 0.04189),
                  b"bXYZ": (0.15710, 0.06657, 0.78407)}  # fmt: skip
    for entry in range(int.from_bytes(profile[128:132])):
        at = 132 + 12 * entry
        name, offset = bytes(profile[at : at + 4]), int.from_bytes(profile[at + 4 : at + 8])
        for index, value in enumerate(colourants.get(name, ())):
            start = offset + 8 + 4 * index
            profile[start : start + 4] = round(value * 65536).to_bytes(4, signed=True)
    return bytes(profile)


def deep_scene() -> NDArray[np.uint16]:
    """The scene with 16 bits a sample, (40, 60, 3); their lower bytes matter for rounding."""
    noise = np.random.default_rng(0).integers(-100, 100, (40, 60, 3))
    return (scene().astype(int) * 257 + noise).clip(0, 65535).astype(np.uint16)


# --- 16 bits ---


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bit_tiff_is_rounded(tmp_path: Path, channels: int, compression: str | None) -> None:
    samples = np.random.default_rng(0).integers(0, 65536, (9, 7, channels), np.uint16)
    extra = ["unassalpha"] if channels == 4 else None
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", compression=compression, extrasamples=extra)
    picture = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.rgb, np.rint(samples[..., :3] / 257))
    if channels == 4:
        np.testing.assert_array_equal(picture.alpha, np.rint(samples[..., 3] / 257))


def test_sixteen_bit_png_keeps_profile_and_orientation(tmp_path: Path) -> None:
    write_png16(tmp_path / "plain.png", deep_scene(), colour_type=2)
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(tmp_path / "plain.png") as file:
        buffer = io.BytesIO()
        file.save(buffer, "PNG", exif=exif, icc_profile=display_p3())
    deep = (tmp_path / "plain.png").read_bytes()
    chunks = buffer.getvalue()[33 : buffer.getvalue().index(b"IDAT") - 4]  # those that Pillow put before the pixels
    (tmp_path / "a.png").write_bytes(deep[:33] + chunks + deep[33:])
    picture = read_image(tmp_path / "a.png", keep_profile=True)
    np.testing.assert_array_equal(picture.rgb, np.rot90(np.rint(deep_scene() / 257), -1))
    assert picture.origin.profile == display_p3()
    assert picture.origin.exif is not None


def test_a_damaged_sixteen_bit_file_is_refused(tmp_path: Path) -> None:
    write_png16(tmp_path / "a.png", deep_scene(), colour_type=2)
    path = tmp_path / "a.png"
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(ImageError, match=r"a\.png: cannot be decoded"):
        read_image(path)


# --- profiles ---


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif", ".tif"])
def test_display_p3_is_kept(tmp_path: Path, suffix: str) -> None:
    profile = display_p3()
    Image.fromarray(scene()).save(tmp_path / f"a{suffix}", icc_profile=profile, quality=95)
    with Image.open(tmp_path / f"a{suffix}") as file:
        stored = np.asarray(file.convert("RGB"))
    picture = read_image(tmp_path / f"a{suffix}", keep_profile=True)
    np.testing.assert_array_equal(picture.rgb, stored)
    assert picture.origin.profile == profile
    again = read_image(write_image(tmp_path / f"b{suffix}", picture.rgb, origin=picture.origin), keep_profile=True)
    assert again.origin.profile == profile


def test_display_p3_is_converted_to_srgb_by_default(tmp_path: Path) -> None:
    green = np.full((8, 8, 3), (117, 251, 76), np.uint8)  # sRGB's pure green in Display P3
    Image.fromarray(green).save(tmp_path / "a.png", icc_profile=display_p3())
    picture = read_image(tmp_path / "a.png")
    np.testing.assert_allclose(picture.rgb[0, 0].astype(int), (0, 255, 0), atol=3)
    assert picture.origin.profile is None


@pytest.mark.parametrize("keep", [True, False])
def test_srgb_profile_changes_nothing_and_is_not_carried(tmp_path: Path, keep: bool) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(scene()).save(tmp_path / "a.png", icc_profile=profile)
    picture = read_image(tmp_path / "a.png", keep_profile=keep)
    np.testing.assert_array_equal(picture.rgb, scene())
    assert picture.origin.profile is None


def test_gray_profile_is_converted_even_if_profiles_are_kept(tmp_path: Path) -> None:
    Image.new("L", (8, 8), 55).save(tmp_path / "a.png", icc_profile=linear_profile(b"GRAY"))
    picture = read_image(tmp_path / "a.png", keep_profile=True)
    np.testing.assert_allclose(picture.rgb.astype(int), 128, atol=2)
    assert picture.origin.profile is None


def test_cmyk_is_converted_even_if_profiles_are_kept(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", icc_profile=display_p3())  # not a CMYK one
    picture = read_image(tmp_path / "a.jpg", keep_profile=True)
    np.testing.assert_allclose(picture.rgb[8, 8].astype(int), (255, 0, 0), atol=3)
    assert picture.origin.profile is None


# --- several pictures in a file ---


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animation_is_refused(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="is an animation of 3 frames; save the one you want as PNG") as caught:
        read_image(tmp_path / f"a{suffix}")
    assert str(caught.value).startswith(str(tmp_path / f"a{suffix}"))


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_a_single_frame_is_not_an_animation(tmp_path: Path, suffix: str) -> None:
    Image.new("RGB", (20, 20), "red").save(tmp_path / f"a{suffix}", save_all=True, lossless=True)
    assert (read_image(tmp_path / f"a{suffix}").rgb == (255, 0, 0)).all()


def test_tiff_of_several_pages_is_refused(tmp_path: Path) -> None:
    page = Image.fromarray(scene())
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page])
    with pytest.raises(ImageError, match=r"a\.tif: holds 2 pages; save each as a file of its own"):
        read_image(tmp_path / "a.tif")


def test_the_first_picture_of_a_phones_jpeg_is_read(tmp_path: Path) -> None:
    second = Image.new("RGB", (30, 20), "blue")
    Image.new("RGB", (60, 40), "red").save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    picture = read_image(tmp_path / "a.jpg")
    assert picture.rgb.shape == (40, 60, 3)
    np.testing.assert_allclose(picture.rgb[20, 30].astype(int), (254, 0, 0), atol=3)


# --- pictures too large to decode ---


def test_the_limit_of_size_survives_a_look_at_the_facts_in_another_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow keeps the limit in a global: reading a file must not restore the value that another thread set."""
    limit, open_file, is_lifted, is_opened = Image.MAX_IMAGE_PIXELS, Image.open, threading.Event(), threading.Event()
    write_image(tmp_path / "a.png", scene())

    def open_slowly(path: Path, formats: Any) -> Any:
        if not is_lifted.is_set():  # for the facts
            is_lifted.set()
            assert is_opened.wait(60)
        else:
            is_opened.set()
            facts.result(60)
        return open_file(path, formats=formats)

    monkeypatch.setattr(Image, "open", open_slowly)
    with ThreadPoolExecutor() as pool:
        facts = pool.submit(picture_facts, tmp_path / "a.png")
        assert is_lifted.wait(60)
        with decoding.opened(tmp_path / "a.png"):
            pass
    assert limit == Image.MAX_IMAGE_PIXELS


# --- formats that need a reader ---


def test_heic_is_read_where_its_reader_is_installed(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    Image.fromarray(scene()).save(tmp_path / "a.heic", quality=95)
    np.testing.assert_allclose(read_image(tmp_path / "a.heic").rgb.astype(int), scene(), atol=24)


@pytest.mark.parametrize(
    ("brand", "advice"),
    [
        (b"heic", "reading HEIC needs a package that is not here: pip install 'facegen\\[heic\\]'"),
        (b"mif1", "reading HEIC needs a package that is not here: pip install 'facegen\\[heic\\]'"),
        (b"avif", "reading AVIF needs a package that is not here: pip install --upgrade pillow"),
    ],
)
def test_without_a_reader_the_error_says_what_to_install(
    tmp_path: Path, brand: bytes, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "_readable", lambda: ("JPEG", "PNG"))
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(64))
    with pytest.raises(MissingExtraError, match=advice) as caught:
        read_image(path)
    assert str(caught.value).startswith(str(path))


# --- blocks of JPEGs ---


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_a_turned_jpeg_is_smoothed_on_its_own_blocks(tmp_path: Path, head: RGB, orientation: int) -> None:
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    Image.fromarray(head[:, :171]).save(tmp_path / "a.jpg", quality=60, exif=exif)
    Image.fromarray(head[:, :171]).save(tmp_path / "plain.jpg", quality=60)
    plain = read_image(tmp_path / "plain.jpg", smooth=True).rgb
    rows_first = plain.transpose(1, 0, 2)
    turned = {1: plain, 3: plain[::-1, ::-1], 6: rows_first[:, ::-1], 7: rows_first[::-1, ::-1]}[orientation]
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg", smooth=True).rgb, turned)


def test_only_coarsely_quantised_jpegs_are_smoothed(tmp_path: Path, head: RGB) -> None:
    def changed(name: str, **options: Any) -> bool:
        Image.fromarray(head).convert("L" if "grey" in name else "RGB").save(tmp_path / name, **options)
        return not np.array_equal(read_image(tmp_path / name).rgb, read_image(tmp_path / name, smooth=True).rgb)

    assert changed("a.jpg", quality=80)
    assert changed("grey.jpg", quality=80)
    assert not changed("fine.jpg", quality=95)
    assert not changed("a.webp", quality=50)
    assert not changed("a.png")
