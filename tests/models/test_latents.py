"""Latents of seeds, and what a rating passes over."""

from __future__ import annotations

import pytest
import torch

from facegen.models.latents import LEVELS, LatentRating, RatingConfig, draw_latent

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
