"""`facegen doctor`."""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

import click

from facegen import __version__
from facegen.cli.printing import cells, console
from facegen.errors import FacegenError

PACKAGES = ("torch", "dlib-bin", "opencv-python-headless", "numpy", "pillow", "scikit-image")


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    name: str
    found: str
    ok: bool = True


@click.command()
def doctor() -> None:
    """Print versions, device and weights, compare the golden picture, and draw a small face as a test.

    The exit status is 1 if something does not work.
    """
    from rich.table import Table

    table = Table("", "checked", "result", box=None)
    results = list(checks())
    for check in results:
        table.add_row("[green]ok[/]" if check.ok else "[red]!![/]", *cells(check.name, check.found))
    console().print(table)
    if not all(check.ok for check in results):
        sys.exit(1)


def checks() -> Iterator[Check]:
    """Check everything, in the order printed; end early if PyTorch or the device does not work."""
    yield from _packages()
    yield from _extras()
    device = _check("device", _device)
    yield device
    if not device.ok:
        return
    yield _check("threads", _threads)
    yield _check("precision", _precision)
    yield from _weights()
    yield _check("landmark model", _landmarks)
    yield from _golden()
    yield _check("self-test", _sample)


def _check(name: str, find: Callable[[], str]) -> Check:
    """Make a line of the report from what `find` returns, or from its error."""
    try:
        return Check(name, find())
    except FacegenError as error:
        return Check(name, str(error), ok=False)
    except Exception as error:  # a broken installation can raise any error
        return Check(name, f"{type(error).__name__}: {error}", ok=False)


def _packages() -> Iterator[Check]:
    yield Check("facegen", __version__)
    yield Check("python", f"{platform.python_version()} on {platform.platform()}")
    for package in PACKAGES:
        try:
            yield Check(package, metadata.version(package))
        except metadata.PackageNotFoundError:
            yield Check(package, "not installed under this name")


def _extras() -> Iterator[Check]:
    """Check the optional packages of each extra; a missing one is reported, but is not a failure."""
    lines = metadata.requires("facegen") or []
    found = [re.match(r"([\w.-]+).*extra == ['\"]([\w-]+)['\"]", line) for line in lines]
    installed: dict[str, bool] = {}
    for match in filter(None, found):
        installed[match[2]] = installed.get(match[2], True) and any(metadata.distributions(name=match[1]))
    for extra, complete in installed.items():
        yield Check(f"extra {extra}", "installed" if complete else f"not installed: pip install 'facegen[{extra}]'")


def _device() -> str:
    import torch

    from facegen.golden import choose_device

    device = choose_device("auto")
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    return f"{device} ({name})"


def _threads() -> str:
    import torch

    return f"{torch.get_num_threads()} of {os.cpu_count()} processors"


def _precision() -> str:
    from facegen.golden import choose_device
    from facegen.precision import bf16_share
    from facegen.runtime import resolve

    share = f"; on the processor, bfloat16 takes {bf16_share():.2f} of float32's time"
    return resolve("auto", choose_device("auto")) + share


def _weights() -> Iterator[Check]:
    from facegen.weights import weight_folders

    folders = weight_folders()
    if not folders:
        yield Check("weights", "none found", ok=False)
    for folder in folders:
        yield _check(f"weights {folder.name}", partial(_weight_folder, folder))


def _weight_folder(folder: Path) -> str:
    from facegen.weights import MODELS, load_network, read_card

    _, model = MODELS[read_card(folder).kind]
    _, card = load_network(str(folder.resolve()), model)
    return f"{card.kind}, {card.images_seen:,} images seen, sha256 {card.sha256[:16]}"


def _landmarks() -> str:
    import numpy as np

    from facegen.faces.landmarks import landmarks_in_head

    return f"{len(landmarks_in_head(np.zeros((128, 128, 3), np.uint8)).points)} points"


def _golden() -> Iterator[Check]:
    """Compare the golden picture of the CPU and of each GPU; "auto" avoids an Apple GPU that differs: no failure."""
    import torch

    from facegen.golden import CLOSE, difference

    gpus = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    for device in ("cpu", *(name for name, available in gpus.items() if available)):
        found = difference(device)
        verdict = f"differs by {found:.1f} of 255" + ("" if found < CLOSE else f"; do not use --device {device}")
        yield Check(f"golden picture on {device}", verdict, found < CLOSE or device == "mps")


def _sample() -> str:
    import torch

    from facegen.golden import choose_device
    from facegen.pipeline import FacePipeline

    started = time.perf_counter()
    device = choose_device("auto")
    image = FacePipeline.load(device=device).sample(seed=0, size=256).image
    if not torch.isfinite(image).all():
        raise FacegenError("the sample has pixels that are not numbers; try --set precision=fp32 with sample.")
    return f"a {image.shape[-1]} px sample from seed 0 in {time.perf_counter() - started:.1f} s on {device}"
