"""Published files, by a stand-in for spandrel: what is asked of the package, and what is said where it fails."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from facegen.comparing import published
from facegen.comparing.upscaler import Setting
from facegen.comparing.upscalers import load_upscalers
from facegen.errors import MissingExtraError, WeightsError

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
    """As spandrel's."""


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a package in spandrel's place that gives a model, or upscales."""

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
        monkeypatch.setattr(published, "find_spec", lambda name: object())
        monkeypatch.setitem(sys.modules, "spandrel", package)

    return put


def test_a_file_stands_in_the_table_by_its_name(install: Install, setting: Setting) -> None:
    install(Model())
    (upscaler,) = load_upscalers(["some/4x-blocks.pth"], setting)
    assert (upscaler.name, upscaler.scale, upscaler.folders) == ("4x-blocks", 4, ())
    assert upscaler.about == "Blocks, 4x-blocks.pth, read by spandrel 0.4.2"
    low = torch.rand(3, 4, 4)
    assert torch.equal(upscaler(low)[:, ::4, ::4], low)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Model(output_channels=1), "x.pth: a Blocks, which makes no RGB picture of an RGB picture"),
        (UnsupportedModelError(), "x.pth: spandrel 0.4.2 cannot read it .UnsupportedModelError.; of weights that"),
        (FileNotFoundError("no such file"), "x.pth: spandrel 0.4.2 cannot read it .no such file."),
    ],
)
def test_a_file_that_cannot_be_used_is_named(install: Install, setting: Setting, model: object, message: str) -> None:
    install(model)
    with pytest.raises(WeightsError, match=message):
        load_upscalers(["x.pth"], setting)


def test_without_spandrel_the_command_is_named(monkeypatch: pytest.MonkeyPatch, setting: Setting) -> None:
    monkeypatch.setattr(published, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"x.safetensors: .* pip install 'facegen\[spandrel\]'"):
        load_upscalers(["x.safetensors"], setting)


def test_a_spandrel_that_does_not_work_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: Setting
) -> None:
    (tmp_path / "spandrel.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "spandrel", raising=False)
    with pytest.raises(MissingExtraError, match=r"\(operator torchvision::nms does not exist\); install the torchvis"):
        load_upscalers(["x.pth"], setting)
