"""Latents of seeds, what a rating passes over, and the encoder from faces back to latents."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from facegen.models.latents import (
    LEVELS,
    LOG_VARIANCE,
    EncoderConfig,
    LatentEncoder,
    LatentRating,
    RatingConfig,
    draw_latent,
)
from tests.models.checks import assert_every_parameter_learns, assert_rebuilt_from_card

Z_DIM = 8


@pytest.fixture
def rating() -> LatentRating:
    """A random rating that knows the levels of its own values."""
    torch.manual_seed(0)
    rating = LatentRating(RatingConfig(z_dim=Z_DIM, width=16)).eval()
    rating.learn_levels(torch.randn(20_000, Z_DIM))
    return rating


def test_the_worst_share_is_not_accepted(rating: LatentRating) -> None:
    z = torch.randn(2000, Z_DIM, generator=torch.Generator().manual_seed(1))
    accepted = torch.tensor([rating.accepts(one, 0.3) for one in z])
    assert accepted.float().mean() == pytest.approx(0.7, abs=0.03)
    with torch.no_grad():
        assert rating(z[accepted]).min() > rating(z[~accepted]).max()


def test_levels_are_the_quantiles(rating: LatentRating) -> None:
    with torch.no_grad():
        ratings = rating(torch.randn(20_000, Z_DIM))
    assert len(rating.levels) == LEVELS
    assert (ratings < rating.levels[20]).float().mean() == pytest.approx(0.2, abs=0.02)


def test_only_seeds_of_rejected_latents_change(rating: LatentRating) -> None:
    seeds = range(200)
    plain = [draw_latent(seed, Z_DIM, 1.5) for seed in seeds]
    chosen = [draw_latent(seed, Z_DIM, 1.5, rating, 0.25) for seed in seeds]
    changed = [not torch.equal(before, after) for before, after in zip(plain, chosen, strict=True)]
    assert sum(changed) == pytest.approx(50, abs=20)
    for before, after, moved in zip(plain, chosen, changed, strict=True):
        assert rating.accepts(after, 0.2)  # a little less, as it was rated before it was cut off
        assert rating.accepts(before, 0.2) or moved


def test_a_seed_has_one_face_at_every_truncation(rating: LatentRating) -> None:
    for seed in range(40):
        wide, narrow = (draw_latent(seed, Z_DIM, truncation, rating, 0.5) for truncation in (2.0, 0.3))
        assert torch.corrcoef(torch.stack([wide, narrow]))[0, 1] > 0.9
        assert narrow.abs().max() <= 0.6


def test_without_a_rating_or_a_share_nothing_is_passed_over(rating: LatentRating) -> None:
    for seed in range(20):
        plain = draw_latent(seed, Z_DIM, 1.0)
        assert torch.equal(plain, draw_latent(seed, Z_DIM, 1.0, rating, 0.0))
        assert torch.equal(plain, draw_latent(seed, Z_DIM, 1.0, None, 0.5))


def test_a_rating_that_likes_nothing_gives_the_last_latent(rating: LatentRating) -> None:
    rating.levels.fill_(torch.inf)
    assert draw_latent(3, Z_DIM, 1.0, rating, 0.5).shape == (Z_DIM,)


# --- the encoder ---

SMALL = EncoderConfig(z_dim=6, channels=(5, 7), width=8)


def encoder() -> LatentEncoder:
    torch.manual_seed(0)
    return LatentEncoder(SMALL)


def inputs(count: int = 2) -> tuple[Tensor, list[Tensor]]:
    rng = torch.Generator().manual_seed(1)
    shapes = ((count, 3, 128, 128), (count, 5, 8, 8), (count, 7, 4, 4))
    picture, *maps = (torch.randn(shape, generator=rng) for shape in shapes)
    return picture.tanh(), maps


def test_starts_with_the_prior_s_spread() -> None:
    mean, log_variance = encoder()(*inputs())
    assert mean.shape == log_variance.shape == (2, 6)
    assert mean.std() > 0
    assert torch.equal(log_variance, torch.zeros(2, 6))


def test_variance_stays_in_its_range() -> None:
    net = encoder()
    net.log_variance.bias.data.copy_(torch.tensor([-100.0, 100.0, 0, 0, 0, 0]))
    _, log_variance = net(*inputs())
    assert log_variance[0, :3].tolist() == [*LOG_VARIANCE, 0]


def test_learns_everywhere() -> None:
    net = encoder()
    torch.nn.init.normal_(net.log_variance.weight, std=0.1)
    assert_every_parameter_learns(net, *net(*inputs()))


def test_card_rebuilds_it() -> None:
    class Means(LatentEncoder):
        def forward(self, picture: Tensor, maps: list[Tensor]) -> Tensor:  # type: ignore[override]
            return super().forward(picture, maps)[0]

    torch.manual_seed(0)
    assert_rebuilt_from_card(Means(SMALL), Means, EncoderConfig, *inputs())


def test_pictures_do_not_see_each_other() -> None:
    net = encoder()
    picture, maps = inputs(3)
    alone = net(picture[1:2], [m[1:2] for m in maps])[0]
    assert torch.allclose(net(picture, maps)[0][1:2], alone, atol=1e-6)
