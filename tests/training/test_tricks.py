"""The parameters' historical mean and the buffer of earlier pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from facegen.errors import ShapeError
from facegen.training.losses import HistoricalAverage, ReplayBuffer


def net(*values: float) -> nn.Linear:
    """A network whose two weights and bias are these."""
    module = nn.Linear(2, 1)
    set_to(module, *values)
    return module


def set_to(module: nn.Linear, a: float, b: float, bias: float) -> None:
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[a, b]]))
        module.bias.copy_(torch.tensor([bias]))


def test_historical_mean_is_the_mean_of_all_values() -> None:
    module = net(0, 0, 0)
    average = HistoricalAverage(net(9, 9, 9))
    for values in ((0, 3, -1), (3, 3, 1), (6, 6, 0)):
        set_to(module, *values)
        average.update(module)
    torch.testing.assert_close(average.mean, torch.tensor([3.0, 4.0, 0.0]))
    assert average.count.item() == 3


def test_historical_penalty_is_the_mean_squared_distance_and_pulls_back() -> None:
    module = net(0, 3, -1)
    average = HistoricalAverage(module)
    assert average.penalty(module).item() == 0
    set_to(module, 3, 3, 1)
    penalty = average.penalty(module)
    assert penalty.item() == pytest.approx((9 + 0 + 4) / 3)
    penalty.backward()  # type: ignore[no-untyped-call]
    assert module.weight.grad is not None
    assert module.bias.grad is not None
    torch.testing.assert_close(module.weight.grad, torch.tensor([[2.0, 0.0]]))  # 2 (theta - mean) / 3
    torch.testing.assert_close(module.bias.grad, torch.tensor([4 / 3]))


def test_historical_mean_may_be_updated_before_the_penalty_is_descended() -> None:
    module = net(0, 0, 0)
    average = HistoricalAverage(module)
    set_to(module, 3, 0, 0)
    penalty = average.penalty(module)
    average.update(module)
    penalty.backward()  # type: ignore[no-untyped-call]
    assert module.weight.grad is not None
    torch.testing.assert_close(module.weight.grad, torch.tensor([[2.0, 0.0]]))
    assert average.penalty(module).item() == 0  # the one value it was updated with


def test_historical_mean_does_not_follow_the_network_by_itself() -> None:
    module = net(1, 1, 1)
    average = HistoricalAverage(module)
    set_to(module, 5, 5, 5)
    assert average.mean.tolist() == [1, 1, 1]
    assert list(average.parameters()) == []
    average.update(module)
    assert not average.mean.requires_grad


def test_historical_mean_is_of_the_values_whatever_their_memory_format() -> None:
    module = nn.Conv2d(3, 4, 3)
    average = HistoricalAverage(module)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert average.penalty(module).item() == 0


def test_historical_mean_survives_a_checkpoint(tmp_path: Path) -> None:
    module = net(0, 3, -1)
    average = HistoricalAverage(module)
    average.update(module)
    set_to(module, 3, 3, 1)
    average.update(module)
    torch.save(average.state_dict(), tmp_path / "state.pt")
    resumed = HistoricalAverage(net(7, 7, 7))
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for one in (average, resumed):
        set_to(module, 6, 6, 0)
        one.update(module)
    assert torch.equal(resumed.mean, average.mean)
    torch.testing.assert_close(resumed.mean, torch.tensor([3.0, 4.0, 0.0]))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def levels(first: int, count: int) -> Tensor:
    """(count, 1, 2, 2) in [-1, 1]; picture i has the uint8 value `first` + i everywhere."""
    return (torch.arange(first, first + count).float() / 127.5 - 1).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def values(pictures: Tensor) -> list[int]:
    """Which pictures of `levels` these are."""
    assert torch.equal(pictures, pictures[:, :1, :1, :1].expand_as(pictures))
    return [round((v + 1) * 127.5) for v in pictures[:, 0, 0, 0].tolist()]


def test_buffer_fills_first_and_passes_on() -> None:
    buffer = ReplayBuffer(5, 1, 2)
    assert values(buffer.mix(levels(1, 3), rng())) == [1, 2, 3]
    assert buffer.count.item() == 3
    assert buffer.pictures[:, 0, 0, 0].tolist() == [1, 2, 3, 0, 0]
    assert values(buffer.mix(levels(4, 2), rng())) == [4, 5]
    assert buffer.count.item() == 5
    assert buffer.pictures[:, 0, 0, 0].tolist() == [1, 2, 3, 4, 5]


def test_buffer_exchanges_so_that_no_picture_is_lost_or_doubled() -> None:
    buffer = ReplayBuffer(20, 1, 2)
    buffer.mix(levels(0, 20), rng())
    mixed = values(buffer.mix(levels(100, 20), rng(1)))
    kept = buffer.pictures[:, 0, 0, 0].tolist()
    assert sorted(mixed + kept) == [*range(20), *range(100, 120)]
    earlier = [m for m in mixed if m < 20]
    assert 0 < len(earlier) < 20
    assert all(m == 100 + i or m < 20 or m < 100 + i for i, m in enumerate(mixed))  # itself, or an earlier one


def test_buffer_exchanges_about_half() -> None:
    buffer, draws, exchanged = ReplayBuffer(50, 1, 2), rng(), 0
    buffer.mix(levels(0, 50), draws)
    for _ in range(50):
        batch = levels(100, 20)
        exchanged += sum(m != own for m, own in zip(values(buffer.mix(batch, draws)), range(100, 120), strict=True))
    assert 430 < exchanged < 540  # of 1000, 500 less those exchanged against an equal one; 4 standard deviations


def test_buffer_fills_in_the_middle_of_a_batch() -> None:
    buffer = ReplayBuffer(2, 1, 2)
    mixed = values(buffer.mix(levels(1, 40), rng()))
    assert mixed[:2] == [1, 2]
    assert mixed != list(range(1, 41))
    assert buffer.count.item() == 2


def test_buffer_is_a_function_of_its_state_and_the_generator() -> None:
    def run(seed: int) -> list[int]:
        buffer = ReplayBuffer(8, 1, 2)
        buffer.mix(levels(0, 8), rng())
        return values(buffer.mix(levels(100, 20), rng(seed)))

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_buffer_draws_as_often_however_full() -> None:
    empty, full, one, other = ReplayBuffer(30, 1, 2), ReplayBuffer(30, 1, 2), rng(1), rng(1)
    full.mix(levels(0, 30), rng())
    empty.mix(levels(0, 6), one)
    full.mix(levels(0, 6), other)
    assert torch.equal(one.get_state(), other.get_state())


def test_buffer_returns_the_nearest_of_256_levels_clamped() -> None:
    buffer = ReplayBuffer(1, 3, 4)
    first = torch.rand(1, 3, 4, 4, generator=rng()) * 2.4 - 1.2
    buffer.mix(first, rng())
    draws = rng(2)
    outs = [buffer.mix(first, draws) for _ in range(20)]
    returned = [out for out in outs if not torch.equal(out, first)]
    assert 0 < len(returned) < 20
    for out in returned:
        assert (out - first.clamp(-1, 1)).abs().max() <= 1 / 255 + 1e-6


def test_buffer_leaves_the_given_pictures_unchanged_and_passes_no_gradient() -> None:
    buffer = ReplayBuffer(4, 1, 2)
    buffer.mix(levels(0, 4), rng())
    fake = levels(100, 20).clone().requires_grad_()
    mixed = buffer.mix(fake, rng())
    assert not mixed.requires_grad
    assert values(fake.detach()) == list(range(100, 120))
    assert mixed.data_ptr() != fake.data_ptr()


def test_buffer_keeps_the_dtype() -> None:
    buffer = ReplayBuffer(2, 1, 2)
    buffer.mix(levels(0, 2), rng())
    assert buffer.mix(levels(100, 6).bfloat16(), rng()).dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(2, 3, 2, 2), (2, 1, 4, 4), (1, 2, 2)])
def test_buffer_names_pictures_of_another_size(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"ReplayBuffer: pictures have shape .*expected \(B, 1, 2, 2\)"):
        ReplayBuffer(2, 1, 2).mix(torch.zeros(shape), rng())


@pytest.mark.parametrize("seen", [3, 12])
def test_buffer_survives_a_checkpoint(tmp_path: Path, seen: int) -> None:
    buffer = ReplayBuffer(8, 1, 2)
    buffer.mix(levels(0, seen), rng())
    torch.save(buffer.state_dict(), tmp_path / "state.pt")
    resumed = ReplayBuffer(8, 1, 2)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    expected = buffer.mix(levels(100, 20), rng(1))
    assert torch.equal(resumed.mix(levels(100, 20), rng(1)), expected)
    assert torch.equal(resumed.pictures, buffer.pictures)
    assert resumed.count.item() == 8
