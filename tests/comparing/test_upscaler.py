"""One application, several, and the reduction after them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from facegen.comparing.upscaler import Upscaler
from facegen.errors import UsageError
from facegen.ops.consistency import downsample_area


def doubling(low_res: Tensor) -> Tensor:
    """Every pixel twice, and too bright for a picture."""
    return low_res.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2) * 4


@pytest.mark.parametrize(
    ("scale", "wanted", "passes", "steps"),
    [
        (8, 8, 1, "8x"),
        (4, 8, 2, "4x applied 2 times, reduced by area from 16x to 8x"),
        (2, 8, 3, "2x applied 3 times"),
        (8, 4, 1, "8x, reduced by area from 8x to 4x"),
        (3, 2, 1, "3x, reduced by area from 3x to 2x"),
    ],
)
def test_it_is_applied_until_the_picture_is_large_enough(scale: int, wanted: int, passes: int, steps: str) -> None:
    calls = []

    def enlarge(low_res: Tensor) -> Tensor:
        calls.append(tuple(low_res.shape))
        return low_res.repeat_interleave(scale, dim=-1).repeat_interleave(scale, dim=-2)

    low = torch.rand(3, 4, 5)
    upscaler = Upscaler("pixels", scale, enlarge, "blocks")
    upscaled = upscaler.upscale_to(low, wanted)
    assert upscaled.shape == (3, 4 * wanted, 5 * wanted)
    torch.testing.assert_close(downsample_area(upscaled, (4, 5)), low)  # blocks keep their means
    assert (len(calls), upscaler.passes(wanted), upscaler.steps(wanted)) == (passes, passes, steps)


def test_what_it_gives_is_a_picture() -> None:
    upscaled = Upscaler("bright", 2, doubling, "")(torch.full((3, 2, 2), 0.5))
    assert upscaled.shape == (3, 4, 4)
    assert upscaled.max() == 1


def test_one_that_does_not_enlarge_is_refused() -> None:
    with pytest.raises(UsageError, match="denoiser: makes pictures 1x as large, expected at least 2x"):
        Upscaler("denoiser", 1, doubling, "")
