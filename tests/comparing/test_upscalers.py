"""Every upscaler of the registry keeps its promise; what is none is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facegen.arrays import to_tensor
from facegen.comparing.upscaler import Setting
from facegen.comparing.upscalers import BY_KIND, BY_NAME, load_upscalers
from facegen.errors import FacegenError, UsageError, WeightsError
from facegen.media.images import resize
from facegen.ops.consistency import low_res_psnr
from facegen.pipeline import FacePipeline

SOURCES = [*BY_NAME, *(f"{{weights}}/{kind}" for kind in BY_KIND)]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("size", [(32, 32), (12, 20)], ids=["head", "any shape"])
def test_every_upscaler_raises(source: str, size: tuple[int, int], setting: Setting, weights: Path) -> None:
    (upscaler,) = load_upscalers([source.format(weights=weights)], setting)
    assert upscaler.name == source.rpartition("/")[2]
    low = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    upscaled = upscaler.upscale_to(low, 8)
    assert upscaled.shape == (3, 8 * size[0], 8 * size[1])
    assert (upscaled.dtype, upscaled.device.type) == (torch.float32, "cpu")
    assert 0 <= upscaled.min() <= upscaled.max() <= 1
    assert torch.equal(upscaled, upscaler.upscale_to(low, 8))


def test_interpolations_keep_the_picture(setting: Setting, head: NDArray[np.uint8]) -> None:
    low = to_tensor(resize(head, (48, 48)))
    for upscaler in load_upscalers(["bicubic", "lanczos"], setting):
        assert upscaler.scale == 8
        assert not upscaler.folders
        assert low_res_psnr(upscaler(low), low) > 35


def test_the_jnet_runs_in_its_pipeline(setting: Setting, weights: Path, head: NDArray[np.uint8]) -> None:
    low = to_tensor(resize(head, (32, 32)))
    expected = FacePipeline.load(weights / "tiny.toml")(low, 256).image
    by_name, by_folder = load_upscalers(["jnet", f"{weights}/jnet/"], setting)
    for upscaler in (by_name, by_folder):
        assert torch.equal(upscaler(low), expected)
        assert upscaler.folders == (weights / "jnet",)


def test_overrides_reach_the_pipeline(setting: Setting, weights: Path, head: NDArray[np.uint8]) -> None:
    low = to_tensor(resize(head, (32, 32)))
    loose = Setting(8, setting.recipe, ("fidelity=0",))
    upscaled = [load_upscalers(["jnet"], each)[0](low) for each in (setting, loose)]
    assert low_res_psnr(upscaled[0], low) > low_res_psnr(upscaled[1], low) + 5


def test_names_that_agree_are_told_apart(setting: Setting, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "unet").symlink_to(weights / "unet")
    sources = [f"{weights}/unet", f"{tmp_path}/unet", f"{weights}/srgan"]
    assert [upscaler.name for upscaler in load_upscalers(sources, setting)] == [*sources[:2], "srgan"]


@pytest.mark.parametrize(
    ("sources", "kind", "message"),
    [
        (["bicubic", "bicubic"], UsageError, "--models bicubic,bicubic: names one twice"),
        (["bicubik"], WeightsError, "neither an upscaler's name, .*did you mean 'bicubic'.* Known: bicubic, lanczos"),
        (["{weights}/dcgan"], WeightsError, "holds a dcgan, which enlarges no picture; name a jnet, srgan, unet."),
    ],
)
def test_what_is_no_upscaler_is_refused(
    sources: list[str], kind: type[FacegenError], message: str, setting: Setting, weights: Path
) -> None:
    with pytest.raises(kind, match=message):
        load_upscalers([source.format(weights=weights) for source in sources], setting)
