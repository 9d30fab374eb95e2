"""Photos: faces found, raised and pasted back; the rest as it was, only larger."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from numpy.typing import NDArray

from facegen import photo
from facegen.align import HeadFrame, crop_head, head_frame
from facegen.errors import UsageError
from facegen.images import resize
from facegen.landmarks import faces_in_photo
from facegen.ops.consistency import downsample_area, low_res_psnr
from facegen.photo import crop_heads, photo_scale, raise_aligned, raise_head, raise_whole, restore
from facegen.pipeline import FacePipeline
from facegen.tensors import to_tensor
from tests import tiny

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> FacePipeline:
    return FacePipeline.load(tiny.save_all(tmp_path_factory.mktemp("weights")), ["candidates.variants=none"])


@pytest.fixture(scope="module")
def small(astronaut: Picture) -> Picture:
    """(128, 128, 3): the astronaut with a face of 23 px."""
    return resize(astronaut, (128, 128))


@pytest.fixture(scope="module")
def cat() -> Picture:
    """(300, 451, 3): a picture without a human face."""
    return np.asarray(skimage.data.chelsea(), dtype=np.uint8)  # type: ignore[no-untyped-call]


def touched(frame: HeadFrame, scale: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(H, W): which pixels of the enlarged photo lie in the head's frame, or within a pixel of it."""
    height, width = shape[:2]
    y, x = np.mgrid[:height, :width] + 0.5
    offset = np.stack([x - frame.center[0] * scale, y - frame.center[1] * scale], axis=-1)
    reach = frame.side / 2 * scale + 1
    along = [np.abs(offset @ np.array(axis)) / np.hypot(*axis) for axis in (frame.right, frame.down)]
    return np.asarray((along[0] <= reach) & (along[1] <= reach))


def shrunk_psnr(result: Picture, original: Picture) -> float:
    return low_res_psnr(to_tensor(result), to_tensor(original))


# --- with a face


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_only_the_heads_frame_differs_from_the_enlarged_photo(
    pipeline: FacePipeline, astronaut: Picture, scale: int
) -> None:
    done = restore(pipeline, astronaut, scale)
    [face] = faces_in_photo(astronaut)
    inside = touched(head_frame(face.points), scale, done.rgb.shape)
    enlarged = resize(astronaut, (512 * scale, 512 * scale))
    assert done.rgb.shape == (512 * scale, 512 * scale, 3)
    assert (done.scale, done.raised, done.left) == (scale, 1, 0)
    assert np.array_equal(done.rgb[~inside], enlarged[~inside])
    assert (done.rgb[inside] != enlarged[inside]).mean() > 0.3


def test_scale_is_chosen_for_the_largest_head(pipeline: FacePipeline, astronaut: Picture) -> None:
    [face] = faces_in_photo(astronaut)
    done = restore(pipeline, astronaut)
    assert done.scale == photo_scale([head_frame(face.points)]) == 5
    assert done.rgb.shape == (2560, 2560, 3)


@pytest.mark.parametrize(("sides", "scale"), [([], 4), ([2000], 2), ([768], 2), ([300, 20], 3), ([100], 8), ([9], 8)])
def test_photo_scale(sides: list[float], scale: int) -> None:
    assert photo_scale([HeadFrame((0, 0), (side / 2, 0), (0, side / 2)) for side in sides]) == scale


def test_small_photo(pipeline: FacePipeline, small: Picture) -> None:
    done = restore(pipeline, small)
    assert done.rgb.shape == (1024, 1024, 3)
    assert (done.raised, done.left) == (1, 0)
    assert shrunk_psnr(done.rgb, small) > 30


@pytest.mark.parametrize("scale", [2, 4, 7])
def test_the_raised_head_is_held_to_all_that_the_photo_shows(
    pipeline: FacePipeline, astronaut: Picture, scale: int
) -> None:
    """A head of 173 px, more than the low-res side: it and the whole photo shrink back to the photo."""
    [face] = faces_in_photo(astronaut)
    frame = head_frame(face.points)
    side = round(frame.side)
    raised = raise_head(pipeline, astronaut, frame, scale)
    assert raised is not None
    assert raised.shape == (side * scale, side * scale, 3)
    assert shrunk_psnr(raised, crop_head(astronaut, frame, side)) >= 40
    assert shrunk_psnr(restore(pipeline, astronaut, scale).rgb, astronaut) > 35


def test_two_faces(pipeline: FacePipeline, astronaut: Picture) -> None:
    pair = np.concatenate([astronaut[:, 60:380], astronaut[:, 380:59:-1]], axis=1)
    done = restore(pipeline, pair, 2)
    assert done.raised == 2
    assert done.rgb.shape == (2 * pair.shape[0], 2 * pair.shape[1], 3)


def test_head_larger_than_what_can_be_made_is_left(pipeline: FacePipeline, head: Picture) -> None:
    """A head of over 1024 px stays as it is, and is counted."""
    portrait = resize(head, (1300, 1300))
    done = restore(pipeline, portrait, 1)
    assert (done.raised, done.left) == (0, 1)
    assert np.array_equal(done.rgb, portrait)


