"""Scorers: what they prefer, and that a candidate's value is its own."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.errors import ShapeError, UsageError
from facegen.ops.scoring import SCORERS, ScoreContext, score


def judge(images: Tensor, stack: Tensor) -> Tensor:
    """A discriminator that likes red and compares with the input's mean: (N, 3, h, w), (N, C, t, t) -> (N,)."""
    assert len(images) == len(stack)
    return images[:, 0].mean((1, 2)) - stack.mean((1, 2, 3))


def upscaled(low_res: Tensor) -> Tensor:
    """(T, 3, t, t) -> (T, 3, 8t, 8t), every pixel repeated."""
    return low_res.repeat_interleave(8, dim=-1).repeat_interleave(8, dim=-2)


@pytest.fixture
def context(rng: torch.Generator) -> ScoreContext:
    return ScoreContext(torch.rand(6, 6, 8, 8, generator=rng), judge)


@pytest.fixture
def candidates(rng: torch.Generator) -> Tensor:
    return torch.rand(6, 4, 3, 64, 64, generator=rng)


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_a_value_does_not_depend_on_the_batch(name: str, candidates: Tensor, context: ScoreContext) -> None:
    values = SCORERS[name](candidates, context)
    assert values.shape == (6, 4)
    for tile in range(6):
        alone = ScoreContext(context.stack[tile : tile + 1], judge)
        for k in range(4):
            torch.testing.assert_close(
                SCORERS[name](candidates[tile : tile + 1, k : k + 1], alone)[0, 0], values[tile, k]
            )


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_a_value_does_not_depend_on_the_order(name: str, candidates: Tensor, context: ScoreContext) -> None:
    tiles, order = torch.tensor([3, 1, 5, 0, 2, 4]), torch.tensor([2, 0, 3, 1])
    shuffled = SCORERS[name](candidates[tiles][:, order], ScoreContext(context.stack[tiles], judge))
    torch.testing.assert_close(shuffled, SCORERS[name](candidates, context)[tiles][:, order])


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_standardised_within_each_tile(name: str, candidates: Tensor, context: ScoreContext) -> None:
    scores = score(candidates, context, {name: 1.0})
    assert scores.shape == (6, 4)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores.mean(1), torch.zeros(6), atol=1e-6, rtol=0)
    assert scores.std(1, correction=0).sub(1).abs().max() < 0.05
    assert torch.equal(scores.argsort(1), SCORERS[name](candidates, context).argsort(1))


@pytest.mark.parametrize("name", sorted(SCORERS))
@pytest.mark.parametrize("count", [1, 3, 6])
def test_equal_candidates_score_zero(name: str, count: int, candidates: Tensor, context: ScoreContext) -> None:
    equal = candidates[:, :1].expand(-1, count, -1, -1, -1)
    assert torch.equal(score(equal, context, {name: 1.0}).abs() < 1e-6, torch.ones(6, count, dtype=torch.bool))


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_flat_candidates_give_numbers(name: str, context: ScoreContext) -> None:
    assert score(torch.zeros(6, 2, 3, 64, 64), context, {name: 1.0}).abs().max() < 1e-6


def test_laplacian_and_contrast_by_hand(context: ScoreContext) -> None:
    image = torch.zeros(1, 1, 3, 4, 4)
    image[..., 1, 1] = 1.0  # the Laplacian inside is -4, 1 / 1, 0: mean -1/2, mean square 18/4
    one = ScoreContext(context.stack[:1])
    torch.testing.assert_close(SCORERS["laplacian"](image, one).item(), 4.5 - 0.25, rtol=1e-5, atol=0)
    torch.testing.assert_close(SCORERS["contrast"](image, one).item(), (1 / 16 - 1 / 256) ** 0.5, rtol=1e-5, atol=0)


def test_detail_scores_above_blur(candidates: Tensor, context: ScoreContext) -> None:
    blurred = F.avg_pool2d(candidates.flatten(0, 1), 5, stride=1, padding=2).reshape(candidates.shape)
    both = torch.stack([blurred[:, 0], candidates[:, 0]], dim=1)
    for name in ("laplacian", "contrast"):
        assert score(both, context, {name: 1.0}).argmax(1).tolist() == [1] * 6


def test_consistency_is_the_rms_error_at_low_res(context: ScoreContext) -> None:
    exact = upscaled(context.stack[:, :3])
    values = SCORERS["consistency"](torch.stack([exact, exact + 0.25], dim=1), context)
    torch.testing.assert_close(values, torch.tensor([[0.0, -0.25]]).expand(6, 2), atol=1e-6, rtol=1e-5)


def test_discriminator_sees_each_tile_with_its_own_stack(candidates: Tensor, context: ScoreContext) -> None:
    expected = candidates[:, :, 0].mean((2, 3)) - context.stack.mean((1, 2, 3))[:, None]
    torch.testing.assert_close(SCORERS["discriminator"](candidates, context), expected)


def test_half_precision_is_measured_as_single(candidates: Tensor, context: ScoreContext) -> None:
    half = candidates.half()
    for name in sorted(SCORERS):
        torch.testing.assert_close(SCORERS[name](half, context), SCORERS[name](half.float(), context))


def test_weights_add_up(candidates: Tensor, context: ScoreContext) -> None:
    mixed = score(candidates, context, {"laplacian": 2.0, "consistency": -0.5})
    alone = [score(candidates, context, {name: 1.0}) for name in ("laplacian", "consistency")]
    torch.testing.assert_close(mixed, 2.0 * alone[0] - 0.5 * alone[1])


def test_no_scorer_scores_zero(candidates: Tensor, context: ScoreContext) -> None:
    assert score(candidates, context, {}).eq(0).all()


def test_a_missing_discriminator_says_what_to_do(candidates: Tensor, context: ScoreContext) -> None:
    without = ScoreContext(context.stack)
    with pytest.raises(UsageError, match=r"needs a discriminator, and none is loaded; use weights that come with one"):
        score(candidates, without, {"discriminator": 1.0})
    assert score(candidates, without, {"discriminator": 0.0}).eq(0).all()


def test_usage_errors(candidates: Tensor, context: ScoreContext) -> None:
    with pytest.raises(
        UsageError, match=r'unknown scorer "laplace"; did you mean "laplacian"\? Known: consistency, con'
    ):
        score(candidates, context, {"laplace": 1.0})
    with pytest.raises(UsageError, match=r'unknown scorer "xyz". Known: '):
        score(candidates, context, {"xyz": 1.0})
    with pytest.raises(UsageError, match=r'weight nan of scorer "contrast" is not a finite number'):
        score(candidates, context, {"contrast": float("nan")})


def test_shapes_are_checked(candidates: Tensor, context: ScoreContext) -> None:
    with pytest.raises(ShapeError, match=r"candidates have shape \(6, 3, 64, 64\), expected \(T, K, 3, h, w\)"):
        score(candidates[:, 0], context, {})
    with pytest.raises(ShapeError, match=r"context\.stack has shape \(6, 6, 8, 8\), expected \(5, C, t, t\)"):
        score(candidates[:5], context, {})
