"""Flow finds known motion, and says where it cannot."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from facegen.arrays import RGB
from facegen.errors import ShapeError
from facegen.ops.flow import LEAST_SIDE, flow_between, resize_flow, trust, warp

INSIDE = (slice(24, -24), slice(24, -24))


def moved(picture: RGB, right: float, down: float) -> RGB:
    """The picture, its content shifted."""
    matrix = np.array([[1, 0, right], [0, 1, down]], dtype=np.float64)
    shifted = cv2.warpAffine(picture, matrix, picture.shape[1::-1], flags=4, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(shifted, dtype=np.uint8)


@pytest.mark.parametrize(("right", "down"), [(3.0, 0.0), (-1.5, 2.0), (0.0, 0.0)])
def test_a_shift_is_found(head: RGB, right: float, down: float) -> None:
    flow = flow_between(head, moved(head, right, down))
    assert flow.dtype == np.float32
    middle = np.median(flow[INSIDE].reshape(-1, 2), axis=0)
    np.testing.assert_allclose(middle, [-right, -down], atol=0.15)


def test_warping_along_the_flow_gives_the_later_picture(head: RGB) -> None:
    after = moved(head, 3, -2)
    warped = warp(head, flow_between(head, after))
    error = np.abs(warped.astype(float) - after)[INSIDE].mean()
    assert error < 0.15 * np.abs(head.astype(float) - after)[INSIDE].mean()


def test_no_flow_leaves_every_type_as_it_is(head: RGB) -> None:
    still = np.zeros((*head.shape[:2], 2), dtype=np.float32)
    assert np.array_equal(warp(head, still), head)
    plane = head[..., 0].astype(np.float32)
    assert np.array_equal(warp(plane, still), plane)


def test_lanczos_keeps_detail_over_many_warps() -> None:
    rough = np.random.default_rng(0).random((96, 96))
    noise = np.asarray(cv2.GaussianBlur(rough, (0, 0), 1), dtype=np.float32)
    there = np.full((96, 96, 2), 0.5, dtype=np.float32)
    lanczos, linear = noise, noise
    for turn in range(10):
        flow = there if turn % 2 else -there
        lanczos, linear = warp(lanczos, flow), warp(linear, flow, cv2.INTER_LINEAR)
    deviation = noise[INSIDE].std()
    assert lanczos[INSIDE].std() > 0.95 * deviation
    assert linear[INSIDE].std() < 0.8 * deviation


def test_flow_of_another_size_is_the_same_motion() -> None:
    flow = np.full((10, 20, 2), (1.0, 2.0), dtype=np.float32)
    resized = resize_flow(flow, (60, 20))
    assert resized.shape == (20, 60, 2)
    np.testing.assert_allclose(resized.reshape(-1, 2).mean(0), [3.0, 4.0], rtol=1e-6)


def test_trust_is_full_where_there_and_back_agree_and_none_outside() -> None:
    flow = np.full((40, 40, 2), (5.0, 0.0), dtype=np.float32)
    believed = trust(flow, -flow)
    assert (believed[:, :35] > 0.999).all()
    assert not believed[:, 36:].any()
    assert (trust(flow, flow) < 1e-6).all()


def test_trust_is_half_at_the_bound() -> None:
    still, back = np.zeros((8, 8, 2), dtype=np.float32), np.zeros((8, 8, 2), dtype=np.float32)
    back[..., 0] = np.sqrt(0.5 / 0.99)  # m^2 = 0.01 m^2 + 0.5
    np.testing.assert_allclose(trust(still, back)[:, :7], 0.5, rtol=1e-5)


def test_what_is_covered_is_not_trusted(head: RGB) -> None:
    after = moved(head, 2, 0)
    after[80:120, 80:120] = np.random.default_rng(0).integers(0, 255, (40, 40, 3))
    believed = trust(flow_between(head, after), flow_between(after, head))
    assert believed[84:116, 84:116].mean() < 0.5 * believed[INSIDE].mean()


def test_pictures_too_small_for_flow_stand_still() -> None:
    tiny = np.zeros((LEAST_SIDE - 1, 64, 3), dtype=np.uint8)
    assert not flow_between(tiny, tiny).any()
    least = np.zeros((LEAST_SIDE, LEAST_SIDE, 3), dtype=np.uint8)
    assert np.isfinite(flow_between(least, least)).all()


def test_threads_leave_no_trace(head: RGB) -> None:
    threads, after, found = cv2.getNumThreads(), moved(head, 2, 1), []
    try:
        for count in (1, 3):
            cv2.setNumThreads(count)
            found.append(flow_between(head, after).tobytes())
    finally:
        cv2.setNumThreads(threads)
    assert found[0] == found[1]


def test_sizes_must_agree(head: RGB) -> None:
    with pytest.raises(ShapeError, match=r"pictures have shapes \(192, 192, 3\) and \(96, 192, 3\)"):
        flow_between(head, head[::2])
    with pytest.raises(ShapeError, match="see resize_flow"):
        warp(head, np.zeros((4, 4, 2), dtype=np.float32))
