"""Pictures to tensors and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facegen.arrays import to_rgb, to_tensor


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 5, 3), (4, 2, 7), (3, 3, 0)])
def test_there_and_back(shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    image = to_tensor(picture)
    assert (image.shape, image.dtype) == ((shape[2], shape[0], shape[1]), torch.float32)
    assert np.array_equal(to_rgb(image), picture)


def test_views_are_taken() -> None:
    picture = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)[::-1, ::-1]
    assert np.array_equal(to_rgb(to_tensor(picture)), picture)


def test_values_are_clamped_and_rounded_to_nearest() -> None:
    image = torch.tensor([-1.0, 0.0, 0.4 / 255, 0.6 / 255, 254.6 / 255, 1.0, 2.0])[None, None]
    assert to_rgb(image)[0, :, 0].tolist() == [0, 0, 0, 1, 255, 255, 255]


def test_bfloat16_and_results_of_inference_mode() -> None:
    with torch.inference_mode():
        image = torch.ones(3, 2, 2, dtype=torch.bfloat16)
    assert to_rgb(image).tolist() == [[[255] * 3] * 2] * 2
