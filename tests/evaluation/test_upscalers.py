"""Every upscaler of the registry upscales; anything else is refused by name; a stand-in reads published files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from facegen.arrays import RGB, to_tensor
from facegen.errors import FacegenError, MissingExtraError, UsageError, WeightsError
from facegen.evaluation import upscalers
from facegen.evaluation.upscalers import BY_KIND, BY_NAME, Setting, Upscaler, load_upscalers
from facegen.media.images import resize
from facegen.models.jnet import enlarge
from facegen.models.srgan import SRGANConfig, SRGANGenerator
from facegen.models.unet import UNet, UNetConfig
from facegen.ops.consistency import downsample_area, low_res_psnr
from facegen.pipeline import FacePipeline
from facegen.weights import Kind, save_weights
from tests.tiny import card

SOURCES = [*BY_NAME, *(f"{{weights}}/{kind}" for kind in BY_KIND)]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("size", [(32, 32), (12, 20)], ids=["head", "any shape"])
def test_every_upscaler_enlarges_any_picture(
    source: str, size: tuple[int, int], setting: Setting, weights: Path
) -> None:
    (upscaler,) = load_upscalers([source.format(weights=weights)], setting)
    assert upscaler.name == source.rpartition("/")[2]
    low = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    upscaled = upscaler.upscale_to(low, 8)
    assert upscaled.shape == (3, 8 * size[0], 8 * size[1])
    assert (upscaled.dtype, upscaled.device.type) == (torch.float32, "cpu")
    assert 0 <= upscaled.min() <= upscaled.max() <= 1
    assert torch.equal(upscaled, upscaler.upscale_to(low, 8))


def test_interpolations_keep_the_picture(setting: Setting, head: RGB) -> None:
    low = to_tensor(resize(head, (48, 48)))
    for upscaler in load_upscalers(["bicubic", "lanczos"], setting):
        assert upscaler.scale == 8
        assert not upscaler.folders
        assert low_res_psnr(upscaler(low), low) > 35


def test_the_jnet_runs_in_its_pipeline(setting: Setting, weights: Path, head: RGB) -> None:
    low = to_tensor(resize(head, (32, 32)))
    expected = FacePipeline.load(weights / "tiny.toml")(low, 256).image
    by_name, by_folder = load_upscalers(["jnet", f"{weights}/jnet/"], setting)
    for upscaler in (by_name, by_folder):
        assert torch.equal(upscaler(low), expected)
        assert upscaler.folders == (weights / "jnet",)


def test_overrides_reach_the_pipeline(setting: Setting, weights: Path, head: RGB) -> None:
    low = to_tensor(resize(head, (32, 32)))
    loose = Setting(8, setting.recipe, ("fidelity=0",))
    upscaled = [load_upscalers(["jnet"], each)[0](low) for each in (setting, loose)]
    assert low_res_psnr(upscaled[0], low) > low_res_psnr(upscaled[1], low) + 5


def test_names_that_agree_are_shown_in_full(setting: Setting, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "unet").symlink_to(weights / "unet")
    (tmp_path / "original").symlink_to(weights / "unet")
    sources = [f"{weights}/unet", f"{tmp_path}/unet", f"{tmp_path}/original", f"{weights}/srgan"]
    assert [upscaler.name for upscaler in load_upscalers(sources, setting)] == [*sources[:3], "srgan"]


@pytest.mark.parametrize(
    ("sources", "kind", "message"),
    [
        (["bicubic", "bicubic"], UsageError, "--models bicubic,bicubic: names one twice"),
        (["original"], UsageError, "--models original: another column has this name; give .* path, ./original"),
        (["bicubik"], WeightsError, "neither an upscaler's name, .*did you mean 'bicubic'.* Known: bicubic, lanczos"),
        (["{weights}/dcgan"], WeightsError, "holds a dcgan, which does not upscale .* name one of jnet, srgan, unet."),
    ],
)
def test_anything_but_an_upscaler_is_refused(
    sources: list[str], kind: type[FacegenError], message: str, setting: Setting, weights: Path
) -> None:
    with pytest.raises(kind, match=message):
        load_upscalers([source.format(weights=weights) for source in sources], setting)


def doubling(low_res: Tensor) -> Tensor:
    """Every pixel twice, and too bright for a picture."""
    return low_res.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2) * 4


@pytest.mark.parametrize(
    ("scale", "wanted", "passes", "steps"),
    [
        (8, 8, 1, "8x"),
        (4, 8, 2, "4x applied 2 times, reduced by area from 16x to 8x"),
        (2, 8, 3, "2x applied 3 times"),
        (8, 4, 1, "8x, reduced by area from 8x to 4x"),
        (3, 2, 1, "3x, reduced by area from 3x to 2x"),
    ],
)
def test_an_upscaler_is_applied_until_the_picture_is_large_enough(
    scale: int, wanted: int, passes: int, steps: str
) -> None:
    calls = []

    def enlarge(low_res: Tensor) -> Tensor:
        calls.append(tuple(low_res.shape))
        return low_res.repeat_interleave(scale, dim=-1).repeat_interleave(scale, dim=-2)

    low = torch.rand(3, 4, 5)
    upscaler = Upscaler("pixels", scale, enlarge, "blocks")
    upscaled = upscaler.upscale_to(low, wanted)
    assert upscaled.shape == (3, 4 * wanted, 5 * wanted)
    torch.testing.assert_close(downsample_area(upscaled, (4, 5)), low)  # blocks keep their means
    assert (len(calls), upscaler.passes(wanted), upscaler.steps(wanted)) == (passes, passes, steps)


def test_the_result_is_clamped_to_a_picture() -> None:
    upscaled = Upscaler("bright", 2, doubling, "")(torch.full((3, 2, 2), 0.5))
    assert upscaled.shape == (3, 4, 4)
    assert upscaled.max() == 1


def test_an_upscaler_that_does_not_enlarge_is_refused() -> None:
    with pytest.raises(UsageError, match="denoiser: makes pictures 1x as large, expected at least 2x"):
        Upscaler("denoiser", 1, doubling, "")


Install = Callable[..., None]


class Model:
    """A descriptor of a network that repeats pixels."""

    def __init__(self, scale: int = 4, output_channels: int = 3) -> None:
        self.scale, self.input_channels, self.output_channels = scale, 3, output_channels
        self.architecture = SimpleNamespace(name="Blocks")
        self.evaluated = False

    def eval(self) -> None:
        self.evaluated = True

    def __call__(self, image: Tensor) -> Tensor:
        assert self.evaluated
        assert image.ndim == 4
        return image.repeat_interleave(self.scale, dim=-1).repeat_interleave(self.scale, dim=-2)


class UnsupportedModelError(Exception):
    """Stands in for spandrel's."""


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Replace spandrel by a package that loads a model, or raises an error."""

    def put(model: Any) -> None:
        def load(_: object, source: str) -> Any:
            if isinstance(model, Exception):
                raise model
            return model

        package = ModuleType("spandrel")
        vars(package).update(
            __version__="0.4.2",
            ModelLoader=lambda device: SimpleNamespace(load_from_file=lambda source: load(device, source)),
            ImageModelDescriptor=Model,
            UnsupportedModelError=UnsupportedModelError,
        )
        monkeypatch.setattr(upscalers, "find_spec", lambda name: object())
        monkeypatch.setitem(sys.modules, "spandrel", package)

    return put


def test_a_files_column_has_the_files_name(install: Install, setting: Setting) -> None:
    install(Model())
    (upscaler,) = load_upscalers(["some/4x-blocks.pth"], setting)
    assert (upscaler.name, upscaler.scale, upscaler.folders) == ("4x-blocks", 4, ())
    assert upscaler.about == "Blocks, 4x-blocks.pth, read by spandrel 0.4.2"
    low = torch.rand(3, 4, 4)
    assert torch.equal(upscaler(low)[:, ::4, ::4], low)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Model(output_channels=1), "x.pth: holds a Blocks, which does not turn RGB pictures into RGB"),
        (UnsupportedModelError(), "x.pth: spandrel 0.4.2 cannot read it .UnsupportedModelError.; of weights that"),
        (FileNotFoundError("no such file"), "x.pth: spandrel 0.4.2 cannot read it .no such file."),
    ],
)
def test_a_file_that_cannot_be_used_is_named(install: Install, setting: Setting, model: object, message: str) -> None:
    install(model)
    with pytest.raises(WeightsError, match=message):
        load_upscalers(["x.pth"], setting)


def test_without_spandrel_the_command_is_named(monkeypatch: pytest.MonkeyPatch, setting: Setting) -> None:
    monkeypatch.setattr(upscalers, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"x.safetensors: .* pip install 'facegen\[spandrel\]'"):
        load_upscalers(["x.safetensors"], setting)


def test_a_spandrel_that_does_not_work_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: Setting
) -> None:
    (tmp_path / "spandrel.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "spandrel", raising=False)
    with pytest.raises(MissingExtraError, match=r"\(operator torchvision::nms does not exist\); install the torchvis"):
        load_upscalers(["x.pth"], setting)


def picture(side: int = 8) -> Tensor:
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(1))


def load_whole(folder: Path, net: SRGANGenerator | UNet, kind: Kind, scale: int = 2) -> Upscaler:
    """The upscaler of a network's weight folder."""
    save_weights(folder / kind, net, card(kind, net.config.model_dump(mode="json")))
    (upscaler,) = load_upscalers([str(folder / kind)], Setting(scale))
    return upscaler


