"""What is fainter than an 8-bit step is evened out; what is stronger stays."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from facegen.errors import ShapeError, UsageError
from facegen.ops.calming import REACH, calm
from facegen.ops.luma import luma

STEP = 1 / 255


def grey(value: float = 0.5, *, noise: float = 0.0) -> Tensor:
    """(3, 32, 32), with noise of so many steps to each side, the same in all channels."""
    rng = torch.Generator().manual_seed(0)
    return value + noise * STEP * (2 * torch.rand(1, 32, 32, generator=rng) - 1).expand(3, -1, -1)


def test_faint_noise_goes_and_the_mean_stays() -> None:
    noisy = grey(noise=0.3)
    calmed = calm(noisy)
    assert calmed.std() < 0.4 * noisy.std()
    assert calmed.mean() == pytest.approx(noisy.mean().item(), abs=0.02 * STEP)


def test_edges_and_strong_detail_stay() -> None:
    stripes = grey()
    stripes[:, :, ::3] += 1.01 * STEP
    torch.testing.assert_close(calm(stripes), stripes)


def test_one_step_up_is_no_slope_but_half_a_step_is() -> None:
    for height, widened in ((1.01, 0), (0.5, 2 * REACH)):
        edge = grey()
        edge[:, :, 16:] += height * STEP
        moved = (calm(edge) - edge).abs().amax(dim=(0, 1)) > 0.01 * STEP
        assert int(moved.sum()) == widened


def test_only_the_luma_moves(rng: torch.Generator) -> None:
    image = 0.5 + 0.5 * STEP * torch.rand(3, 16, 16, generator=rng)
    calmed = calm(image)
    assert not torch.allclose(calmed, image, atol=0.01 * STEP)
    torch.testing.assert_close(calmed - luma(calmed), image - luma(image), atol=1e-6, rtol=0)


def test_a_larger_step_calms_more() -> None:
    noisy = grey(noise=1.0)
    spread = [calm(noisy, step).std().item() for step in (0, 0.5, 1, 2, 4)]
    assert spread == sorted(spread, reverse=True)
    assert torch.equal(calm(noisy, 0), noisy)


def test_the_range_is_kept() -> None:
    for end in (0.0, 1.0):
        assert torch.equal(calm(grey(end)), grey(end))


def test_bad_input_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"calm: image has shape \(1, 8, 8\), expected \(3, H, W\)"):
        calm(torch.zeros(1, 8, 8))
    with pytest.raises(UsageError, match="calm: step is -1, expected 0"):
        calm(torch.zeros(3, 8, 8), -1)
