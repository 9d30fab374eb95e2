"""How long ONNX Runtime, OpenVINO and facegen with PyTorch take for the J-net on this processor.

    python -m benchmarks.runtimes --data ../shared/data/portraits768 [--threads 1] [--rounds 5]

Every way computes the same 50 tiles in batches of 10, in turns. Prints the minimum of wall clock and processor time
over the rounds, and the PSNR to PyTorch's float32. int8 is ONNX Runtime's static quantisation of the convolutions (QDQ,
weights per channel), calibrated on other tiles of the portraits. It needs facegen's extra "export" and openvino.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import openvino
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from rich.console import Console
from rich.table import Table

from facegen.arrays import to_tensor
from facegen.data.split import spread
from facegen.export import export_onnx
from facegen.media.images import find_pictures, read_image
from facegen.ops.consistency import decibels
from facegen.ops.tiling import split
from facegen.pipeline import FacePipeline
from facegen.runtime import Precision, runner

TILES, BATCH, PORTRAITS = 50, 10, 6
Way = Callable[[torch.Tensor], Any]
"""Upscales a batch of tiles."""


class Tiles(CalibrationDataReader):  # type: ignore[misc]
    """Batches for the calibration."""

    def __init__(self, tiles: torch.Tensor) -> None:
        self._batches: Iterator[torch.Tensor] = iter(torch.split(tiles, BATCH))

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"stack": batch.numpy()}


def tiles_of(folder: Path, pipeline: FacePipeline) -> torch.Tensor:
    """Cut all tiles of some portraits, as the network sees them, shuffled: (T, C, t, t)."""
    files = spread(find_pictures([folder]), PORTRAITS)
    upscaled = [pipeline(to_tensor(read_image(file).rgb)) for file in files]
    tiles = torch.cat([split(one.stack, one.plan) for one in upscaled])
    return tiles[torch.randperm(len(tiles), generator=torch.Generator().manual_seed(0))]


def with_torch(pipeline: FacePipeline, precision: Precision) -> Way:
    """Compute like the pipeline."""
    run = runner(pipeline.upscaler, precision, "cpu")

    @torch.inference_mode()
    def way(tiles: torch.Tensor) -> Any:
        return run(tiles.contiguous(memory_format=torch.channels_last)).clamp(0, 1).numpy()

    return way


def with_onnxruntime(file: Path, threads: int) -> Way:
    """Compute an ONNX file with ONNX Runtime; its threads sleep while they wait, as PyTorch's do in facegen."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda tiles: session.run(None, {"stack": tiles.numpy()})[0]


def with_openvino(file: Path, threads: int, precision: str) -> Way:
    """Compute an ONNX file with OpenVINO."""
    options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision}
    model = openvino.Core().compile_model(str(file), "CPU", options)
    return lambda tiles: model(tiles.numpy())[0]


def all_ways(pipeline: FacePipeline, calibration: torch.Tensor, threads: int, folder: Path) -> dict[str, Way]:
    """Every way to compute the J-net; writes the ONNX files into a folder."""
    plain, int8 = folder / "plain.onnx", folder / "int8.onnx"
    export_onnx(pipeline.recipe.weights.upscaler, plain)
    quantize_static(
        plain, int8, Tiles(calibration), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8,  # signed ones are twice as slow on processors without AMX
        op_types_to_quantize=["Conv", "ConvTranspose"],
    )  # fmt: skip
    return {
        "PyTorch, float32": with_torch(pipeline, "fp32"),
        "PyTorch, bfloat16": with_torch(pipeline, "bf16"),
        "ONNX Runtime, float32": with_onnxruntime(plain, threads),
        "ONNX Runtime, int8": with_onnxruntime(int8, threads),
        "OpenVINO, float32": with_openvino(plain, threads, "f32"),
        "OpenVINO, bfloat16": with_openvino(plain, threads, "bf16"),
        "OpenVINO, int8": with_openvino(int8, threads, "bf16"),
    }


def compare(ways: dict[str, Way], tiles: torch.Tensor, rounds: int) -> Table:
    """Run the ways in turns, after a round that does not count."""
    batches = torch.split(tiles, BATCH)
    wall, cpu = (dict.fromkeys(ways, float("inf")) for _ in range(2))
    made = {name: np.concatenate([way(batch) for batch in batches]) for name, way in ways.items()}
    for _ in range(rounds):
        for name, way in ways.items():
            started, before = time.perf_counter(), time.process_time()
            for batch in batches:
                way(batch)
            wall[name] = min(wall[name], time.perf_counter() - started)
            cpu[name] = min(cpu[name], time.process_time() - before)
    exact, *_ = made.values()
    table = Table("J-net", "ms a tile", "of the processor", "PSNR, dB")
    for name, images in made.items():
        agreement = decibels(float(np.square(images.astype(np.float64) - exact).mean()))
        table.add_row(name, *(f"{1000 * spent[name] / len(tiles):.1f}" for spent in (wall, cpu)), f"{agreement:.1f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    pipeline = FacePipeline.load(overrides=["candidates.variants=[]"])
    tiles = tiles_of(arguments.data, pipeline)
    with TemporaryDirectory() as folder:
        ways = all_ways(pipeline, tiles[TILES : 2 * TILES], arguments.threads, Path(folder))
        Console().print(compare(ways, tiles[:TILES], arguments.rounds))


if __name__ == "__main__":
    main()
