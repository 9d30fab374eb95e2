"""Looks of a tile, and taking them off again."""

import pytest
import torch

from facegen.errors import ShapeError, UsageError
from facegen.ops.color import luma
from facegen.ops.tiling import plan_tiles, split
from facegen.ops.variants import KINDS, Variant, apply_variant, shift_stack, undo_variant, unshift, variants_of

ALL = variants_of(KINDS)
SHIFTS = (*KINDS["shift"], Variant(dx=1, dy=-3))


@pytest.mark.parametrize("variant", [*ALL, Variant(True, 0.25, 3.0)], ids=lambda variant: variant.name)
def test_undo_gives_the_tiles_back(variant: Variant, rng: torch.Generator) -> None:
    stack = torch.rand(5, 6, 32, 32, generator=rng)
    undone = undo_variant(apply_variant(stack, variant)[:, :3], variant)
    torch.testing.assert_close(undone, stack[:, :3], atol=1e-6, rtol=0)


@pytest.mark.parametrize("variant", ALL, ids=lambda variant: variant.name)
def test_guide_channels_are_mirrored_at_most(variant: Variant, rng: torch.Generator) -> None:
    guide = torch.rand(5, 3, 32, 32, generator=rng)
    shown = apply_variant(torch.cat([guide, guide], dim=1), variant)[:, 3:]
    assert torch.equal(shown, guide.flip(-1) if variant.flip else guide)


def test_numbers_by_hand() -> None:
    red = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1)
    grey, half = apply_variant(red, Variant(saturation=1e-9)), apply_variant(red, Variant(contrast=0.5))
    torch.testing.assert_close(grey.flatten(), torch.full((3,), 0.299))
    torch.testing.assert_close(half.flatten(), torch.tensor([0.75, 0.25, 0.25]))
    assert apply_variant(red, Variant(contrast=2.0)).flatten().tolist() == [1.5, -0.5, -0.5]  # nothing is clamped


def test_saturation_keeps_luma(rng: torch.Generator) -> None:
    stack = torch.rand(2, 3, 8, 8, generator=rng)
    torch.testing.assert_close(luma(apply_variant(stack, Variant(saturation=1.7))), luma(stack))


def test_the_identity_changes_nothing(rng: torch.Generator) -> None:
    stack = torch.rand(2, 6, 8, 8, generator=rng)
    assert torch.equal(apply_variant(stack, Variant()), stack)
    assert torch.equal(undo_variant(stack[:, :3], Variant()), stack[:, :3])


def test_the_argument_is_left_alone(rng: torch.Generator) -> None:
    stack = torch.rand(2, 6, 8, 8, generator=rng)
    before = stack.clone()
    apply_variant(stack, Variant(True, 0.8, 1.2))
    assert torch.equal(stack, before)


@pytest.mark.parametrize("variant", SHIFTS, ids=lambda variant: variant.name)
def test_a_shifted_view_moved_back_shows_the_tile(variant: Variant, rng: torch.Generator) -> None:
    """An upscaler that repeats every pixel sees nothing but its tile: shifting must change nothing at all."""
    stack, plan = torch.rand(3, 40, 56, generator=rng), plan_tiles(40, 56, tile=16, overlap=8)
    tiles, views = (
        split(x, plan).repeat_interleave(4, dim=-1).repeat_interleave(4, dim=-2)
        for x in (stack, shift_stack(stack, variant))
    )
    assert not torch.equal(views, tiles)
    torch.testing.assert_close(unshift(views, tiles, variant, scale=4), tiles)


def test_a_shift_by_hand() -> None:
    row = torch.arange(5.0).reshape(1, 1, 5)
    assert shift_stack(row, Variant(dx=2)).flatten().tolist() == [2, 3, 4, 3, 2]  # mirrored past the border
    assert shift_stack(row, Variant(dx=-1)).flatten().tolist() == [1, 0, 1, 2, 3]
    assert shift_stack(row.mT, Variant(dy=1)).flatten().tolist() == [1, 2, 3, 4, 3]


@pytest.mark.parametrize("variant", SHIFTS, ids=lambda variant: variant.name)
def test_what_a_shifted_view_does_not_show_is_the_unshifted_one(variant: Variant) -> None:
    mixed = unshift(torch.ones(1, 3, 32, 32), torch.zeros(1, 3, 32, 32), variant, scale=2)[0, 0]
    rows, columns = mixed.amax(1), mixed.amax(0)
    for weights, shift in ((rows, 2 * variant.dy), (columns, 2 * variant.dx)):
        hidden = weights[:shift] if shift >= 0 else weights[shift:]
        assert hidden.eq(0).all()
        assert weights.eq(1).sum() >= 32 - abs(shift) - 4
        assert weights.diff().abs().max() <= 0.25  # no step


def test_kinds_take_turns() -> None:
    names = [variant.name for variant in variants_of(["shift", "flip", "contrast"])]
    assert names == ["identity", "flip", "contrast 0.9", "shift +2 +0", "contrast 1.1", "shift +0 +2", "shift -2 +0",
                     "shift +0 -2"]  # fmt: skip
    assert variants_of([]) == (Variant(),)
    assert len(set(ALL)) == len(ALL) == 1 + sum(len(looks) for looks in KINDS.values())


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError, match='unknown kind of variant "contrats"; did you mean "contrast"'):
        variants_of(["contrats"])


def test_names() -> None:
    assert Variant().name == "identity"
    assert Variant(flip=True).name == "flip"
    assert Variant(True, 0.9, 1.1, -1).name == "flip, contrast 0.9, saturation 1.1, shift -1 +0"


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_look_that_cannot_be_undone_is_refused(value: float) -> None:
    with pytest.raises(UsageError, match=r"contrast .* cannot be undone; choose a positive number"):
        Variant(contrast=value)
    with pytest.raises(UsageError, match=r"saturation .* cannot be undone"):
        Variant(saturation=value)


def test_shapes_are_checked() -> None:
    with pytest.raises(ShapeError, match=r"apply_variant: stack has shape \(6, 32, 32\), expected \(T, C, h, w\)"):
        apply_variant(torch.zeros(6, 32, 32), Variant())
    with pytest.raises(ShapeError, match=r"undo_variant: images have shape \(1, 6, 8, 8\), expected \(T, 3, H, W\)"):
        undo_variant(torch.zeros(1, 6, 8, 8), Variant())
    with pytest.raises(ShapeError, match=r"luma: images have shape \(4, 8, 8\)"):
        luma(torch.zeros(4, 8, 8))
