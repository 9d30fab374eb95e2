"""Photos: heads found, upscaled and pasted back; the rest enlarged; all of it the photo again when shrunk."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from facegen import photo
from facegen.arrays import RGB, eight_bits, to_tensor
from facegen.candidates import Upscaled
from facegen.errors import ShapeError, UsageError
from facegen.faces.align import HeadFrame, head_frame
from facegen.faces.detect import FoundHead, heads_in_photo
from facegen.media.images import resize
from facegen.ops.consistency import downsample_area, low_res_psnr
from facegen.photo import PhotoOptions, restore_face, restore_photo, upscale_aligned
from facegen.pipeline import FacePipeline
from tests import tiny
from tests.test_canvas import shrunk_error

LANCZOS = PhotoOptions(background="lanczos")


@pytest.fixture(scope="module")
def pipeline(recipe: Path) -> FacePipeline:
    return FacePipeline.load(recipe, ["candidates.variants=[]"])


@pytest.fixture(scope="module")
def portrait(astronaut: RGB) -> RGB:
    """(200, 190, 3): the astronaut's head, 173 px with its surroundings, and some of what is behind."""
    return np.ascontiguousarray(astronaut[20:220, 130:320])


@pytest.fixture(scope="module")
def small(astronaut: RGB) -> RGB:
    """(128, 128, 3): the astronaut with a face of 23 px."""
    return resize(astronaut, (128, 128))


def distance(frame: HeadFrame, height: int, width: int) -> NDArray[np.float64]:
    """(H, W): how far each pixel of a photo lies outside a head's frame, in pixels; negative inside."""
    y, x = np.mgrid[:height, :width] + 0.5
    offset = np.stack([x - frame.center[0], y - frame.center[1]], axis=-1)
    along = [np.abs(offset @ np.array(axis)) / np.hypot(*axis) for axis in (frame.right, frame.down)]
    return np.asarray(np.maximum(*along) - frame.side / 2)


def softened(rgb: RGB) -> RGB:
    """Blurred, so that it lacks detail below 2 x 2 pixels."""
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), 2), dtype=np.uint8)


# --- back-projection


@pytest.mark.parametrize(("scale", "background"), [(2, "tiles"), (3, "lanczos"), (4, "lanczos")])
def test_shrunk_it_is_the_photo_again(
    pipeline: FacePipeline, portrait: RGB, scale: int, background: photo.Background
) -> None:
    """Everywhere, within 1/255: in the head, across its soft edge, and around."""
    done = restore_photo(pipeline, portrait, PhotoOptions(scale=scale, background=background))
    assert done.rgb.shape == (200 * scale, 190 * scale, 3)
    assert (done.scale, done.upscaled, done.left) == (scale, 1, 0)
    assert shrunk_error(done.rgb, portrait) <= 1
    assert done.fit == pytest.approx(low_res_psnr(to_tensor(done.rgb), to_tensor(portrait)), abs=0.1)
    assert done.fit > 50


def test_black_white_and_saturated_photos_too(pipeline: FacePipeline, portrait: RGB) -> None:
    harsh = ((portrait.astype(int) - 128) * 4 + 128).clip(0, 255).astype(np.uint8)
    assert shrunk_error(restore_photo(pipeline, harsh, PhotoOptions(scale=2, background="lanczos")).rgb, harsh) <= 1


def test_fidelity_loosens_it(recipe: Path, portrait: RGB) -> None:
    fits = []
    for fidelity in (0, 0.5, 1):
        loose = FacePipeline.load(recipe, ["candidates.variants=[]", f"fidelity={fidelity}"])
        fits.append(restore_photo(loose, portrait, PhotoOptions(scale=2, background="lanczos")).fit)
    assert fits[0] < fits[1] < fits[2]


