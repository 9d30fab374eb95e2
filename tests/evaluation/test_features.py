"""Pooled features; the networks of FID and LPIPS: messages if they are missing, calls if they are not."""

from __future__ import annotations

import importlib
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from facegen.arrays import RGB
from facegen.errors import MissingExtraError, ShapeError, WeightsError
from facegen.evaluation import features as published
from facegen.evaluation.features import (
    ALEXNET_FILE,
    INCEPTION_FILE,
    hub_file,
    load_inception,
    load_lpips,
    pooled_features,
)
from facegen.models.efficientnet import EfficientNetLite


def noise(count: int, side: int) -> RGB:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_one_vector_per_picture_whatever_the_batch(
    lite2: EfficientNetLite, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = noise(3, 32)
    whole = pooled_features(lite2, pictures, 32)
    assert whole.shape == (3, 352)
    assert whole.dtype == np.float64
    monkeypatch.setattr(published, "BATCH", 2)
    np.testing.assert_allclose(pooled_features(lite2, pictures, 32), whole, atol=1e-3)
    assert abs(whole[0] - whole[1]).max() > 0.01


def test_pictures_are_brought_to_the_side_asked_for(lite2: EfficientNetLite) -> None:
    flat = np.full((1, 64, 64, 3), 90, np.uint8)
    at_32 = pooled_features(lite2, flat[:, :32, :32], 32)
    np.testing.assert_allclose(pooled_features(lite2, flat, 32), at_32, atol=1e-3)
    assert abs(pooled_features(lite2, flat, 64) - at_32).max() > 0.01


def test_features_are_the_mean_of_the_last_map(lite2: EfficientNetLite) -> None:
    picture = noise(1, 64)
    with torch.inference_mode():
        maps = lite2(torch.from_numpy(picture).permute(0, 3, 1, 2) / 127.5 - 1)
    np.testing.assert_allclose(pooled_features(lite2, picture, 64)[0], maps[-1][0].mean((1, 2)).numpy(), atol=1e-3)


def test_no_pictures_give_no_vectors(lite2: EfficientNetLite) -> None:
    assert pooled_features(lite2, noise(0, 32), 32).shape == (0, 352)


@pytest.mark.parametrize("wrong", [np.zeros((1, 8, 8, 3)), np.zeros((8, 8, 3), np.uint8)])
def test_other_arrays_are_refused(lite2: EfficientNetLite, wrong: RGB) -> None:
    with pytest.raises(ShapeError, match=r"expected uint8 \(N, H, W, 3\)"):
        pooled_features(lite2, wrong, 32)


INSTALLED = find_spec("torch_fidelity") or find_spec("torchmetrics")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch.hub's checkpoints, empty."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def install(monkeypatch: pytest.MonkeyPatch, **modules: Any) -> None:
    """Let every package look installed, and these modules import: `a__b` is a.b, an exception is raised."""

    def load(name: str) -> Any:
        module = modules[name.replace(".", "__")]
        if isinstance(module, Exception):
            raise module
        return module

    monkeypatch.setattr(published, "find_spec", lambda name: ModuleSpec(name, None))
    monkeypatch.setattr(importlib, "import_module", load)


@pytest.mark.skipif(INSTALLED is not None, reason="the packages are installed here")
def test_missing_packages_and_weights_are_named(hub: Path) -> None:
    with pytest.raises(MissingExtraError) as error:
        load_inception()
    assert "FID left out; for it: pip install torch-fidelity torchvision and the weights " in str(error.value)
    assert f"{hub / INCEPTION_FILE} (or name it by --inception FILE)." in str(error.value)
    with pytest.raises(MissingExtraError, match=r"LPIPS left out; for it: pip install torchmetrics torchvision and"):
        load_lpips()
    assert hub_file(ALEXNET_FILE) == hub / ALEXNET_FILE


def test_weights_alone_can_be_missing(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    with pytest.raises(MissingExtraError, match=r"^FID left out; for it: the weights .*none.pth \(or name it by"):
        load_inception(hub / "none.pth")
    with pytest.raises(MissingExtraError, match=rf"^LPIPS left out; for it: the weights .*{ALEXNET_FILE} \(from"):
        load_lpips()


def test_broken_packages_say_so(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (hub / INCEPTION_FILE).touch()
    install(monkeypatch, torch_fidelity__feature_extractor_inceptionv3=RuntimeError("torchvision::nms\ndoes not exist"))
    with pytest.raises(MissingExtraError, match=r"is installed but does not work here \(torchvision::nms does not"):
        load_inception()


class Inception:
    """torch-fidelity's extractor, as it is called: mean colours for features."""

    def __init__(self, name: str, features: list[str], feature_extractor_weights_path: str) -> None:
        assert features == ["2048"]
        if not Path(feature_extractor_weights_path).read_bytes():
            raise EOFError("Ran out of input")

    def to(self, device: str) -> Inception:
        return self

    def __call__(self, x: Tensor) -> tuple[Tensor]:
        assert (x.dtype, x.shape[1:]) == (torch.uint8, (3, 8, 8))
        return (x.float().mean(dim=(2, 3)),)


def test_inception_looks_at_pictures_in_batches(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(FeatureExtractorInceptionV3=Inception)
    install(monkeypatch, torch_fidelity__feature_extractor_inceptionv3=module)
    (hub / INCEPTION_FILE).write_bytes(b"weights")
    pictures = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
    found = load_inception()(pictures)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, pictures.mean(axis=(1, 2)), rtol=1e-5)
    (hub / "damaged.pth").touch()
    with pytest.raises(WeightsError, match=r"damaged.pth: holds no weights of torch-fidelity's Inception \(Ran out"):
        load_inception(hub / "damaged.pth")


def test_lpips_compares_pairs_in_unit_range(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Metric:
        def __init__(self, net_type: str, normalize: bool) -> None:
            assert (net_type, normalize) == ("alex", True)

        def to(self, device: str) -> Metric:
            return self

        def __call__(self, a: Tensor, b: Tensor) -> Tensor:
            assert a.shape == b.shape == (1, 3, 8, 8)
            return (a - b).abs().mean()

    install(monkeypatch, torchmetrics__image__lpip=SimpleNamespace(LearnedPerceptualImagePatchSimilarity=Metric))
    (hub / ALEXNET_FILE).touch()
    assert load_lpips()(torch.zeros(3, 8, 8), torch.full((3, 8, 8), 0.25)) == pytest.approx(0.25)
