"""Detail is added where it is missing, and never taken away."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.errors import ShapeError
from facegen.ops.consistency import add_missing_detail, downsample_area


@pytest.fixture
def grainy(rng: torch.Generator) -> Tensor:
    """(3, 64, 80): a gradient with grain."""
    return torch.linspace(0.3, 0.7, 80).expand(3, 64, -1) + 0.05 * torch.randn(3, 64, 80, generator=rng)


def soft(image: Tensor) -> Tensor:
    return F.avg_pool2d(image[None], 9, stride=1, padding=4, count_include_pad=False)[0]


def grain(image: Tensor) -> float:
    return float(image.diff(dim=1).diff(dim=2).std())


def test_grain_is_kept_to_the_bit(grainy: Tensor) -> None:
    assert torch.equal(add_missing_detail(grainy, soft(grainy)), grainy)


def test_a_soft_picture_gets_detail_and_keeps_its_means(grainy: Tensor) -> None:
    picture = soft(grainy)
    done = add_missing_detail(picture, grainy)
    assert grain(done) > 0.8 * grain(grainy) > 5 * grain(picture)
    torch.testing.assert_close(*(downsample_area(x, (32, 40)) for x in (done, picture)), atol=1e-5, rtol=0)


def test_detail_is_added_where_it_is_missing(grainy: Tensor) -> None:
    picture = torch.cat([grainy[:, :, :40], soft(grainy)[:, :, 40:]], dim=2)
    finer = 0.5 * soft(grainy) + 0.5 * grainy
    done = add_missing_detail(picture, finer)
    assert torch.equal(done[:, :, :24], picture[:, :, :24])
    assert grain(done[:, :, 56:]) > 4 * grain(picture[:, :, 56:])


def test_where_nothing_was_raised_nothing_changes(grainy: Tensor) -> None:
    picture = soft(grainy)
    finer = picture.clone()
    finer[:, 20:40, 20:40] = grainy[:, 20:40, 20:40]
    done = add_missing_detail(picture, finer)
    done[:, 20:40, 20:40] = picture[:, 20:40, 20:40]
    assert torch.equal(done, picture)


@pytest.mark.parametrize(("size", "other"), [((63, 80), (63, 80)), ((64, 79), (64, 79)), ((64, 80), (64, 82))])
def test_sizes_that_do_not_fit(size: tuple[int, int], other: tuple[int, int]) -> None:
    with pytest.raises(ShapeError, match=r"add_missing_detail: shapes \(3, 6., .*expected the same \(3, 2h, 2w\)"):
        add_missing_detail(torch.zeros(3, *size), torch.zeros(3, *other))
