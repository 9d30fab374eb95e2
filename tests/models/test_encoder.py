"""The encoder from faces back to latents."""

from __future__ import annotations

import torch
from torch import Tensor

from facegen.models.encoder import LOG_VARIANCE, EncoderConfig, LatentEncoder
from tests.models.checks import assert_every_parameter_learns, assert_rebuilt_from_card

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
