"""A picture's histogram matched to another's."""

from __future__ import annotations

import pytest
import torch

from facegen.errors import ShapeError
from facegen.ops.color import match_histogram


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_quantiles_become_those_of_the_reference() -> None:
    picture, reference = noise(3, 40, 30) ** 3, noise(3, 20, 10, seed=1) * 0.5 + 0.2
    matched = match_histogram(picture, reference)
    assert matched.shape == picture.shape
    assert matched.dtype == torch.float32
    at = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95])
    for channel, theirs in zip(matched, reference, strict=True):
        torch.testing.assert_close(channel.quantile(at), theirs.quantile(at), atol=0.01, rtol=0)


def test_order_within_a_channel_is_kept() -> None:
    picture = noise(1, 12, 12)
    matched = match_histogram(picture, noise(1, 30, 30, seed=1) ** 2)
    order = picture.flatten().argsort()
    assert (matched.flatten()[order].diff() >= 0).all()


def test_picture_of_its_own_histogram_stays() -> None:
    picture = noise(3, 9, 11)
    torch.testing.assert_close(match_histogram(picture, picture), picture, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("ours", "theirs"), [((3, 8, 8), (1, 8, 8)), ((1, 3, 8, 8), (3, 8, 8)), ((3, 8, 8), (8, 8))])
def test_shapes_that_do_not_fit(ours: tuple[int, ...], theirs: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="match_histogram: picture has shape"):
        match_histogram(torch.zeros(ours), torch.zeros(theirs))
