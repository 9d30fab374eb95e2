"""The projected discriminator and the PatchGAN."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from facegen.errors import ShapeError
from facegen.models.discriminators import MinibatchDiscrimination, MinibatchStddev, PatchConfig, PatchDiscriminator
from facegen.models.projected import ProjectedConfig, ProjectedDiscriminator
from tests.models.checks import assert_every_parameter_learns, assert_rebuilt_from_card

SMALL = ProjectedConfig(mix=8, mix_max=12, head=8)
PATCH = PatchConfig(widths=(4, 6, 8, 8))


def projected(seed: int = 0, **changes: Any) -> ProjectedDiscriminator:
    torch.manual_seed(seed)
    return ProjectedDiscriminator(SMALL.model_copy(update=changes))


def patch(**changes: Any) -> PatchDiscriminator:
    torch.manual_seed(0)
    return PatchDiscriminator(PATCH.model_copy(update=changes))


def pictures(count: int, side: int = 128) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


def pair(count: int, low: int = 8, channels: int = 6) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    return torch.rand(count, 3, 8 * low, 8 * low, generator=rng), torch.rand(count, channels, low, low, generator=rng)


def fixed(net: ProjectedDiscriminator) -> list[Tensor]:
    return [p for part in (net.features, net.across_channels, net.across_scales) for p in part.parameters()]


def test_four_heads_judge_a_128_px_face() -> None:
    logits = projected()(pictures(2))
    assert [tuple(x.shape) for x in logits] == [(2, 1, 1, 1)] * 4


def test_larger_pictures_get_more_places() -> None:
    assert [tuple(x.shape) for x in projected()(pictures(1, 256))] == [(1, 1, 5, 5)] * 4


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (1, 3, 128, 96), (1, 4, 128, 128), (3, 128, 128)])
def test_too_small_or_not_rgb_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"ProjectedDiscriminator: pictures have shape .* at least 128 px"):
        projected()(torch.zeros(shape))


def test_maps_of_pictures_too_small_are_named() -> None:
    net = projected()
    with pytest.raises(ShapeError, match=r"map at stride 32 has shape \(1, 320, 3, 3\), expected at least 4 px"):
        net.logits(net.features(torch.zeros(1, 3, 96, 96)))


def test_heads_learn_and_nothing_else() -> None:
    net = projected()
    logits = net(pictures(2))
    assert_every_parameter_learns(net, *logits)
    assert all(p.requires_grad for p in net.heads.parameters())
    assert not any(p.requires_grad or p.grad is not None for p in fixed(net))


def test_gradient_reaches_the_pictures() -> None:
    faces = pictures(1).requires_grad_()
    net = projected().requires_grad_(False)
    sum(x.sum() for x in net(faces)).backward()
    assert faces.grad is not None
    assert torch.isfinite(faces.grad).all()
    assert (faces.grad != 0).float().mean() > 0.5
    assert all(p.grad is None for p in net.parameters())


def test_projections_are_known_from_their_seed_alone() -> None:
    for one, other in zip(fixed(projected(seed=1)), fixed(projected(seed=2)), strict=True):
        assert torch.equal(one, other)


def test_another_projection_seed_mixes_otherwise() -> None:
    one, other = projected(), projected(projection_seed=1)
    for part in ("across_channels", "across_scales"):
        pairs = zip(getattr(one, part).parameters(), getattr(other, part).parameters(), strict=True)
        assert not any(torch.equal(a, b) for a, b in pairs)


def test_building_one_leaves_heads_to_the_global_seed() -> None:
    heads = [
        torch.cat([p.flatten() for p in projected(seed=s, projection_seed=5).heads.parameters()]) for s in (1, 1, 2)
    ]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_projected_golden_logits_with_minibatch_deviation() -> None:
    logits = torch.cat([x.flatten(1) for x in projected().eval()(pictures(2))])
    expected = torch.tensor([-0.042496, 0.24444, 0.16643, 0.12095])
    torch.testing.assert_close(logits.reshape(4, 2)[:, 0], expected, rtol=1e-3, atol=1e-3)


def test_heads_see_whether_faces_are_alike() -> None:
    net = projected().eval()
    alike, other = pictures(1).expand(2, -1, -1, -1), pictures(2)
    assert torch.equal(alike[0], other[0])
    assert all((a[0] != o[0]).all() for a, o in zip(net(alike), net(other), strict=True))


def test_minibatch_deviation_adds_one_channel_of_the_groups_spread() -> None:
    x = torch.randn(5, 3, 4, 2, generator=torch.Generator().manual_seed(0))
    joined = MinibatchStddev(2)(x)
    assert joined.shape == (5, 4, 4, 2)
    assert torch.equal(joined[:, :3], x)
    for group in (slice(0, 2), slice(2, 4)):
        expected = x[group].std(dim=0, correction=0).mean().expand(2, 4, 2)
        torch.testing.assert_close(joined[group, 3], expected, rtol=1e-4, atol=1e-4)
    assert joined[4, 3].max() <= 1.01e-4  # one alone does not differ from itself


def test_minibatch_deviation_has_a_gradient_where_all_are_alike() -> None:
    x = torch.ones(4, 3, 2, 2, requires_grad=True)
    MinibatchStddev(4)(x).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_projected_judges_each_picture_by_itself_without_it() -> None:
    net = projected(stddev_group=0).eval()
    many = torch.cat([x.flatten(1) for x in net(pictures(3))], dim=1)
    single = torch.cat([x.flatten(1) for x in net(pictures(3)[1:2])], dim=1)
    torch.testing.assert_close(single[0], many[1], rtol=1e-3, atol=1e-4)


def test_patch_has_16_by_16_logits_for_a_256_px_tile() -> None:
    assert patch()(*pair(1, low=32)).shape == (1, 1, 16, 16)
    assert patch()(*pair(2)).shape == (2, 1, 4, 4)


def test_patch_takes_tiles_that_are_not_square() -> None:
    assert patch()(torch.rand(1, 3, 64, 128), torch.rand(1, 6, 8, 16)).shape == (1, 1, 4, 8)


@pytest.mark.parametrize("norm", ["spectral", "batch", "none"])
def test_patch_learns_with_every_parameter(norm: str) -> None:
    net = patch(norm=norm)
    assert_every_parameter_learns(net, net(*pair(2)))


@pytest.mark.parametrize(
    ("tiles", "stack"),
    [
        ((1, 3, 64, 64), (1, 3, 8, 8)),
        ((1, 3, 64, 64), (1, 6, 16, 16)),
        ((1, 3, 32, 64), (1, 6, 8, 8)),
        ((1, 4, 64, 64), (1, 6, 8, 8)),
        ((2, 3, 64, 64), (1, 6, 8, 8)),
        ((1, 3, 64, 64), (6, 8, 8)),
    ],
)
def test_patch_names_what_does_not_fit(tiles: tuple[int, ...], stack: tuple[int, ...]) -> None:
    with pytest.raises(
        ShapeError, match=r"PatchDiscriminator: stack .*expected \(B, 6, h, w\); tiles .*\(B, 3, 8h, 8w\)"
    ):
        patch()(torch.zeros(tiles), torch.zeros(stack))


def test_patch_sees_tile_and_condition() -> None:
    net, (tiles, stack) = patch().eval(), pair(1)
    logits = net(tiles, stack)
    assert not torch.allclose(net(1 - tiles, stack), logits, atol=1e-4)
    assert not torch.allclose(net(tiles, 1 - stack), logits, atol=1e-4)


@pytest.mark.parametrize("norm", ["spectral", "none"])
def test_patch_judges_each_tile_by_itself(norm: str) -> None:
    net, (tiles, stack) = patch(norm=norm).eval(), pair(3)
    torch.testing.assert_close(net(tiles[1:2], stack[1:2])[0], net(tiles, stack)[1], rtol=1e-4, atol=1e-5)


def test_patch_golden_corner() -> None:
    corner = patch().eval()(*pair(1))[0, 0, :3, :3]
    torch.testing.assert_close(
        corner,
        torch.tensor([[0.033191, 0.013945, -0.15778], [-0.14543, 0.0037066, 0.26324], [0.09519, -0.071647, -0.14882]]),
        rtol=1e-3,
        atol=1e-4,
    )


@pytest.mark.parametrize("norm", ["spectral", "batch", "none"])
def test_patch_state_and_config_rebuild_the_network(norm: str) -> None:
    assert_rebuilt_from_card(patch(norm=norm).eval(), PatchDiscriminator, PatchConfig, *pair(2))


def module(features: int = 3, kernels: int = 4, dims: int = 2) -> MinibatchDiscrimination:
    torch.manual_seed(0)
    return MinibatchDiscrimination(features, kernels, dims)


def batch(count: int, features: int = 3) -> Tensor:
    return torch.randn(count, features, generator=torch.Generator().manual_seed(1))


def test_numbers_of_three_pictures() -> None:
    net = module(features=2, kernels=2, dims=2)
    with torch.no_grad():  # M_0 = (a, b), M_1 = (a + b, 0)
        net.kernel.copy_(torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]]))
    x = torch.tensor([[0.0, 0.0], [1.0, -1.0], [0.0, 3.0]])
    out = net(x).detach()
    torch.testing.assert_close(out[:, :2], x)
    # L1 distances of M_0: 0-1 |1|+|-1| = 2, 0-2 3, 1-2 |1|+|-4| = 5; of M_1: 0-1 0, 0-2 3, 1-2 3
    e = math.exp
    first = [1 + e(-2) + e(-3), 1 + e(-2) + e(-5), 1 + e(-3) + e(-5)]
    second = [1 + 1 + e(-3), 1 + 1 + e(-3), 1 + e(-3) + e(-3)]
    torch.testing.assert_close(out[:, 2:], torch.tensor([first, second]).T)


def test_alone_is_near_to_itself_and_all_alike_are_near_to_all() -> None:
    assert torch.equal(module()(batch(1))[:, 3:], torch.ones(1, 4))
    torch.testing.assert_close(module()(batch(1).expand(5, 3))[:, 3:], torch.full((5, 4), 5.0))


@pytest.mark.parametrize(("features", "dims"), [(16, 5), (512, 5), (512, 32)])
def test_at_the_start_features_of_unit_variance_are_about_one_apart(features: int, dims: int) -> None:
    net = module(features, kernels=100, dims=dims)
    nearness = net(batch(2, features))[:, features:].detach() - 1
    assert (-nearness.log()).mean().item() == pytest.approx(2 / math.pi**0.5, rel=0.3)  # C x E|N(0, 2)| / C


def test_every_parameter_learns_and_the_features_get_a_gradient_through_the_nearness() -> None:
    net, x = module(), batch(4).requires_grad_()
    nearness = net(x)[:, 3:]
    assert_every_parameter_learns(net, nearness)
    assert x.grad is not None
    assert (x.grad.abs().sum(dim=1) > 0).all()


def test_bfloat16_stays_bfloat16() -> None:
    x = batch(4)
    out = module()(x.bfloat16())
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), module()(x), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("shape", [(2, 4), (3,), (2, 3, 1, 1)])
def test_other_shapes_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"MinibatchDiscrimination: features have shape .*expected \(N, 3\)"):
        module()(torch.zeros(shape))