def srgan(**changes: object) -> SRGANGenerator:
    torch.manual_seed(0)
    config = {"blocks": 1, "width": 4, "end_kernel": 3, "scale": 2, "norm": "none"} | changes
    net = SRGANGenerator(SRGANConfig.model_validate(config))
    torch.nn.init.normal_(net.to_rgb.weight, 0, 0.3)
    return net.eval()


def test_srgan_is_applied_to_the_whole_picture(tmp_path: Path) -> None:
    net = srgan(base="bicubic")
    upscaled = load_whole(tmp_path, net, "srgan")(picture())
    torch.testing.assert_close(upscaled, net(picture()[None])[0].clamp(0, 1).detach(), atol=0.01, rtol=0)
    assert not upscaled.requires_grad
    assert 0 <= upscaled.min() < upscaled.max() <= 1


def test_the_unet_is_applied_again_and_again(tmp_path: Path) -> None:
    net = UNet(UNetConfig(widths=(4, 4), outer_width=4, base="bicubic")).eval()  # fresh: bicubic itself
    found = load_whole(tmp_path, net, "unet").upscale_to(picture(), 8)
    expected = picture()
    for _ in range(3):
        expected = enlarge(expected[None], 2)[0].clamp(0, 1)
    assert found.shape == (3, 64, 64)
    assert torch.equal(found, expected)


def test_histogram_is_matched_to_the_low_res_picture_every_time(tmp_path: Path) -> None:
    low = picture() * 0.3
    off, on = (
        load_whole(tmp_path / str(match), srgan(match_histogram=match), "srgan").upscale_to(low, 4)
        for match in (False, True)
    )
    assert (off.mean(dim=(1, 2)) - low.mean(dim=(1, 2))).abs().max() > 0.1
    torch.testing.assert_close(on.mean(dim=(1, 2)), low.mean(dim=(1, 2)), atol=0.01, rtol=0)
