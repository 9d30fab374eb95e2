"""Spoil clean aligned square pictures so that a person would drop them, to test `facegen data clean`.

Strengths vary from just bad enough to hopeless. A "duplicate" is a slightly changed copy; it is one only if its source
is in the set too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from facegen.arrays import RGB
from facegen.media.images import read_image, resize, write_image

Rng = np.random.Generator


def focus(rgb: RGB, rng: Rng) -> RGB:
    """Out of focus: a disk with a diameter of 0.9 to 2.5 % of the side."""
    across = round(len(rgb) * rng.uniform(0.009, 0.025)) | 1
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (across, across)).astype(np.float32)
    return _filter(rgb, disk)


def motion(rgb: RGB, rng: Rng) -> RGB:
    """A shaken camera: a line of 2 to 6 % of the side, in any direction."""
    length = round(len(rgb) * rng.uniform(0.02, 0.06)) | 1
    line, angle = np.zeros((length, length), np.float32), rng.uniform(0, np.pi)
    reach = (length - 1) / 2 * np.array([np.cos(angle), np.sin(angle)])
    start, end = (tuple(np.rint((length - 1) / 2 + sign * reach).astype(int).tolist()) for sign in (-1, 1))
    cv2.line(line, start, end, 1.0)
    return _filter(rgb, line)


def dark(rgb: RGB, rng: Rng) -> RGB:
    """Far too dark: 8 to 25 % of the light, with noise."""
    return _picture(rgb * rng.uniform(0.08, 0.25) + rng.normal(0, 1.5, rgb.shape))


def blown(rgb: RGB, rng: Rng) -> RGB:
    """Overexposed: 1.9 to 3 times the light."""
    return _picture(rgb * rng.uniform(1.9, 3.0))


def jpeg(rgb: RGB, rng: Rng) -> RGB:
    """Strong JPEG compression at 50 to 100 % of the size, enlarged again."""
    side = round(len(rgb) * rng.uniform(0.5, 1))
    quality = int(rng.integers(5, 16))
    return resize(_coded(resize(rgb, (side, side)), quality), (len(rgb), len(rgb)))


def noise(rgb: RGB, rng: Rng) -> RGB:
    """Grain of 18 to 50 8-bit steps, of one to two pixels, in colour or grey."""
    side = round(len(rgb) / rng.uniform(1, 2))
    grain = rng.normal(0, rng.uniform(18, 50), (side, side, int(rng.choice([1, 3])))).astype(np.float32)
    enlarged = cv2.resize(grain, (len(rgb), len(rgb)), interpolation=cv2.INTER_LINEAR)
    return _picture(rgb + enlarged.reshape(*rgb.shape[:2], -1))


def halftone(rgb: RGB, rng: Rng) -> RGB:
    """Printed: a screen of dots 0.65 to 1.4 % of the side apart, in black, or in colours at different angles."""
    period, colours = len(rgb) * rng.uniform(0.0065, 0.014), bool(rng.integers(2))
    angles = np.radians((15, 75, 0) if colours else (45, 45, 45))
    source = rgb if colours else np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    y, x = np.mgrid[: len(rgb), : len(rgb)] * (2 * np.pi / period)
    waves = [np.cos(x * np.cos(a) + y * np.sin(a)) + np.cos(y * np.cos(a) - x * np.sin(a)) for a in angles]
    dots = 127.5 + (source.astype(np.float32) - 127.5 - 60 * np.stack(waves, axis=-1)) * rng.uniform(1.5, 4)
    return _picture(cv2.GaussianBlur(dots.clip(0, 255), (0, 0), 0.8))


def moire(rgb: RGB, rng: Rng) -> RGB:
    """Photographed from a screen: two fine gratings that interfere."""
    y, x = np.mgrid[: len(rgb), : len(rgb)].astype(np.float32)
    total = np.zeros(rgb.shape[:2], np.float32)
    for _ in range(2):
        period, angle = len(rgb) * rng.uniform(0.005, 0.012), rng.uniform(0, np.pi)
        total += np.sin((x * np.cos(angle) + y * np.sin(angle)) * (2 * np.pi / period))
    return _picture(rgb * (1 + rng.uniform(0.12, 0.3) * total[..., None]))


def cartoon(rgb: RGB, rng: Rng) -> RGB:
    """Flat colours with black outlines."""
    flat = _bilateral(rgb, 6)
    levels = int(rng.integers(5, 9))
    flat = ((flat // (256 // levels)) * (256 // levels) + 128 // levels).astype(np.uint8)
    grey = cv2.medianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), 7)
    lines = cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 13, 5)
    return np.asarray(cv2.bitwise_and(flat, flat, mask=lines), dtype=np.uint8)


def pencil(rgb: RGB, rng: Rng) -> RGB:
    """A pencil drawing, in grey or in colour."""
    sigma = float(rng.uniform(20, 80))
    grey, colour = cv2.pencilSketch(_bgr(rgb), sigma_s=sigma, sigma_r=0.07, shade_factor=0.04)
    return np.repeat(grey[..., None], 3, axis=2) if rng.integers(2) else _bgr(np.asarray(colour, dtype=np.uint8))


def painting(rgb: RGB, rng: Rng) -> RGB:
    """A painting: broad strokes by an edge-preserving filter, or dabs of the surrounding median colour."""
    if rng.integers(2):
        return _bgr(np.asarray(cv2.stylization(_bgr(rgb), sigma_s=60, sigma_r=float(rng.uniform(0.3, 0.6)))))
    small = _bilateral(resize(rgb, (256, 256)), 3)
    dabs = np.rint(small / 24) * 24
    for _ in range(2):
        dabs = cv2.medianBlur(_picture(dabs), 7)
    enlarged = cv2.resize(dabs, (len(rgb), len(rgb)), interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.medianBlur(enlarged, 5), dtype=np.uint8)


def grey(rgb: RGB, rng: Rng) -> RGB:
    """Black and white, or brown like an old print."""
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    tone = np.ones(3) if rng.integers(2) else np.array([1.08, 0.95, rng.uniform(0.65, 0.8)])
    return _picture(luma * tone)


def tint(rgb: RGB, rng: Rng) -> RGB:
    """A strong cast of coloured light."""
    cast = np.array([(0.45, 1.1, 0.5), (0.4, 0.7, 1.4), (1.2, 0.4, 1.2), (1.3, 1.1, 0.25), (1.4, 0.35, 0.35)])
    weight = rng.uniform(0.75, 1)
    return _picture(rgb * (weight * cast[rng.integers(len(cast))] + 1 - weight))


def cover_eyes(rgb: RGB, rng: Rng) -> RGB:
    """Sunglasses or another object over the eyes of an aligned face."""
    if rng.integers(2):
        return _sunglasses(rgb, rng)
    box = np.array([[0.26, 0.40], [0.74, 0.40], [0.74, 0.54], [0.26, 0.54]]) + rng.uniform(-0.03, 0.03, (4, 2))
    return _patch(rgb, box * len(rgb), rng)


def cover_mouth(rgb: RGB, rng: Rng) -> RGB:
    """A mask, or an object held in front of the mouth of an aligned face."""
    mask = [[0.27, 0.60], [0.5, 0.56], [0.73, 0.60], [0.71, 0.76], [0.5, 0.90], [0.29, 0.76]]
    held = [[0.36, 0.66], [0.66, 0.64], [0.68, 0.84], [0.34, 0.86]]
    shape = np.array(mask if rng.integers(2) else held)
    return _patch(rgb, (shape + rng.uniform(-0.02, 0.02, shape.shape)) * len(rgb), rng)


def wrong_place(rgb: RGB, rng: Rng) -> RGB:
    """A bad crop: shifted, rotated, too wide or too tight."""
    side, kind = len(rgb), rng.integers(4)
    angle = float(rng.choice([-1, 1]) * rng.uniform(25, 180)) if kind == 0 else 0.0
    scale = float(rng.uniform(0.35, 0.6)) if kind == 1 else float(rng.uniform(1.6, 2.2)) if kind == 2 else 1.0
    matrix = np.asarray(cv2.getRotationMatrix2D((side / 2, side / 2), angle, scale), dtype=np.float64)
    if kind == 3:
        direction = rng.uniform(0, 2 * np.pi)
        matrix[:, 2] += np.array([np.cos(direction), np.sin(direction)]) * side * rng.uniform(0.18, 0.45)
    return np.asarray(cv2.warpAffine(rgb, matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101), dtype=np.uint8)


def two_faces(rgb: RGB, rng: Rng) -> RGB:
    """Two heads of the same size in one crop (the same head twice, once mirrored)."""
    side = len(rgb)
    half = resize(rgb, (side // 2, side // 2))
    canvas = cv2.GaussianBlur(rgb, (0, 0), side / 20)
    top = int(rng.integers(0, side // 2))
    canvas[top : top + side // 2, : side // 2] = half
    canvas[top : top + side // 2, side - side // 2 :] = half[:, ::-1]
    return np.asarray(canvas, dtype=np.uint8)


def text(rgb: RGB, rng: Rng) -> RGB:
    """A caption, or a watermark all over the picture."""
    side, layer, white = len(rgb), rgb.copy(), (255, 255, 255)
    font = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX]))
    texts = ["STOCK PHOTO", "example.com", "SAMPLE", "(c) 2016 Agency", "BREAKING NEWS", "preview only"]
    words = str(rng.choice(texts))
    if rng.integers(2):
        size, start = side / 768 * float(rng.uniform(1.0, 2.0)), (side // 20, int(side * rng.choice([0.08, 0.95])))
        for colour, width in (((0, 0, 0), 8), (white, 3)):
            cv2.putText(layer, words, start, font, size, colour, width, cv2.LINE_AA)
        return layer
    size = side / 768 * float(rng.uniform(0.9, 1.6))
    for row, y in enumerate(range(side // 12, side, side // 6)):
        for x in range(-(row % 2) * side // 5, side, int(side * 0.5)):
            cv2.putText(layer, words, (x, y), font, size, white, 2, cv2.LINE_AA)
    weight = rng.uniform(0.45, 0.8)
    return _picture(weight * layer.astype(np.float32) + (1 - weight) * rgb)


def duplicate(rgb: RGB, rng: Rng) -> RGB:
    """The same picture again, slightly moved, scaled and lighter or darker, and saved as JPEG."""
    side = len(rgb)
    turn, zoom = rng.uniform(-2, 2), rng.uniform(0.97, 1.03)
    matrix = np.asarray(cv2.getRotationMatrix2D((side / 2, side / 2), turn, zoom), dtype=np.float64)
    matrix[:, 2] += rng.uniform(-0.01, 0.01, 2) * side
    moved = cv2.warpAffine(rgb, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return _coded(_picture(moved * rng.uniform(0.9, 1.1) + rng.uniform(-8, 8)), int(rng.integers(80, 95)))


KINDS: dict[str, Callable[[RGB, Rng], RGB]] = {
    function.__name__: function
    for function in (
        focus, motion, dark, blown, jpeg, noise, halftone, moire, cartoon, pencil, painting, grey, tint, cover_eyes,
        cover_mouth, wrong_place, two_faces, text, duplicate,
    )
}  # fmt: skip
"""Every way to spoil a picture: (rgb, rng) -> rgb of the same size."""


def spoil(files: Sequence[Path], out: Path) -> list[str]:
    """Spoil each file into a folder, all kinds equally often; returns the new files' names."""
    rng, names = np.random.default_rng(0), []
    for number, index in enumerate(track(rng.permutation(len(files)).tolist(), "spoiling")):
        kind, file = list(KINDS)[number % len(KINDS)], files[index]
        names.append(f"spoiled-{kind}-{file.name}.png")
        write_image(out / names[-1], np.ascontiguousarray(KINDS[kind](read_image(file).rgb, rng)))
    return names


