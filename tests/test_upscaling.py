"""Whole pictures through SRGAN's generator and the U-net."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facegen.errors import UsageError
from facegen.models.jnet import enlarge
from facegen.models.srgan import SRGANConfig, SRGANGenerator
from facegen.models.unet import UNet, UNetConfig
from facegen.upscaling import load_upscaler, upscale
from facegen.weights import save_weights
from tests.tiny import card, save, upscaler


def srgan(**changes: object) -> SRGANGenerator:
    torch.manual_seed(0)
    config = {"blocks": 1, "width": 4, "end_kernel": 3, "scale": 2, "norm": "none"} | changes
    net = SRGANGenerator(SRGANConfig.model_validate(config))
    torch.nn.init.normal_(net.to_rgb.weight, 0, 0.3)
    return net.eval()


def picture(side: int = 8) -> torch.Tensor:
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(1))


def test_raised_once_is_what_the_network_gives() -> None:
    net = srgan(base="bicubic")
    upscaled = upscale(net, picture())
    assert torch.equal(upscaled, net(picture()[None])[0].clamp(0, 1))
    assert not upscaled.requires_grad
    assert 0 <= upscaled.min() < upscaled.max() <= 1


def test_raised_again_and_again() -> None:
    net = UNet(UNetConfig(widths=(4, 4), outer_width=4, base="bicubic")).eval()  # fresh: bicubic itself
    found = upscale(net, picture(), times=3)
    expected = picture()
    for _ in range(3):
        expected = enlarge(expected[None], 2)[0].clamp(0, 1)
    assert found.shape == (3, 64, 64)
    assert torch.equal(found, expected)


def test_histogram_is_matched_to_the_low_res_picture_every_time() -> None:
    low = picture() * 0.3
    off, on = (upscale(srgan(match_histogram=match), low, times=2) for match in (False, True))
    assert (off.mean(dim=(1, 2)) - low.mean(dim=(1, 2))).abs().max() > 0.1
    torch.testing.assert_close(on.mean(dim=(1, 2)), low.mean(dim=(1, 2)), atol=0.01, rtol=0)


def test_published_weights_are_loaded_by_their_kind(tmp_path: Path) -> None:
    net = srgan()
    save_weights(tmp_path / "mine", net, card("srgan", net.config.model_dump(mode="json")))
    loaded = load_upscaler(str(tmp_path / "mine"))
    assert isinstance(loaded, SRGANGenerator)
    assert not loaded.training
    torch.testing.assert_close(upscale(loaded, picture()), upscale(net, picture()), atol=0.01, rtol=0)


def test_other_weights_and_no_times_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="hold a jnet, expected a srgan or a unet"):
        load_upscaler(str(save(tmp_path, upscaler(), "rgb")))
    with pytest.raises(UsageError, match="upscale: times is 0, expected at least 1"):
        upscale(srgan(), picture(), times=0)