def test_the_networks_are_in_the_head_and_the_background(pipeline: FacePipeline, portrait: RGB) -> None:
    [head] = heads_in_photo(portrait)
    outside = distance(head.frame, 200, 190).repeat(2, 0).repeat(2, 1)
    nothing, heads, tiles = (
        restore_photo(pipeline, portrait, options).rgb.astype(int)
        for options in (
            PhotoOptions(scale=2, background="lanczos", face_size_min=999),
            PhotoOptions(scale=2, background="lanczos"),
            PhotoOptions(scale=2, background="tiles", face_size_min=999),
        )
    )
    assert np.abs(heads - nothing)[outside < -30].mean() > 0.5
    assert np.abs(heads - nothing)[outside > 8].max() <= 1
    assert np.abs(tiles - nothing)[outside > 8].mean() > 0.5


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_without_a_face_all_of_it_is_background(pipeline: FacePipeline, cat: RGB, scale: int) -> None:
    done = restore_photo(pipeline, cat, PhotoOptions(scale=scale))
    assert (done.upscaled, done.left, done.scale, done.heads, done.seams) == (0, 0, scale, (), None)
    assert done.rgb.shape == (150 * scale, 101 * scale, 3)
    assert shrunk_error(done.rgb, cat) <= 1


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 1), (31, 33), (10, 300), (300, 10)])
@pytest.mark.parametrize("options", [PhotoOptions(scale=3), LANCZOS, PhotoOptions(background="keep")])
def test_odd_shapes(pipeline: FacePipeline, width: int, height: int, options: PhotoOptions) -> None:
    rng = np.random.default_rng(0)
    picture = resize(
        rng.integers(60, 200, (max(height // 6, 1), max(width // 6, 1), 3), dtype=np.uint8), (width, height)
    )
    done = restore_photo(pipeline, picture, options)
    assert done.rgb.shape == (done.scale * height, done.scale * width, 3)
    assert shrunk_error(done.rgb, picture) <= 1


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(3000, 10), (10, 3000)])
def test_long_strips(pipeline: FacePipeline, width: int, height: int) -> None:
    test_odd_shapes(pipeline, width, height, PhotoOptions())


# --- the scale


def test_scale_is_chosen_for_the_largest_head(pipeline: FacePipeline, small: RGB) -> None:
    done = restore_photo(pipeline, small, LANCZOS)
    assert done.scale == 8
    assert done.rgb.shape == (1024, 1024, 3)


def test_a_photo_too_large_is_refused_before_any_work(pipeline: FacePipeline) -> None:
    with pytest.raises(UsageError, match="over 400 megapixels"):
        restore_photo(pipeline, np.broadcast_to(np.uint8(0), (8000, 9000, 3)), PhotoOptions(scale=8))


@pytest.mark.parametrize(
    "photo",
    [np.zeros((0, 20, 3), np.uint8), np.zeros((20, 20, 3)), np.zeros((20, 20), np.uint8), Image.new("RGB", (20, 20))],
)
def test_what_is_not_a_photo_is_refused(pipeline: FacePipeline, photo: Any) -> None:
    for name, upscale in (("photo", restore_photo), ("head", upscale_aligned)):
        with pytest.raises(ShapeError, match=rf"{name} is .*, expected .*uint8 or uint16 \(H, W, 3\)"):
            upscale(pipeline, photo)


def test_a_mask_of_another_shape_is_refused(pipeline: FacePipeline, portrait: RGB) -> None:
    with pytest.raises(ShapeError, match=r"mask has shape \(3, 3\), expected the photo's, \(200, 190\)"):
        restore_photo(pipeline, portrait, PhotoOptions(scale=1), mask=np.zeros((3, 3), np.uint8))


def test_at_a_fractional_scale_seams_are_measured_where_the_tiles_were(pipeline: FacePipeline, portrait: RGB) -> None:
    """The result is made at the next whole scale, and shrunk: there the tiles' borders are, and there they count."""
    whole, part = (restore_photo(pipeline, portrait, PhotoOptions(scale=scale)) for scale in (2, 1.5))
    assert part.rgb.shape == (300, 285, 3)
    np.testing.assert_array_equal(part.rgb, resize(whole.rgb, (285, 300)))
    assert (part.seams, part.fit) == (whole.seams, whole.fit)


# --- 16 bits


@pytest.mark.parametrize(("scale", "background"), [(1, "keep"), (2, "tiles"), (3, "lanczos"), (1.5, "lanczos")])
def test_sixteen_bits_stay_sixteen(
    pipeline: FacePipeline, portrait: RGB, scale: float, background: photo.Background
) -> None:
    """The result is that of 8 bits, but finer: where those have two steps, it has hundreds."""
    ramp = np.linspace(0, 400, 190).astype(np.uint16)
    fine = softened(portrait).astype(np.uint16) * 256 + ramp[None, :, None]
    options = PhotoOptions(scale=scale, background=background)
    done = restore_photo(pipeline, fine, options)
    coarse = restore_photo(pipeline, eight_bits(fine), options)
    assert done.rgb.dtype == np.uint16
    assert done.upscaled == coarse.upscaled == 1
    assert np.abs(eight_bits(done.rgb).astype(int) - coarse.rgb).mean() < 0.7
    assert len(np.unique(done.rgb)) > 5000
    if scale in (2, 3):
        shrunk = downsample_area(to_tensor(done.rgb), (200, 190))
        assert float((shrunk - to_tensor(fine)).abs().max()) < 0.002
    if scale == 1:
        outside = distance(heads_in_photo(portrait)[0].frame, 200, 190) > 8
        assert outside.sum() > 1000
        np.testing.assert_array_equal(done.rgb[outside], fine[outside])


def test_a_dark_sky_gets_no_bands(pipeline: FacePipeline) -> None:
    """A ramp over one step of 8 bits: every column is lighter than the one before, or as light."""
    sky = np.broadcast_to(np.linspace(2000, 2257, 120).astype(np.uint16)[None, :, None], (64, 120, 3))
    made = restore_photo(pipeline, np.ascontiguousarray(sky), PhotoOptions(scale=2)).rgb[60, 8:-8, 0].astype(int)
    assert len(np.unique(made)) > 140
    assert np.diff(made).min() >= -1


# --- regions left alone


@pytest.mark.parametrize(("scale", "background"), [(1, "lanczos"), (2, "tiles"), (3, "lanczos")])
def test_what_is_masked_is_only_enlarged(
    pipeline: FacePipeline, portrait: RGB, scale: int, background: photo.Background
) -> None:
    portrait = softened(portrait)  # so that scale 1 has something to add
    mask = np.zeros(portrait.shape[:2], np.uint8)
    mask[:, :95] = 255  # the left half of the face
    options = PhotoOptions(scale=scale, background=background)
    free, done = (restore_photo(pipeline, portrait, options, mask=one).rgb.astype(int) for one in (None, mask))
    plain = restore_photo(pipeline, portrait, PhotoOptions(scale=scale, faces="0")).rgb.astype(int)
    edge = 95 * scale
    assert np.abs(done - plain)[:, : edge - 8 * scale].max() <= 1
    assert np.abs(done - free)[:, edge + 8 * scale :].max() <= 1
    assert np.abs(free - plain)[60 * scale : 140 * scale, 50 * scale : edge].mean() > 0.2
    assert shrunk_error(done.astype(np.uint8), portrait) <= (1 if scale > 1 else 255)


def test_a_head_masked_wholly_is_not_upscaled(pipeline: FacePipeline, pair: RGB) -> None:
    mask = np.zeros(pair.shape[:2], np.uint8)
    mask[:, 200:] = 255  # all of the smaller head
    done = restore_photo(pipeline, pair, PhotoOptions(scale=2), mask=mask)
    assert (done.upscaled, done.left) == (1, 1)


# --- scale 1: the photo keeps its size


@pytest.mark.parametrize("options", [PhotoOptions(background="keep"), PhotoOptions(scale=1)])
def test_kept_background_is_the_photos_own(pipeline: FacePipeline, portrait: RGB, options: PhotoOptions) -> None:
    portrait = softened(portrait)
    done = restore_photo(pipeline, portrait, options)
    [head] = heads_in_photo(portrait)
    outside = distance(head.frame, 200, 190)
    assert done.rgb.shape == portrait.shape
    assert (done.scale, done.upscaled) == (1, 1)
    assert np.array_equal(done.rgb[outside > 4], portrait[outside > 4])
    assert np.abs(done.rgb[outside < -20].astype(int) - portrait[outside < -20]).mean() > 0.2
    means = [rgb.reshape(100, 2, 95, 2, 3).mean(axis=(1, 3)) for rgb in (done.rgb, portrait)]
    assert np.abs(means[0] - means[1]).max() <= 1


def test_at_scale_one_pores_and_grain_are_kept_to_the_byte(pipeline: FacePipeline, portrait: RGB) -> None:
    """What the networks make is softer than this photo nearly everywhere; there the photo stays what it is."""
    grain = np.random.default_rng(0).integers(-25, 26, portrait.shape)
    sharp = (portrait.astype(int) // 2 + 64 + grain).astype(np.uint8)
    done = restore_photo(pipeline, sharp, PhotoOptions(background="keep"))
    assert (done.upscaled, done.left, done.sharp, done.large) == (0, 1, 1, 0)
    np.testing.assert_array_equal(done.rgb, sharp)


def test_at_scale_one_only_heads_that_lack_detail_are_upscaled(recipe: Path, head: RGB) -> None:
    pipeline = FacePipeline.load(recipe, ["head_side=256"])
    for side, upscaled in ((192, 0), (300, 1)):
        done = restore_photo(pipeline, resize(head, (side, side)), PhotoOptions(scale=1))
        assert (done.upscaled, done.sharp) == (upscaled, 1 - upscaled)


def test_at_scale_one_an_odd_edge_stays(pipeline: FacePipeline, portrait: RGB) -> None:
    odd = softened(np.ascontiguousarray(portrait[:151, 20:171]))  # the head reaches over the edges
    done = restore_photo(pipeline, odd, PhotoOptions(background="keep"))
    assert done.upscaled == 1
    assert (done.rgb[:150, :150] != odd[:150, :150]).any()
    np.testing.assert_array_equal(done.rgb[150], odd[150])
    np.testing.assert_array_equal(done.rgb[:, 150], odd[:, 150])


@pytest.mark.parametrize(("side", "upscaled"), [(100, True), (255, True), (256, True), (511, True), (512, False)])
def test_which_heads_have_room_for_detail_at_scale_one(
    pipeline: FacePipeline, astronaut: RGB, side: int, upscaled: bool
) -> None:
    frame = HeadFrame((250.0, 250.0), (side / 2, 0.0), (0.0, side / 2))
    called: list[tuple[int, int]] = []

    def note(head: Tensor, size: int) -> Upscaled:
        called.append((head.shape[-1], size))
        return pipeline(head[:, :32, :32], 256)

    assert (restore_face(pipeline, astronaut, frame, 1, note) is not None) == upscaled
    shown = math.ceil(side / 2)
    assert called == ([(shown, 8 * min(shown, pipeline.recipe.head_side))] if upscaled else [])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PhotoOptions(background="keep", scale=4), "background 'keep' goes with scale 1, not 4"),
        (lambda: PhotoOptions(scale=0), "scale is 0, expected at least 1"),
        (lambda: PhotoOptions(scale=math.nan), "scale is nan, expected at least 1"),
        (lambda: PhotoOptions(scale=math.inf), "scale is inf, expected at least 1"),
        (lambda: PhotoOptions(face_size_min=-1), "face_size_min is -1, expected 0 or more"),
        (lambda: PhotoOptions(background="lancsoz"), "background 'lancsoz'; did you mean 'lanczos'?"),  # type: ignore[arg-type]
        (lambda: PhotoOptions(faces="none"), "faces 'none'. Known: all, largest, numbers as in 1,3"),
        (lambda: PhotoOptions(faces="1,"), "faces '1,'. Known: all, largest"),
    ],
)
def test_options_out_of_range(make: Callable[[], PhotoOptions], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert message in str(caught.value)


# --- several heads


@pytest.fixture(scope="module")
def pair(portrait: RGB) -> RGB:
    """(220, 330, 3): a head of 173 px and one of 87 px."""
    picture = np.full((220, 330, 3), 100, np.uint8)
    picture[10:210, :190], picture[100:200, 220:315] = portrait, resize(portrait, (95, 100))
    return picture


@pytest.mark.parametrize(
    ("options", "upscaled", "left"),
    [
        (PhotoOptions(scale=2, background="lanczos"), 2, 0),
        (PhotoOptions(scale=2, background="lanczos", faces="largest"), 1, 1),
        (PhotoOptions(scale=2, background="lanczos", faces="2,9"), 1, 1),
        (PhotoOptions(scale=2, background="lanczos", faces="0"), 0, 2),
        (PhotoOptions(scale=2, background="lanczos", face_size_min=120), 1, 1),
        (PhotoOptions(scale=2, background="lanczos", face_size_min=500), 0, 2),
    ],
)
def test_which_heads_are_upscaled(
    pipeline: FacePipeline, pair: RGB, options: PhotoOptions, upscaled: int, left: int
) -> None:
    done = restore_photo(pipeline, pair, options)
    assert (done.upscaled, done.left, len(done.heads)) == (upscaled, left, upscaled)
    assert (done.seams is not None) == bool(upscaled)
    sides = [head.image.shape[-1] for head in done.heads]
    assert sides == sorted(sides, reverse=True)
    assert all(head.candidates.numel() == 0 for head in done.heads)
    assert shrunk_error(done.rgb, pair) <= 1


def test_of_heads_that_overlap_the_largest_lies_on_top(
    pipeline: FacePipeline, portrait: RGB, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(*sides: float) -> None:
        heads = [FoundHead(HeadFrame((95, 100), (side / 2, 0), (0, side / 2)), 0.9) for side in sides]
        monkeypatch.setattr(photo, "heads_in_photo", lambda rgb: heads)

    found(150)
    alone = restore_photo(pipeline, portrait, PhotoOptions(scale=2, background="lanczos")).rgb
    found(150, 60)
    both = restore_photo(pipeline, portrait, PhotoOptions(scale=2, background="lanczos"))
    assert both.upscaled == 2
    np.testing.assert_array_equal(both.rgb, alone)


def test_head_finer_than_what_can_be_made_is_left(recipe: Path, head: RGB) -> None:
    """A head of at least 8 times the recipe's `head_side` stays as it is, and is counted."""
    large = resize(head, (400, 400))
    done = restore_photo(FacePipeline.load(recipe, ["head_side=32"]), large, PhotoOptions(scale=1))
    assert (done.upscaled, done.left) == (0, 1)
    assert np.array_equal(done.rgb, large)


@pytest.mark.parametrize("scale", [2, 8])
def test_restore_face(recipe: Path, astronaut: RGB, scale: int) -> None:
    """From all that the photo shows of it."""
    pipeline = FacePipeline.load(recipe, ["candidates.variants=[]", "head_side=256"])
    [found] = heads_in_photo(astronaut)
    upscaled = restore_face(pipeline, astronaut, found.frame.scaled(172 / found.frame.side), scale, pipeline)
    assert upscaled is not None
    assert (upscaled.plan.height, upscaled.image.shape) == (172, (3, 172 * scale, 172 * scale))
    assert upscaled.candidates.numel() == 0
    assert upscaled.fit > 40
    assert upscaled.landmarks is not None
    assert upscaled.landmarks.detected


@pytest.mark.parametrize(
    ("head_side", "scale", "low", "side"),
    [(128, 2, 128, 512), (128, 4, 128, 1024), (128, 8, 128, 1024), (64, 2, 64, 512)],
)
def test_restore_face_from_no_more_than_the_recipe_says(
    recipe: Path, astronaut: RGB, head_side: int, scale: int, low: int, side: int
) -> None:
    """A head of 173 px: shrunk to `low`, upscaled 8 times, and shrunk to the next half or quarter that is enough."""
    [found] = heads_in_photo(astronaut)
    pipeline = FacePipeline.load(recipe, [f"head_side={head_side}"])
    upscaled = restore_face(pipeline, astronaut, found.frame, scale, pipeline)
    assert upscaled is not None
    assert (upscaled.plan.height, upscaled.image.shape[-1]) == (low, side)
    assert upscaled.fit > 40


def test_head_at_the_border(pipeline: FacePipeline, astronaut: RGB) -> None:
    """The frame reaches beyond the picture; no dark edges."""
    cut = np.ascontiguousarray(astronaut[60:190, 165:295])
    done = restore_photo(pipeline, cut, PhotoOptions(scale=2, background="lanczos"))
    assert done.upscaled == 1
    edges = np.abs(done.rgb.astype(int) - resize(cut, (260, 260)))
    assert np.concatenate([edges[0], edges[-1], edges[:, 0], edges[:, -1]]).mean() < 12


def test_a_tilted_head_is_upscaled(pipeline: FacePipeline, astronaut: RGB) -> None:
    matrix = cv2.getRotationMatrix2D((220, 150), 40, 1)
    tilted = np.asarray(cv2.warpAffine(astronaut, matrix, (400, 300), borderMode=cv2.BORDER_REFLECT), np.uint8)
    done = restore_photo(pipeline, tilted, PhotoOptions(scale=2, background="lanczos", faces="largest"))
    assert done.upscaled == 1
    points = done.heads[0].landmarks
    assert points is not None
    assert abs(head_frame(points.points).right[1]) < 2  # the head was upscaled standing upright
    assert shrunk_error(done.rgb, tilted) <= 1


# --- crops


@pytest.mark.parametrize("side", [16, 96, 200, 768])
@pytest.mark.parametrize("size", [300, 768])
def test_upscale_aligned(pipeline: FacePipeline, head: RGB, side: int, size: int) -> None:
    crop = resize(head, (side, side))
    done = upscale_aligned(pipeline, crop, size)
    upscaled = done.rgb
    assert done.upscaled.candidates.shape[0] == 0
    assert upscaled.shape == (size, size, 3)
    if size == 768 and side >= 96:
        assert low_res_psnr(to_tensor(upscaled), downsample_area(to_tensor(crop), (96, 96))) >= 38
    if size == side:
        assert np.abs(upscaled.astype(int) - crop).max() <= 2


# --- memory and chance


def test_restoring_draws_on_no_global_randomness(pipeline: FacePipeline, small: RGB) -> None:
    before = torch.get_rng_state()
    options = PhotoOptions(scale=2)
    first = restore_photo(pipeline, small, options).rgb
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(1)
    assert np.array_equal(restore_photo(pipeline, small, options).rgb, first)


PEAK = """
import resource, sys
import numpy as np, skimage.data
from pathlib import Path
from typing import Any
from facegen.photo import PhotoOptions, restore_photo
from facegen.pipeline import FacePipeline
recipe, megapixels, scale, background = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
pipeline = FacePipeline.load(recipe, ["candidates.variants=[]"])
tile = np.asarray(skimage.data.coffee(), dtype=np.uint8)
side = round((megapixels * 1e6) ** 0.5)
photo = np.empty((side, side, 3), np.uint8)
for top in range(0, side, 400):
    for left in range(0, side, 600):
        place = photo[top : top + 400, left : left + 600]
        place[:] = tile[: place.shape[0], : place.shape[1]]
photo[:512, :512] = skimage.data.astronaut()
done = restore_photo(pipeline, photo, PhotoOptions(scale=scale, background=background))
assert done.rgb.shape == (scale * side, scale * side, 3) and done.upscaled == 1, done
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def peak(recipe: Path, megapixels: int, scale: int, background: str) -> float:
    """Largest resident memory, in MiB, of a process that restores a photo of so many megapixels."""
    command = [sys.executable, "-c", PEAK, str(recipe), str(megapixels), str(scale), background]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss is in KiB on Linux")
def test_memory_grows_by_the_photo_alone(recipe: Path) -> None:
    """A result of 96 megapixels, 288 MB, lies in a file: beyond the photo itself, what is added is strips."""
    little, much = peak(recipe, 8, 2, "lanczos"), peak(recipe, 24, 2, "lanczos")
    assert much - little < 16 * 3 + 100


# --- grain


def test_a_cleaned_head_gets_the_grain_around_it(recipe: Path, tmp_path: Path, head: RGB) -> None:
    folder = tiny.save(tmp_path, tiny.upscaler(in_channels=7, strength=True), "rgb")
    rgb = np.full((240, 240, 3), 128, np.uint8)
    rgb[56:184, 56:184] = resize(head, (128, 128))
    grain = np.random.default_rng(0).normal(0, 8, (240, 240, 1))
    rgb = np.asarray((rgb + grain).clip(0, 255), np.uint8)

    def restored(share: float, background: photo.Background = "lanczos") -> NDArray[np.float64]:
        overrides = [f'weights.upscaler="{folder}"', "candidates.variants=[]", "strength=0.9", f"grain={share}"]
        done = restore_photo(FacePipeline.load(recipe, overrides), rgb, PhotoOptions(scale=2, background=background))
        assert [one.strength for one in done.heads] == [0.9]
        return done.rgb.astype(float)

    added = restored(1.0) - restored(0.0)
    assert 3 < added[140:340, 140:160].std() < 10  # near the head's border
    assert not added[:60].any()
    np.testing.assert_array_equal(restored(1.0, "tiles"), restored(0.0, "tiles"))
