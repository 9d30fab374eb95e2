"""`facegen export`."""

from __future__ import annotations

from pathlib import Path

import click

from facegen.cli.options import make_folder
from facegen.cli.printing import print_path, say


@click.group()
def export() -> None:
    """Write networks in formats that other programs can run."""


@export.command()
@click.argument("weights")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File to write.")
@click.option("--side", type=click.IntRange(min=1), help="Side of the upscaler's input in pixels.  [default: a tile's]")
def onnx(weights: str, out: Path, side: int | None) -> None:
    """Write WEIGHTS, a generator or an upscaler, as an ONNX file.

    Before the file gets its name, onnxruntime runs it and the result is compared with PyTorch's.

    \b
    facegen export onnx dcgan-128 -o faces.onnx
    facegen export onnx jnet-8x --side 96 -o upscaler.onnx
    """
    from facegen.export import export_onnx

    make_folder(out.parent)
    agreement = export_onnx(weights, out, side)
    print_path(out)
    say(f"onnxruntime's pictures agree with PyTorch's to {agreement:.1f} dB.")