def test_head_at_the_border(pipeline: FacePipeline, astronaut: Picture) -> None:
    """The frame reaches beyond the picture."""
    cut = np.ascontiguousarray(astronaut[60:190, 165:295])
    done = restore(pipeline, cut, 2)
    assert done.raised == 1
    assert done.rgb.shape == (260, 260, 3)


# --- crops


@pytest.mark.parametrize("size", [100, 768])
def test_crop_heads(pipeline: FacePipeline, astronaut: Picture, size: int) -> None:
    [head] = crop_heads(pipeline, astronaut, size)
    [face] = faces_in_photo(astronaut)
    assert head.shape == (size, size, 3)
    original = crop_head(astronaut, head_frame(face.points), 96)
    assert shrunk_psnr(resize(head, (96, 96)), original) > 25


def test_no_heads_to_crop(pipeline: FacePipeline, cat: Picture) -> None:
    assert crop_heads(pipeline, cat) == []


@pytest.mark.parametrize("side", [16, 96, 200, 768])
@pytest.mark.parametrize("size", [300, 768])
def test_raise_aligned(pipeline: FacePipeline, head: Picture, side: int, size: int) -> None:
    crop = resize(head, (side, side))
    raised = raise_aligned(pipeline, crop, size)
    assert raised.shape == (size, size, 3)
    if size == 768 and side >= 96:
        assert low_res_psnr(to_tensor(raised), downsample_area(to_tensor(crop), (96, 96))) >= 38
    if size == side:
        assert np.abs(raised.astype(int) - crop).max() <= 2


# --- without a face


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 7])
def test_without_a_face_the_result_shrinks_back_to_the_photo(pipeline: FacePipeline, cat: Picture, scale: int) -> None:
    part = np.ascontiguousarray(cat[:150, :101])
    done = restore(pipeline, part, scale)
    assert (done.raised, done.left, done.scale) == (0, 0, scale)
    assert done.rgb.shape == (150 * scale, 101 * scale, 3)
    assert shrunk_psnr(done.rgb, part) >= 40


def test_photo_in_several_blocks(pipeline: FacePipeline, cat: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole and in small blocks: no seams, and still the photo when shrunk."""
    part = np.ascontiguousarray(cat[60:181, 100:261])
    whole = raise_whole(pipeline, part, 4)
    monkeypatch.setattr(photo, "BLOCK", 48)
    blocks = raise_whole(pipeline, part, 4)
    assert blocks.shape == whole.shape == (484, 644, 3)
    assert shrunk_psnr(blocks, part) >= 40
    assert np.abs(blocks.astype(int) - whole).mean() < 3


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 1), (31, 33), (10, 300), (300, 10)])
@pytest.mark.parametrize("scale", [None, 3])
def test_odd_shapes(pipeline: FacePipeline, width: int, height: int, scale: int | None) -> None:
    rng = np.random.default_rng(0)
    picture = resize(
        rng.integers(60, 200, (max(height // 6, 1), max(width // 6, 1), 3), dtype=np.uint8), (width, height)
    )
    done = restore(pipeline, picture, scale)
    factor = scale or 4
    assert done.rgb.shape == (factor * height, factor * width, 3)
    assert shrunk_psnr(done.rgb, picture) >= 40


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(3000, 10), (10, 3000)])
def test_long_strips(pipeline: FacePipeline, width: int, height: int) -> None:
    test_odd_shapes(pipeline, width, height, None)


def test_a_plain_picture_stays_plain(pipeline: FacePipeline) -> None:
    grey = np.full((70, 50, 3), 128, np.uint8)
    assert shrunk_psnr(restore(pipeline, grey, 4).rgb, grey) >= 45


# --- limits


@pytest.mark.parametrize("scale", [0, -1])
def test_scale_must_be_positive(pipeline: FacePipeline, small: Picture, scale: int) -> None:
    with pytest.raises(UsageError, match=f"scale is {scale}, expected at least 1"):
        restore(pipeline, small, scale)


def test_too_large(pipeline: FacePipeline) -> None:
    with pytest.raises(UsageError) as caught:
        restore(pipeline, np.zeros((2000, 3000, 3), np.uint8), 8)
    assert str(caught.value) == (
        "3000x2000 at --scale 8 would be 24000x16000, over 100 megapixels; "
        "choose a smaller --scale, or --crop for the heads alone."
    )


def test_restoring_draws_on_no_global_randomness(pipeline: FacePipeline, small: Picture) -> None:
    before = torch.get_rng_state()
    first = restore(pipeline, small, 2).rgb
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(1)
    assert np.array_equal(restore(pipeline, small, 2).rgb, first)


def test_astronaut_needs_no_download() -> None:
    assert (Path(skimage.data.__file__).parent / "astronaut.png").is_file()