def kind_of(name: str) -> str:
    """The kind of spoiling, from a file's name; "" for a clean picture."""
    return name.split("-")[1] if name.startswith("spoiled-") else ""


def source_name(name: str) -> str:
    """The name of the clean picture that a spoiled one was made from."""
    return name.split("-", 2)[2].removesuffix(".png")


def _sunglasses(rgb: RGB, rng: Rng) -> RGB:
    """Two dark lenses, a bridge, and a slight blur for the reflections."""
    side, layer = len(rgb), rgb.copy()
    shade = int(rng.integers(5, 45))
    axes = (round(side * rng.uniform(0.095, 0.12)), round(side * rng.uniform(0.07, 0.09)))
    colour = (shade, shade, shade + 8)
    for x in (0.385, 0.615):
        cv2.ellipse(layer, (round(side * x), round(side * 0.475)), axes, 0, 0, 360, colour, -1, cv2.LINE_AA)
    start, end = (round(side * 0.46), round(side * 0.46)), (round(side * 0.54), round(side * 0.46))
    cv2.line(layer, start, end, (shade,) * 3, side // 60)
    sky = cv2.GaussianBlur(layer, (0, 0), side / 90)
    return _picture(0.9 * layer.astype(np.float32) + 0.1 * sky)


def _patch(rgb: RGB, polygon: NDArray[np.float64], rng: Rng) -> RGB:
    """Cover a polygon by one colour, by the forehead's colour with folds, or by another part of the picture."""
    side, mask = len(rgb), np.zeros(rgb.shape[:2], np.float32)
    cv2.fillPoly(mask, [np.rint(polygon).astype(np.int32)], 1.0, cv2.LINE_AA)
    share = np.asarray(cv2.GaussianBlur(mask, (0, 0), side / 400))[..., None]
    kind = rng.integers(3)
    if kind == 0:
        cover = np.full(rgb.shape, rng.integers(0, 256, 3), np.float32) + rng.normal(0, 3, rgb.shape)
    elif kind == 1:
        skin = rgb[round(side * 0.28) : round(side * 0.36), round(side * 0.4) : round(side * 0.6)].mean(axis=(0, 1))
        folds = cv2.GaussianBlur(rng.normal(0, 1, rgb.shape[:2]), (0, 0), side / 40)
        cover = skin * rng.uniform(0.7, 1.05) + 14 * (folds / folds.std())[..., None]
    else:
        cover = np.roll(rgb, side // 2 + int(rng.integers(-side // 8, side // 8)), axis=0)[:, ::-1].astype(np.float32)
    return _picture(share * cover + (1 - share) * rgb)


def _bilateral(rgb: RGB, times: int) -> RGB:
    for _ in range(times):
        rgb = np.asarray(cv2.bilateralFilter(rgb, 9, 30, 9), dtype=np.uint8)
    return rgb


def _coded(rgb: RGB, quality: int) -> RGB:
    """Encode as a JPEG of this quality, and decode."""
    _, content = cv2.imencode(".jpg", _bgr(rgb), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return _bgr(np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), dtype=np.uint8))


def _filter(rgb: RGB, kernel: NDArray[np.float32]) -> RGB:
    return np.asarray(cv2.filter2D(rgb, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101), dtype=np.uint8)


def _picture(values: NDArray[np.floating]) -> RGB:
    return np.asarray(np.rint(np.clip(values, 0, 255)), dtype=np.uint8)


def _bgr(rgb: RGB) -> RGB:
    return np.ascontiguousarray(rgb[..., ::-1])
