"""Networks as ONNX files, and the documentation's examples of running them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from facegen import export
from facegen.errors import FacegenError, FileError, MissingExtraError, UsageError, WeightsError
from facegen.export import export_onnx
from facegen.models.jnet import JNet
from facegen.pipeline import FacePipeline
from facegen.weights import load_network, read_card
from tests import tiny

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

DOCS = (Path(__file__).parent.parent / "docs" / "export.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with dcgan/ and jnet/, the J-net like the shipped one in its parts."""
    folder = tmp_path_factory.mktemp("weights")
    tiny.save_all(folder)
    tiny.save(folder, tiny.upscaler(chroma=2), "rgb")
    return folder


def run(file: Path, given: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (image,) = session.run(["image"], {session.get_inputs()[0].name: given.numpy()})
    return torch.from_numpy(np.asarray(image))


def facts(file: Path) -> dict[str, str]:
    found: dict[str, str] = onnxruntime.InferenceSession(file).get_modelmeta().custom_metadata_map
    return found


def test_a_generator_draws_the_pipelines_faces(weights: Path, tmp_path: Path) -> None:
    target = tmp_path / "faces.onnx"
    assert export_onnx(str(weights / "dcgan"), target) > 100
    pipeline = FacePipeline.load(weights / "tiny.toml")
    z = torch.stack([pipeline.latent(seed) for seed in range(5)])
    faces = torch.stack([pipeline.draw(latent) for latent in z])
    torch.testing.assert_close(run(target, z), faces, atol=1e-5, rtol=0)
    assert facts(target)["z_dim"] == "8"


@pytest.mark.parametrize(("side", "number"), [(None, 1), (64, 3)])
@torch.no_grad()
def test_an_upscaler_upscales_any_number_of_tiles(weights: Path, tmp_path: Path, side: int | None, number: int) -> None:
    target = tmp_path / "upscaler.onnx"
    assert export_onnx(str(weights / "jnet"), target, side) > 100
    network, card = load_network(str(weights / "jnet"), JNet)
    stack = torch.rand(number, 6, side or 32, side or 32, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(run(target, stack), network(stack).clamp(0, 1), atol=1e-5, rtol=0)
    wanted = {"kind": "jnet", "sha256": card.sha256, "scale": "8", "side": str(side or 32), "guide": "rgb"}
    assert wanted.items() <= facts(target).items()


@torch.no_grad()
def test_a_j_net_of_other_parts(tmp_path: Path) -> None:
    folder, target = tiny.save(tmp_path, tiny.upscaler("none", upsample="deconv"), "none"), tmp_path / "x.onnx"
    assert export_onnx(str(folder), target) > 100
    network, _ = load_network(str(folder), JNet)
    stack = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(run(target, stack), network(stack).clamp(0, 1), atol=1e-5, rtol=0)


def test_openvino_reads_the_file(weights: Path, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    target = tmp_path / "upscaler.onnx"
    export_onnx(str(weights / "jnet"), target)
    stack = torch.rand(2, 6, 32, 32)
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    found = openvino.Core().compile_model(str(target), "CPU", options)(stack.numpy())[0]
    torch.testing.assert_close(torch.from_numpy(found), run(target, stack), atol=1e-4, rtol=0)


def test_a_file_that_draws_something_else_is_not_written(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "AGREEMENT", 1000.0)
    (tmp_path / "faces.onnx").write_text("mine")
    with pytest.raises(FacegenError, match=r"agree with PyTorch's to \d+\.\d dB, expected at least 1000; .* not wri"):
        export_onnx(str(weights / "dcgan"), tmp_path / "faces.onnx")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_what_cannot_be_exported_is_refused(weights: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.onnx"
    with pytest.raises(UsageError, match=r"patchgan: holds a patchgan; only a dcgan \(generator\) or a jnet"):
        export_onnx(str(weights / "patchgan"), target)
    with pytest.raises(UsageError, match=r"--side 40: expected a multiple of 32, the side of the tiles of .*jnet\."):
        export_onnx(str(weights / "jnet"), target, 40)
    with pytest.raises(UsageError, match=r"--side 64: .*dcgan draws from a latent, which has no side"):
        export_onnx(str(weights / "dcgan"), target, 64)
    with pytest.raises(WeightsError, match="'nowhere': neither shipped nor a folder"):
        export_onnx("nowhere", target)
    with pytest.raises(FileError, match=r"none.x\.onnx: cannot be written \(No such file or directory\); choose"):
        export_onnx(str(weights / "dcgan"), tmp_path / "none" / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'facegen\[export\]'"):
        export_onnx("dcgan-128", tmp_path / "x.onnx")


def test_the_python_of_the_documentation_runs(weights: Path, tmp_path: Path) -> None:
    export_onnx(str(weights / "dcgan"), tmp_path / "faces.onnx")
    export_onnx(str(weights / "jnet"), tmp_path / "upscaler.onnx", 96)
    (program,) = re.findall(r"```python\n(.*?)```", DOCS, flags=re.S)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{read_card(weights / 'jnet').licence}\n"
    assert (tmp_path / "face.png").stat().st_size > 100_000
